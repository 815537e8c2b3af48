"""What the hooks patch with: the compiled results, by Gateway and by HTTPRoute.

The controller puts a result in whenever it has compiled a Gateway; hooks read what is there and never wait. A Gateway
that is not there (yet) is answered with something safe: see `translation`.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from extension_server.compile.result import Compiled, CompiledRule, ObjectRef
from extension_server.hooks.transition import Earlier
from extension_server.xds.names import RuleName
from extension_server.xds.resources import DEFAULT_LOG_ATTRIBUTES, Mediation

SOCKETS: Final = ("/etc/ai-gateway-extproc-uds/run.sock",)
"""Where the sidecar listens (xDS chapter §0.3)."""
EARLIER: Final = 128
"""Configurations of a Gateway that are remembered, as many as the filters keep at most."""


class MediationSource(Protocol):
    """Read by the hooks, on one thread; each answer is one consistent state."""

    @property
    def warm(self) -> bool:
        """Everything that was there at the start is in: a Gateway that is not known is none of ours."""

    def for_gateway(self, namespace: str, name: str) -> Mediation | None:
        """What is to be mediated on a Gateway; None when nothing is known of it."""

    def for_rule(self, rule: RuleName) -> CompiledRule | None:
        """An AI rule by its place in an HTTPRoute, whatever Gateway it is attached to."""

    def earlier(self, gateway: ObjectRef) -> Sequence[Earlier]:
        """The last configurations of a Gateway before the present one, latest first."""

    def runs(self, gateway: ObjectRef, config_hash: str) -> bool:
        """Whether the Gateway's filters have this configuration, as far as is known here."""


class CompiledResults:
    """The source in memory: the last good result of each Gateway. `put` and `remove` replace, they never mutate."""

    def __init__(
        self,
        sockets: tuple[str, ...] = SOCKETS,
        log_attributes: tuple[tuple[str, str], ...] | None = None,
        *,
        warm: bool = True,
        runs: Callable[[ObjectRef, str], bool] | None = None,
    ) -> None:
        """`log_attributes`: (header, attribute) pairs for access logs; None is the default pair. `warm`: False for a
        process that has yet to learn what there is, until `warmed`. `runs`: see the protocol; everything is run when
        nobody can tell."""
        self._runs = runs
        self._sockets = sockets
        self._log_attributes = DEFAULT_LOG_ATTRIBUTES if log_attributes is None else log_attributes
        self._warm = warm
        self._mediations: Mapping[ObjectRef, Mediation] = MappingProxyType({})
        self._earlier: dict[ObjectRef, deque[Earlier]] = {}
        self._rules: Mapping[RuleName, CompiledRule] | None = None
        """made when the Endpoints hook asks, not for each of many Gateways that come in"""

    @property
    def warm(self) -> bool:
        return self._warm

    def warmed(self) -> None:
        """Everything that was there at the start has been put."""
        self._warm = True

    def put(self, compiled: Compiled) -> None:
        """Takes the place of the Gateway's earlier result."""
        before, mediation = self._mediations.get(compiled.gateway), self._mediation(compiled)
        if before is not None and before.config_hash != mediation.config_hash:
            remembered = self._earlier.setdefault(compiled.gateway, deque(maxlen=EARLIER))
            remembered.appendleft(_earlier(before, mediation))
        others = {gateway: each for gateway, each in self._mediations.items() if gateway != compiled.gateway}
        self._replace({**others, compiled.gateway: mediation})

    def remove(self, gateway: ObjectRef) -> None:
        """Forgets a Gateway; one that is not there is no error."""
        self._earlier.pop(gateway, None)
        self._replace({known: each for known, each in self._mediations.items() if known != gateway})

    def for_gateway(self, namespace: str, name: str) -> Mediation | None:
        return self._mediations.get(ObjectRef("Gateway", namespace, name))

    def for_rule(self, rule: RuleName) -> CompiledRule | None:
        if self._rules is None:
            # Sorted, last one wins: the same results give the same answer in whatever order they came.
            ordered = [self._mediations[gateway] for gateway in sorted(self._mediations)]
            self._rules = MappingProxyType(
                {
                    RuleName(each.http_route.namespace, each.http_route.name, each.http_rule): each
                    for mediation in ordered
                    for each in mediation.compiled.rules
                }
            )
        return self._rules.get(rule)

    def earlier(self, gateway: ObjectRef) -> Sequence[Earlier]:
        return tuple(self._earlier.get(gateway, ()))

    def runs(self, gateway: ObjectRef, config_hash: str) -> bool:
        return self._runs is None or self._runs(gateway, config_hash)

    def _mediation(self, compiled: Compiled) -> Mediation:
        made = Mediation(compiled, self._sockets, self._log_attributes)
        made.prepare()
        return made

    def _replace(self, mediations: dict[ObjectRef, Mediation]) -> None:
        self._mediations = MappingProxyType(mediations)
        self._rules = None


def _earlier(before: Mediation, after: Mediation) -> Earlier:
    return Earlier(
        before.config_hash,
        gone={token: before.by_token[token] for token in before.tokens - after.tokens},
        came=after.tokens - before.tokens,
        http_routes=before.http_routes - after.http_routes,
    )
