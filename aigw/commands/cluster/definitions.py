"""Are the CustomResourceDefinitions there, and those of this version?"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel

from aigw.commands.checks.base import Finding
from aigw.commands.cluster.state import Cluster, Document, holds
from extension_server.api.base import Object
from extension_server.controller.kinds import WATCHED, Watched

_FOREIGN: Final = {
    "gatewayclasses": "gateway.networking.k8s.io",
    "gateways": "gateway.networking.k8s.io",
    "httproutes": "gateway.networking.k8s.io",
    "backends": "gateway.envoyproxy.io",
    "httproutefilters": "gateway.envoyproxy.io",
}
_INSTALL_OURS: Final = "install or upgrade the chart of our CRDs, then the controller's (docs: install)"
_INSTALL_THEIRS: Final = "install Envoy Gateway with its CRDs (1.8 or 1.9)"
_SHOWN: Final = 3


def check(cluster: Cluster) -> Iterable[Finding]:
    """Ours in full, the others' that we cannot do without by name."""
    if not cluster.readable("CustomResourceDefinition"):
        return
    found = {each["metadata"]["name"]: each for each in cluster.all("CustomResourceDefinition")}
    ours = [each for each in WATCHED if each.sort == "ours"]
    problems = [problem for each in ours for problem in _ours(each, found)]
    problems += _theirs(found)
    yield from problems
    if not problems:
        yield Finding(severity="ok", title=f"all {len(ours)} kinds of ours are there, with every field of this version")


def _ours(watched: Watched, found: Mapping[str, Document]) -> Iterator[Finding]:
    name = f"{watched.plural}.{watched.group}"
    meaning = f"objects of kind {watched.kind} cannot be created or are not served as written"
    definition = found.get(name)
    if definition is None:
        yield Finding(severity="error", title=f"CRD {name} is not installed", meaning=meaning, fix=_INSTALL_OURS)
        return
    if not holds(definition, "Established"):
        title = f"CRD {name} is not established"
        yield Finding(severity="error", title=title, meaning=meaning, fix=f"kubectl describe crd {name}")
        return
    versions = {each["name"]: each for each in definition["spec"]["versions"] if each.get("served")}
    resource = watched.resource({version: frozenset({watched.plural}) for version in versions})
    if resource is None:
        title = f"CRD {name} serves no version that we read, only {', '.join(sorted(versions)) or 'none'}"
        yield Finding(severity="error", title=title, meaning=meaning, fix=_INSTALL_OURS)
        return
    schema = versions[resource.version].get("schema", {}).get("openAPIV3Schema", {})
    lacking = list(missing_fields(watched.model(resource.api_version), schema))
    if lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        yield Finding(
            severity="error",
            title=f"CRD {name} is of another version: it has no {', '.join(lacking[:_SHOWN])}{more}",
            meaning="the API server drops these fields without a word",
            fix=_INSTALL_OURS,
        )


def _theirs(found: Mapping[str, Document]) -> Iterator[Finding]:
    for plural, group in _FOREIGN.items():
        if f"{plural}.{group}" not in found:
            title = f"CRD {plural}.{group} is not installed"
            yield Finding(severity="error", title=title, meaning="nothing can be served", fix=_INSTALL_THEIRS)


def missing_fields(model: type[Object], schema: Document) -> Iterator[str]:
    """Paths of fields that the model has and the schema of a CRD does not."""
    field = model.model_fields.get("spec")
    if field is not None:
        yield from _missing(field.annotation, schema.get("properties", {}).get("spec", {}), "spec", ())


def _missing(annotation: Any, schema: Document, path: str, above: tuple[type, ...]) -> Iterator[str]:
    for model in _models(annotation):
        if model in above:
            continue
        properties = schema.get("properties")
        if properties is None:
            return  # anything goes there
        for name, field in model.model_fields.items():
            alias = field.alias or name
            inside = f"{path}.{alias}"
            if alias not in properties:
                yield inside
                continue
            below = properties[alias]
            if below.get("type") == "array":
                below = below.get("items", {})
            yield from _missing(field.annotation, below, inside, (*above, model))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type: `X | None`, `tuple[X, ...]`, `Annotated[X, …]`; of a map, those of no field of a CRD."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    if getattr(annotation, "__origin__", None) in (dict, Mapping):
        return
    for each in get_args(annotation):
        yield from _models(each)
