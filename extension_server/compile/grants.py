"""ReferenceGrants: may an object of one namespace refer to one in another? (API chapter §2.9; `to.name` counts here.)"""

from dataclasses import dataclass

from extension_server.api.gateway import ReferenceGrant
from extension_server.compile.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Side:
    group: str
    kind: str
    namespace: str


def granted(resources: Snapshot, source: Side, target: Side, name: str) -> bool:
    """True within one namespace; else when a grant in the target's namespace says so."""
    if source.namespace == target.namespace:
        return True
    return any(
        any((who.group, who.kind, who.namespace) == (source.group, source.kind, source.namespace) for who in spec.from_)
        and any(
            (what.group, what.kind) == (target.group, target.kind) and what.name in (None, name) for what in spec.to
        )
        for spec in (grant.spec for grant in resources.all(ReferenceGrant) if grant.namespace == target.namespace)
    )


def refusal(source: Side, target: Side, name: str) -> str:
    """The sentence for a reference that is not granted."""
    return (
        f"cross-namespace reference from {source.kind} in namespace {source.namespace} to {target.kind} {name} in "
        f"namespace {target.namespace} is not permitted: no valid ReferenceGrant found in namespace "
        f"{target.namespace}. A ReferenceGrant must allow {source.kind} from namespace {source.namespace} to "
        f"reference {target.kind} in namespace {target.namespace}"
    )
