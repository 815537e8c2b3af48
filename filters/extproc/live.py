"""Requests in flight that attempts may ask for, by id. One per process."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from filters.extproc.listener_exchange import ListenerExchange


_PROCESS: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,10})?")
"""How processes are named (`filters.process.worker.process_name`). It becomes part of a path: nothing else is asked."""


class LiveRequests:
    """An id names the process that holds the request: `<process>-<unguessable>`."""

    def __init__(self, process: str, new_token: Callable[[], str]) -> None:
        """`new_token` gives unguessable, URL-safe texts: who knows the id of a request could attach to it."""
        self._process = process
        self._prefix = process.partition(".")[0] + "-"
        self._new_token = new_token
        self._by_id: dict[str, ListenerExchange] = {}

    def new_id(self) -> str:
        return f"{self._process}-{self._new_token()}"

    def public(self, request_id: str) -> str:
        """The id as clients see it, in answers that need one: without the number of an operating system's process."""
        return self._prefix + request_id.partition("-")[2]

    def add(self, request_id: str, exchange: "ListenerExchange") -> None:
        self._by_id[request_id] = exchange

    def find(self, request_id: str) -> "ListenerExchange | None":
        return self._by_id.get(request_id)

    def discard(self, request_id: str) -> None:
        self._by_id.pop(request_id, None)

    def owner(self, request_id: str) -> str | None:
        """The process that holds the request when it is another one: a worker beside us, or one that we replace and
        that is still draining. None when it is ours or nobody's."""
        process, _, token = request_id.partition("-")
        if not token or process == self._process or _PROCESS.fullmatch(process) is None:
            return None
        return process

    def __len__(self) -> int:
        return len(self._by_id)
