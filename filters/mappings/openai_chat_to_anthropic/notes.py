"""What is found out on the way through a request and belongs beside its body."""


class Notes:
    """Ordered, without repetitions."""

    __slots__ = ("betas", "dropped")

    def __init__(self) -> None:
        self.dropped: dict[str, None] = {}
        """members left out on purpose"""
        self.betas: dict[str, None] = {}
        """`anthropic-beta` flags that the content needs"""

    def drop(self, member: str) -> None:
        self.dropped[member] = None

    def need(self, beta: str) -> None:
        self.betas[beta] = None
