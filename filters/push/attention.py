"""Whether an Envoy asks this filter, as a controller is told it: on a change, and while nobody asks again and again.

An Envoy that has our patches connects once a second (docs/adr/0019). One that has lost them, because Envoy Gateway does
not call its extension server any more, does not, and answers AI requests with 503 by itself: only the filter can tell.
Looks are counted, not seconds: a process that was stopped for a while has not been left alone for that long. Pure.
"""

from filters.contract.push import SILENT_LOOKS, Asked


class Attention:
    def __init__(self) -> None:
        self.said: Asked | None = None
        """what was told last; None: it is too early to say"""
        self._silent = 0

    def look(self, asked: bool) -> bool:
        """Takes what one look has found. Whether `said` is to be told."""
        self._silent = 0 if asked else self._silent + 1
        if self._silent % SILENT_LOOKS:
            return False
        told, self.said = self.said, Asked(self._silent)
        return told != self.said

    @property
    def silent(self) -> int:
        """`Hello.silent`"""
        return self.said.silent if self.said is not None else 0
