"""Objects of our kinds with the verdict that they deserve, for the tests that ask our models and a real API server.

`tests/data/validation/tables/*.yaml`: small changes to a valid object, one rule after the other. `valid/` and
`invalid/`: whole files, one per case that people have asked about. The texts are the API server's.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

DATA: Final = Path(__file__).parents[1] / "data" / "validation"


@dataclass(frozen=True, slots=True)
class Case:
    title: str
    document: dict[str, Any]
    rejects: dict[str, str] = field(default_factory=dict)
    """field → message; several messages about one field are joined by `; `. Empty: the object is fine"""


def cases() -> list[Case]:
    return [*kinds(), *embedded(), *files()]


def kinds() -> Iterator[Case]:
    """`kinds.yaml`: `with` is merged into the valid object of the kind."""
    content = table("kinds")
    for each in content["cases"]:
        document = merged(content["base"][each["kind"]], each.get("with", {}))
        yield Case(f"{each['kind']} {each['title']}", document, each.get("rejects", {}))


def embedded() -> Iterator[Case]:
    """Tables about a part of an object: `place` is where the part goes in `inside`."""
    for name in ("oidc", "ext_auth"):
        content = table(name)
        for each in content["cases"]:
            document = copy.deepcopy(content["inside"])
            _put(document, content["place"].split("."), merged(content["base"], each.get("with", {})))
            rejects = {f"{content['place']}{below}": message for below, message in each.get("rejects", {}).items()}
            yield Case(f"{name} {each['title']}", document, rejects)


def files() -> Iterator[Case]:
    """`valid/KIND/CASE.yaml` and `invalid/KIND/CASE.yaml`; the latter hold the messages in a document before."""
    for path in sorted(DATA.glob("valid/*/*.yaml")):
        yield Case(f"valid {path.parent.name}/{path.stem}", *yaml.safe_load_all(path.read_text()))
    for path in sorted(DATA.glob("invalid/*/*.yaml")):
        expected, document = yaml.safe_load_all(path.read_text())
        yield Case(f"invalid {path.parent.name}/{path.stem}", document, expected["rejects"])


def merged(base: Any, change: Any) -> Any:
    """`change` put over `base`: null removes a member, lists are replaced."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    result = {key: merged(base.get(key), change[key]) if key in change else base[key] for key in {**base, **change}}
    return {key: value for key, value in result.items() if value is not None}


def table(name: str) -> dict[str, Any]:
    """A file of `tables/`."""
    content: dict[str, Any] = yaml.safe_load((DATA / "tables" / f"{name}.yaml").read_text())
    return content


def _put(document: Any, steps: list[str], value: Mapping[str, Any]) -> None:
    *way, last = steps
    for step in way:
        document = document.setdefault(step, {})
    document[last] = value


def examples() -> list[Path]:
    """Whole files as people have them, for a cluster or for `aigw run`."""
    return sorted((DATA / "examples").glob("*.yaml"))
