"""Requests in flight that attempts may ask for, by id. One per process."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filters.extproc.listener_exchange import ListenerExchange


class LiveRequests:
    """An id names the worker that holds the request: `<worker>-<unguessable>`."""

    def __init__(self, worker: int, new_token: Callable[[], str]) -> None:
        """`new_token` gives unguessable, URL-safe texts: who knows the id of a request could attach to it."""
        self._worker = worker
        self._new_token = new_token
        self._by_id: dict[str, ListenerExchange] = {}

    def new_id(self) -> str:
        return f"{self._worker}-{self._new_token()}"

    def add(self, request_id: str, exchange: "ListenerExchange") -> None:
        self._by_id[request_id] = exchange

    def find(self, request_id: str) -> "ListenerExchange | None":
        return self._by_id.get(request_id)

    def discard(self, request_id: str) -> None:
        self._by_id.pop(request_id, None)

    def owner(self, request_id: str) -> int | None:
        """Number of the worker that holds the request when it is another one; None when it is ours or nobody's."""
        number, _, token = request_id.partition("-")
        if not token or not number.isascii() or not number.isdecimal() or len(number) > 4:
            return None
        worker = int(number)
        return None if worker == self._worker else worker

    def __len__(self) -> int:
        return len(self._by_id)
