"""`aigw translate`: everything that follows from a file, as plain values: objects, filter configuration, xDS.

Tokens and the configuration's hash are made with a key that every run draws anew; here they are replaced by what they
stand for, so that the same file always gives the same text, and nothing in it can be guessed back from them.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from aigw.commands import redaction, xds_text
from aigw.commands.inputs import Judged
from aigw.commands.report import Problem, Severity, worst
from aigw.standalone.validate import Served
from extension_server.api.base import Object
from extension_server.compile.result import Compiled
from extension_server.xds import patches
from extension_server.xds.resources import Mediation, Resources

Section = Literal["objects", "filter", "xds"]
SECTIONS: Final[tuple[Section, ...]] = ("objects", "filter", "xds")
SOCKET: Final = "/run/aigw/filter.sock"
"""stands for the socket of the run's filter"""
CONFIG_HASH: Final = "hash-of-the-filter-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Plain values; a section that was not asked for is None."""

    file: str
    gateway: str
    verdict: Severity
    """the worst of the problems"""
    problems: tuple[Problem, ...]
    """an error: what it is about is left out"""
    warnings: tuple[str, ...]
    not_looked_at: tuple[str, ...]
    objects: list[Any] | None
    """generated Gateway API objects"""
    filter: dict[str, Any] | None
    """the filters' configuration, without credentials"""
    xds: dict[str, Any] | None
    """`base` as Envoy Gateway would write it, `patched` as Envoy gets it; in each: listeners, routes, clusters. None
    also when it cannot be made; the problems say why."""


def translate(judged: Judged, environment: Mapping[str, str], *, sections: Sequence[Section] = SECTIONS) -> Translation:
    served = judged.served
    compiled = served.world.compiled
    redactor = redaction.of(served.loaded.snapshot, compiled.filter_config, environment)
    names = stand_ins(compiled)

    def shown(value: Any) -> Any:
        return _renamed(redactor.tree(value), names)

    return Translation(
        file=served.loaded.file,
        gateway=f"{compiled.gateway.namespace}/{compiled.gateway.name}",
        verdict=worst(each.severity for each in judged.problems),
        problems=redactor.problems(judged.problems),
        warnings=tuple(redactor.text(each) for each in judged.warnings),
        not_looked_at=judged.not_looked_at,
        objects=shown(_objects(compiled)) if "objects" in sections else None,
        filter=_renamed(redaction.plain(compiled.filter_config, redactor), names) if "filter" in sections else None,
        xds=shown(_xds(served)) if "xds" in sections else None,
    )


def stand_ins(compiled: Compiled) -> dict[str, str]:
    """Token or hash → what is shown in its place."""
    found = {compiled.config_hash: CONFIG_HASH}
    for rule in compiled.filter_config.rules:
        found[rule.token] = f"token-of/{rule.name}"
        for number, share in enumerate(rule.shares):
            found[share.token] = f"token-of/{rule.name}/share/{number}"
    for compiled_rule in compiled.rules:
        # Routes that no listener takes have tokens too.
        found.setdefault(compiled_rule.token, f"token-of/{compiled_rule.route}/rule/{compiled_rule.rule}")
    found.pop("", None)
    return found


def patched(served: Served) -> Resources | None:
    """The xDS that Envoy gets; None when it cannot be made."""
    if served.xds is None:
        return None
    resources = Resources(
        listeners=copy.deepcopy(served.xds.listeners),
        routes=copy.deepcopy(served.xds.routes),
        clusters=copy.deepcopy(served.xds.clusters),
    )
    patches.apply(resources, Mediation(served.world.compiled, (SOCKET,)))
    return resources


def _objects(compiled: Compiled) -> list[Any]:
    return [object_.dump() for object_ in compiled.objects if isinstance(object_, Object)]


def _xds(served: Served) -> dict[str, Any] | None:
    after = patched(served)
    if served.xds is None or after is None:
        return None
    return {"base": _plain(served.xds), "patched": _plain(after)}


def _plain(resources: Resources) -> dict[str, Any]:
    return {
        kind: [xds_text.plain(message) for message in getattr(resources, kind)]
        for kind in ("listeners", "routes", "clusters")
    }


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case str():
            return names.get(value, value)
        case dict():
            return {name: _renamed(member, names) for name, member in value.items()}
        case list() | tuple():
            return [_renamed(item, names) for item in value]
        case _:
            return value
