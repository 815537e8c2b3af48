"""What Envoy Gateway's translations showed about each Gateway: only there is it seen what Envoy really gets."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from extension_server.compile.result import Finding, ObjectRef


@dataclass(frozen=True, slots=True)
class _Seen:
    user_filters: frozenset[str] | None
    findings: tuple[Finding, ...]


class Observations:
    """The last one of each Gateway."""

    def __init__(self) -> None:
        self._seen: dict[ObjectRef, _Seen] = {}

    def put(
        self, gateway: ObjectRef, user_filters: Collection[str] | None, findings: Iterable[Finding]
    ) -> set[ObjectRef]:
        """`user_filters` None: it could not be seen. Returns the objects about which there is something new to say."""
        old = self._seen.get(gateway, _Seen(None, ()))
        new = _Seen(old.user_filters if user_filters is None else frozenset(user_filters), tuple(findings))
        self._seen[gateway] = new
        return {finding.object for finding in set(old.findings) ^ set(new.findings)}

    def forget(self, gateway: ObjectRef) -> None:
        self._seen.pop(gateway, None)

    def user_filters(self, gateway: ObjectRef) -> frozenset[str] | None:
        """RouteConfigurations with a filter of the user's after ours; None while that is not known."""
        seen = self._seen.get(gateway)
        return seen.user_filters if seen else None

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
