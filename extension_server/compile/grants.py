"""ReferenceGrants: may an object refer to one in another namespace? (API chapter §2.9; `to.name` counts here.)"""

from dataclasses import dataclass

from extension_server.api.gateway import ReferenceGrantSpec
from extension_server.compile.snapshot import Resources


@dataclass(frozen=True, slots=True)
class Side:
    group: str
    kind: str
    namespace: str


def granted(resources: Resources, source: Side, target: Side, name: str) -> bool:
    """True within one namespace; else when a grant in the target's namespace says so."""
    if source.namespace == target.namespace:
        return True
    return any(_allows(grant.spec, source, target, name) for grant in resources.grants(target.namespace))


def _allows(spec: ReferenceGrantSpec, source: Side, target: Side, name: str) -> bool:
    sources = {(each.group, each.kind, each.namespace) for each in spec.from_}
    targets = {(each.group, each.kind) for each in spec.to if each.name in (None, name)}
    return (source.group, source.kind, source.namespace) in sources and (target.group, target.kind) in targets


def refusal(source: Side, target: Side, name: str) -> str:
    """The sentence for a reference that is not granted."""
    return (
        f"cross-namespace reference from {source.kind} in namespace {source.namespace} to {target.kind} {name} in "
        f"namespace {target.namespace} is not permitted: no valid ReferenceGrant found in namespace "
        f"{target.namespace}. Create one there with from: [{{group: {source.group}, kind: {source.kind}, namespace: "
        f"{source.namespace}}}], to: [{{group: {target.group}, kind: {target.kind}}}]"
    )
