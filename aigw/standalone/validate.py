"""Everything that `aigw run` would say about a file at its start, without starting: for `aigw validate` and its kin.

A file without a Gateway cannot be meant for `aigw run`: its objects are judged as Kubernetes would, one by one. Of a
file with errors, what is right is compiled all the same, as the controller does it in a cluster.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Final

from aigw.standalone import objects, resources, verdicts
from aigw.standalone.base_xds import build, tls
from aigw.standalone.base_xds.world import NotServable, World
from aigw.standalone.default_log import default_access_log
from aigw.standalone.objects import Seen
from aigw.standalone.resources import BadResources, Loaded
from extension_server.api.base import Object
from extension_server.api.envoy_gateway import HTTPRouteFilter
from extension_server.api.gateway import Gateway, HTTPRoute
from extension_server.compile.result import Compiled, Finding, ObjectRef
from extension_server.compile.route import is_foreign
from extension_server.compile.snapshot import Snapshot, ref_of
from extension_server.xds.resources import Resources

_LISTENER: Final = re.compile(r"spec\.listeners\[(?P<index>\d+)\](?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Served:
    """What `aigw run` would work with; of a file with errors, what is right of it."""

    loaded: Loaded
    world: World
    xds: Resources | None
    """before the patches; paths of certificates are made up. None: it cannot be made, `Verdict.errors` say why"""


@dataclass(frozen=True, slots=True)
class Verdict:
    errors: tuple[str, ...]
    """complete sentences with file, object and field; not empty: `aigw run` does not start"""
    warnings: tuple[str, ...] = ()
    served: Served | None = None
    """None: there is nothing to work with, or the objects were judged one by one"""
    elsewhere: frozenset[str] = frozenset()
    """those of `errors` that a cluster would not have: it has Envoy Gateway"""
    objects: tuple[Seen, ...] = ()
    whole: bool = True
    """the file was judged as a whole, every object of it; False: ours only, one by one"""
    consequences: tuple[str, ...] = ()
    """what follows from `errors` for other objects, in the words of their conditions; mended with them"""


def validate(path: Path, environment: Mapping[str, str], *, kubernetes: bool = False) -> Verdict:
    """Complete sentences with file, object and field. `kubernetes`: objects for a cluster, Gateway or not."""
    try:
        return validate_text(resources.text_of(path), str(path), environment, kubernetes=kubernetes)
    except BadResources as exc:
        return Verdict(exc.messages)


def validate_text(
    text: str, file: str, environment: Mapping[str, str], *, kubernetes: bool = False, gateway: str = ""
) -> Verdict:
    """`validate` of a file's content; `file` names it in messages. `gateway`: which one of several."""
    seen = objects.judge(text, file)
    if kubernetes or not seen.gateways:
        return Verdict(seen.errors, seen.warnings, objects=seen.objects, whole=False)
    try:
        loaded = _without_generated(resources.read_usable(text, file, environment))
    except BadResources as exc:
        return Verdict(exc.messages, objects=seen.objects)
    try:
        # Nothing of the outcome is kept, so neither is the key.
        found = verdicts.judge(loaded, token_key=bytes(32), gateway=gateway)
    except BadResources as exc:
        broken = any(ref.kind == "Gateway" for ref in loaded.snapshot.problems)
        messages = () if broken else exc.messages
        return Verdict((*loaded.errors, *messages), loaded.warnings, elsewhere=loaded.elsewhere, objects=seen.objects)
    built = _built(loaded, found.compiled)
    errors = (*found.errors, *(loaded.sentence(finding) for finding in built.refused))
    follows = _naming(loaded.snapshot)
    return Verdict(
        (*loaded.errors, *(each for each in errors if not follows(each))),
        found.warnings,
        Served(loaded, World(loaded.snapshot, found.compiled), built.xds),
        elsewhere=loaded.elsewhere | found.elsewhere,
        objects=seen.objects,
        consequences=tuple(each for each in errors if follows(each)),
    )


def _without_generated(loaded: Loaded) -> Loaded:
    """What a controller made in the cluster that the file was read from: it is made anew here."""
    made = [
        ref_of(each)
        for kind in (HTTPRoute, HTTPRouteFilter)
        for each in loaded.snapshot.all(kind)
        if not is_foreign(each)
    ]
    if not made:
        return loaded
    rest = loaded.snapshot.of(each for each in loaded.snapshot if ref_of(each) not in made)
    return replace(loaded, snapshot=rest, others=(*loaded.others, *made))


def _naming(snapshot: Snapshot) -> Callable[[str], bool]:
    """Whether a sentence blames one of the objects that cannot be used at all."""
    names = "|".join(re.escape(str(ref)) for ref in snapshot.problems.keys() - set(map(ref_of, snapshot)))
    pattern = re.compile(rf"(?<!\w)(?:{names})(?![\w.-])") if names else None
    # The object that the sentence is about stands before.
    return lambda sentence: pattern is not None and pattern.search(sentence.partition("): ")[2]) is not None


@dataclass(frozen=True, slots=True)
class _Built:
    xds: Resources | None
    refused: tuple[Finding, ...]


def _built(loaded: Loaded, compiled: Compiled) -> _Built:
    """Envoy's configuration without the listeners and the user's routes that standalone cannot make."""
    nowhere = tls.Files(PurePath("/"), PurePath("/"))
    refused: list[Finding] = []
    rest: Snapshot | None = loaded.snapshot
    while rest is not None:
        try:
            world = World(rest, compiled)
            xds = build.build(world, nowhere, default_log=default_access_log(), address="127.0.0.1")
        except NotServable as exc:
            refused += (_as_written(finding, rest, loaded, compiled.gateway) for finding in exc.findings)
            rest = _without(rest, exc.findings, compiled.gateway)
        else:
            return _Built(xds, tuple(refused))
    return _Built(None, tuple(refused))


def _without(snapshot: Snapshot, findings: Iterable[Finding], gateway: ObjectRef) -> Snapshot | None:
    """None when what the findings are about cannot be left out by itself."""
    for finding in findings:
        kept: list[Object] = []
        if finding.object == gateway:
            reduced = _reduced(_gateway(snapshot, gateway), finding.field)
            if reduced is None:
                return None
            kept.append(reduced)
        elif finding.object.kind != "HTTPRoute" or finding.object not in map(ref_of, snapshot):
            return None
        others = (each for each in snapshot if ref_of(each) != finding.object)
        snapshot = snapshot.of((*others, *kept))
    return snapshot


def _reduced(gateway: Gateway, field: str) -> Gateway | None:
    """The Gateway without what cannot be made; None when nothing would be left of it."""
    spec, found = gateway.spec, _LISTENER.fullmatch(field)
    if field.startswith("spec.infrastructure"):
        spec = spec.model_copy(update={"infrastructure": None})
    elif found is not None and len(spec.listeners) > 1:
        kept = tuple(each for index, each in enumerate(spec.listeners) if index != int(found["index"]))
        spec = spec.model_copy(update={"listeners": kept})
    else:
        return None
    return gateway.model_copy(update={"spec": spec})


def _as_written(finding: Finding, rest: Snapshot, loaded: Loaded, gateway: ObjectRef) -> Finding:
    """Listeners are counted as in the file, also when some are left out already."""
    found = _LISTENER.fullmatch(finding.field)
    if finding.object != gateway or found is None:
        return finding
    name = _gateway(rest, gateway).spec.listeners[int(found["index"])].name
    # One with listeners that standalone does not know was read without them.
    whole = _listener_names(loaded.refused.get(gateway, {}))
    written = whole if name in whole else [each.name for each in _gateway(loaded.snapshot, gateway).spec.listeners]
    return replace(finding, field=f"spec.listeners[{written.index(name)}]{found['rest']}")


def _listener_names(content: Mapping[str, Any]) -> list[str]:
    """Of a Gateway as it is written."""
    spec = content.get("spec")
    listeners = spec.get("listeners") if isinstance(spec, dict) else None
    return [
        str(each.get("name")) if isinstance(each, dict) else ""
        for each in (listeners if isinstance(listeners, list) else ())
    ]


def _gateway(snapshot: Snapshot, ref: ObjectRef) -> Gateway:
    found = snapshot.get(Gateway, ref.namespace, ref.name)
    assert found is not None, "it was compiled"
    return found
