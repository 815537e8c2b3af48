"""What those work with who write to the API server: `writer` (objects of ours) and `gateway_notes` (Gateways)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from extension_server.controller.client import Api, Resource
from extension_server.controller.observations import Observations
from extension_server.controller.ports import FilterReports
from extension_server.controller.store import Change, Store
from extension_server.controller.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    api: Api
    store: Store
    world: World
    reports: FilterReports
    observations: Observations
    resource_of: Callable[[str], Resource]
    """a kind's name → where it is served; raises LookupError"""
    changed: Callable[[Change], None]
    """hears of what was written before the watch says so"""
    now: Callable[[], datetime]
    reconnect: float
    """seconds after which filters have come back to a controller that has just begun to lead"""
    patience: float
    """seconds that something must be so before an Event tells it"""
