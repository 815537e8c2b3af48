"""What a Gateway's last translation held, and what was made of it: the request once more, and its answer.

Envoy Gateway sends everything at every translation, and almost all of it is what it was: knowing it again costs a
fraction of patching it.
"""

from dataclasses import dataclass, field

from extension_server.compile.result import ObjectRef
from extension_server.hooks.items import Cluster, Route
from extension_server.hooks.recall import Table
from extension_server.hooks.runs import Clusters, Routes
from extension_server.hooks.transition import Shown


@dataclass(slots=True)
class Memo:
    """Of one Gateway. `turn` after each translation."""

    routes: Table[Route, Routes] = field(default_factory=lambda: Table(Route.opened, Routes))
    clusters: Table[Cluster, Clusters] = field(default_factory=lambda: Table(Cluster.opened, Clusters))
    shown: Shown = field(default_factory=Shown)

    def turn(self) -> None:
        self.routes.turn()
        self.clusters.turn()


class Memos:
    """One per process."""

    def __init__(self) -> None:
        self._memos: dict[ObjectRef, Memo] = {}

    def of(self, gateway: ObjectRef) -> Memo:
        return self._memos.setdefault(gateway, Memo())

    def forget(self, gateway: ObjectRef) -> None:
        self._memos.pop(gateway, None)
