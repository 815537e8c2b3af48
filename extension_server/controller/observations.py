"""What Envoy Gateway's translations showed about each Gateway: only there is it seen what Envoy really gets."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from extension_server.compile.result import Finding, ObjectRef


@dataclass(frozen=True, slots=True)
class _Seen:
    user_filters: frozenset[str]
    findings: tuple[Finding, ...]


class Observations:
    """The last one of each Gateway."""

    def __init__(self) -> None:
        self._seen: dict[ObjectRef, _Seen] = {}

    def put(self, gateway: ObjectRef, user_filters: Collection[str], findings: Iterable[Finding]) -> set[ObjectRef]:
        """Returns the objects about which there is something new to say; the Gateway itself stands for its routes."""
        new = _Seen(frozenset(user_filters), tuple(findings))
        old = self._seen.get(gateway, _Seen(frozenset(), ()))
        self._seen[gateway] = new
        return {finding.object for finding in set(old.findings) ^ set(new.findings)}

    def forget(self, gateway: ObjectRef) -> None:
        self._seen.pop(gateway, None)

    @property
    def user_filters(self) -> frozenset[str]:
        """RouteConfigurations with a filter of the user's after ours."""
        return frozenset(name for seen in self._seen.values() for name in seen.user_filters)

    def of(self, route: ObjectRef, gateways: Iterable[ObjectRef]) -> tuple[Finding, ...]:
        """What concerns a route: itself, or a Gateway that serves it."""
        wanted = {route, *gateways}
        return tuple(
            finding
            for gateway in gateways
            if (seen := self._seen.get(gateway)) is not None
            for finding in seen.findings
            if finding.object in wanted
        )
