"""What filters are to run: the newest configuration of each Gateway, as the change from what a filter has.

The controller puts results in (`ConfigSink`); streams ask. An update is encoded once for all filters that have the same
state. A few earlier states are remembered, so that a filter that missed some still gets only what changed; one that has
an unknown state gets everything. Pure but for the event that wakes streams.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from extension_server.compile.result import Compiled, ObjectRef
from filters.contract import push
from filters.contract.push import State
from filters.contract.sections import Sections

REMEMBERED: Final = 16
"""States per Gateway. Sections that did not change are shared, so one costs 1 MB at 10,000 routes."""


@dataclass(slots=True)
class _Gateway:
    states: OrderedDict[State, Sections] = field(default_factory=OrderedDict)
    """the newest last"""
    updates: dict[State, bytes] = field(default_factory=dict)
    """state of a filter → what makes the newest of it"""


class Feed:
    def __init__(self) -> None:
        self._gateways: dict[ObjectRef, _Gateway] = {}
        self._changed = asyncio.Event()

    # ---- `extension_server.controller.ports.ConfigSink`

    def put(self, compiled: Compiled) -> None:
        """Takes the place of the Gateway's earlier result."""
        known = self._gateways.setdefault(compiled.gateway, _Gateway())
        state = push.state_of(compiled.sections)
        if known.states and next(reversed(known.states)) == state:
            return
        known.states[state] = compiled.sections
        known.states.move_to_end(state)
        known.updates.clear()
        while len(known.states) > REMEMBERED:
            known.states.popitem(last=False)
        self._tell()

    def remove(self, gateway: ObjectRef) -> None:
        """Its filters keep what they have until their pods go. One that is not known is no error."""
        self._gateways.pop(gateway, None)

    # ---- streams

    def newest(self, gateway: ObjectRef) -> State | None:
        """None: nothing is known of the Gateway (yet)."""
        known = self._gateways.get(gateway)
        return next(reversed(known.states)) if known else None

    def update(self, gateway: ObjectRef, running: State) -> bytes:
        """Encoded. What makes the newest state of `running`. Raises LookupError for a Gateway that is not known."""
        known = self._gateways[gateway]
        base = running if running in known.states else push.NOTHING
        found = known.updates.get(base)
        if found is None:
            newest = known.states[next(reversed(known.states))]
            found = push.encode(push.update(newest, known.states.get(base)))
            known.updates[base] = found
        return found

    @property
    def changed(self) -> asyncio.Event:
        """Set with the next change of any Gateway; then there is another event."""
        return self._changed

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
