"""Everything that `aigw run` would say about a file at its start, without starting: for `aigw validate` and its kin.

A file without a Gateway cannot be meant for `aigw run`: its objects are judged as Kubernetes would, one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from aigw.standalone import objects, resources, verdicts
from aigw.standalone.base_xds import build, tls
from aigw.standalone.base_xds.world import NotServable, World
from aigw.standalone.default_log import default_access_log
from aigw.standalone.resources import BadResources, Loaded
from extension_server.xds.resources import Resources


@dataclass(frozen=True, slots=True)
class Served:
    """What `aigw run` would work with."""

    loaded: Loaded
    world: World
    xds: Resources
    """before the patches; paths of certificates are made up"""


@dataclass(frozen=True, slots=True)
class Verdict:
    errors: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    note: str = ""
    """what was looked at, if it is not everything"""
    served: Served | None = None
    """None: there are errors, or the objects were judged one by one"""


def validate(path: Path, environment: Mapping[str, str], *, kubernetes: bool = False) -> Verdict:
    """Complete sentences with file, object and field. `kubernetes`: objects for a cluster, Gateway or not."""
    try:
        return validate_text(resources.text_of(path), str(path), environment, kubernetes=kubernetes)
    except BadResources as exc:
        return Verdict(exc.messages)


def validate_text(text: str, file: str, environment: Mapping[str, str], *, kubernetes: bool = False) -> Verdict:
    """`validate` of a file's content; `file` names it in messages."""
    try:
        judgement = objects.judge(text, file)
        if kubernetes or not judgement.gateways:
            return _as_kubernetes(judgement)
        loaded = resources.read(text, file, environment)
        # Nothing of the outcome is kept, so neither is the key.
        found = verdicts.judge(loaded, token_key=bytes(32))
    except BadResources as exc:
        return Verdict(exc.messages)
    if found.errors:
        return Verdict(found.errors, found.warnings)
    nowhere = tls.Files(PurePath("/"), PurePath("/"))
    try:
        world = World(loaded.snapshot, found.compiled)
        xds = build.build(world, nowhere, default_log=default_access_log(), address="127.0.0.1")
    except NotServable as exc:
        return Verdict(tuple(loaded.sentence(finding) for finding in exc.findings), found.warnings)
    return Verdict((), found.warnings, served=Served(loaded, world, xds))


def _as_kubernetes(judgement: objects.Judgement) -> Verdict:
    objects_ = "1 object" if judgement.judged == 1 else f"{judgement.judged} objects"
    others = f"; {judgement.others} of other kinds not looked at" if judgement.others else ""
    return Verdict(judgement.errors, note=f"{objects_} judged as Kubernetes would{others}")
