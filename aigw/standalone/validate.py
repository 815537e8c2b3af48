"""`aigw validate`: everything that `aigw run` would say about a file at its start, without starting."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from aigw.standalone import resources, verdicts
from aigw.standalone.base_xds import build, tls
from aigw.standalone.base_xds.world import NotServable, World
from aigw.standalone.default_log import default_access_log
from aigw.standalone.resources import BadResources


@dataclass(frozen=True, slots=True)
class Verdict:
    errors: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def validate(path: Path, environment: Mapping[str, str]) -> Verdict:
    """Complete sentences with file, object and field."""
    try:
        loaded = resources.load(path, environment)
        # Nothing of the outcome is kept, so neither is the key.
        found = verdicts.judge(loaded, token_key=bytes(32))
    except BadResources as exc:
        return Verdict(exc.messages)
    if found.errors:
        return Verdict(found.errors, found.warnings)
    nowhere = tls.Files(PurePath("/"), PurePath("/"))
    try:
        world = World(loaded.snapshot, found.compiled)
        build.build(world, nowhere, default_log=default_access_log(), address="127.0.0.1")
    except NotServable as exc:
        return Verdict(tuple(loaded.sentence(finding) for finding in exc.findings), found.warnings)
    return Verdict((), found.warnings)
