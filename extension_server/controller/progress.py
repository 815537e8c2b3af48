"""Which routes' `Programmed` may have changed, by what filters say that they run: for a report of one filter, not every
route of its Gateway need be looked at. Pure; the verdict itself is given in `status`.
"""

from extension_server.compile.result import ObjectRef
from extension_server.controller.ports import FilterReports
from extension_server.controller.world import World


class Progress:
    def __init__(self, world: World, reports: FilterReports) -> None:
        self._world = world
        self._reports = reports
        self._levels: dict[ObjectRef, int | None] = {}
        """Gateway → number of the oldest configuration that a filter of it runs; -1: there is no filter; None: it is
        too early to say"""
        self._troubles: dict[ObjectRef, tuple[object, ...]] = {}
        """Gateway → what keeps its routes from being programmed, whatever its filters run"""

    def news(self, gateway: ObjectRef) -> set[ObjectRef]:
        """Routes whose Programmed may have changed since the last call."""
        troubles = (*self._reports.troubles(gateway), *self._reports.unasked(gateway))
        if troubles != self._troubles.get(gateway, ()):
            self._troubles[gateway] = troubles
            self._levels.pop(gateway, None)
        running = self._reports.running(gateway)
        level = (
            min((self._world.number(gateway, each) for each in running), default=-1) if running is not None else None
        )
        old = self._levels.get(gateway)
        self._levels[gateway] = level
        routes = self._world.routes_of(gateway)
        if level == old:
            return set()
        if old is None or level is None or old < 0 or level < old:
            return set(routes)
        return {ref for ref in routes if self._world.since(gateway, ref) > old}

    def forget(self, gateway: ObjectRef) -> None:
        """The Gateway is gone."""
        self._levels.pop(gateway, None)
