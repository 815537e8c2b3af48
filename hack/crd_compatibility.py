"""What would break people if these CustomResourceDefinitions replaced the released ones.

    python -m hack.crd_compatibility            # exit code 1 and one line per break, each with its path
    python -m hack.crd_compatibility --release  # from now on these definitions are the released ones

An object that the API server takes today must be taken by every later version, keep every field, and mean the same.
What cannot be proven to be so (another expression, another pattern) counts as a break: decide it, then release it.
"""

import argparse
import lzma
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from filters.contract import jsonlib
from hack import generate_crds

RELEASED: Final = Path(__file__).parent.parent / "tests" / "data" / "crds" / "released.json.xz"

_Schema = Mapping[str, Any]
_SAME: Final = (
    "type",
    "format",
    "default",
    "pattern",
    "anyOf",
    "allOf",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
_LOWEST: Final = ("minimum", "minLength", "minItems", "minProperties")
_HIGHEST: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_NAMES: Final = ("kind", "listKind", "plural", "singular")


def breaks(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Of two CustomResourceDefinitions of one kind: `path: what happened`."""
    kind = old["spec"]["names"]["kind"]
    for name in _NAMES:
        if old["spec"]["names"][name] != new["spec"]["names"][name]:
            yield f"{kind}: {name} changed"
    for short in set(old["spec"]["names"].get("shortNames", ())) - set(new["spec"]["names"].get("shortNames", ())):
        yield f"{kind}: short name {short} removed"
    for member in ("group", "scope"):
        if old["spec"][member] != new["spec"][member]:
            yield f"{kind}: {member} changed"
    versions = {version["name"]: version for version in new["spec"]["versions"]}
    for version in old["spec"]["versions"]:
        path = f"{kind} {version['name']}"
        if version["name"] not in versions:
            yield f"{path}: version removed"
        else:
            yield from _version(path, version, versions[version["name"]])


def _version(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old["served"] and not new["served"]:
        yield f"{path}: no longer served"
    if old["storage"] != new["storage"]:
        yield f"{path}: storage version changed; objects must be rewritten first"
    for subresource in old["subresources"].keys() - new["subresources"].keys():
        yield f"{path}: subresource {subresource} removed"
    columns = {column["name"]: column for column in new["additionalPrinterColumns"]}
    for column in old["additionalPrinterColumns"]:
        if columns.get(column["name"]) != column:
            yield f"{path}: printer column {column['name']} changed"
    yield from schema_breaks(old["schema"]["openAPIV3Schema"], new["schema"]["openAPIV3Schema"], path)


def schema_breaks(old: _Schema, new: _Schema, path: str) -> Iterator[str]:
    """Of two schemas, the values of which are at `path`."""
    for keyword in _SAME:
        if old.get(keyword) != new.get(keyword):
            yield f"{path}: {keyword} changed from {old.get(keyword)} to {new.get(keyword)}"
    yield from _bounds(old, new, path, _LOWEST, lambda before, after: before is None or after > before)
    yield from _bounds(old, new, path, _HIGHEST, lambda before, after: before is None or after < before)
    if "enum" in new and (missing := [value for value in old.get("enum", ["anything"]) if value not in new["enum"]]):
        yield f"{path}: no longer takes {', '.join(map(str, missing))}"
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{path}.{name}: is required now"
    before = {rule["rule"]: rule["message"] for rule in old.get("x-kubernetes-validations", ())}
    for rule in new.get("x-kubernetes-validations", ()):
        if rule["rule"] not in before:
            yield f"{path}: new rule: {rule['rule']}"
        elif rule["message"] != before[rule["rule"]]:
            yield f"{path}: message changed: {rule['message']}"
    yield from _inner(old, new, path)


def _bounds(
    old: _Schema, new: _Schema, path: str, keywords: tuple[str, ...], tighter: Callable[[Any, Any], bool]
) -> Iterator[str]:
    for keyword in keywords:
        if keyword in new and tighter(old.get(keyword), new[keyword]):
            yield f"{path}: {keyword} tightened from {old.get(keyword)} to {new[keyword]}"


def _inner(old: _Schema, new: _Schema, path: str) -> Iterator[str]:
    properties = new.get("properties", {})
    for name, schema in old.get("properties", {}).items():
        if name in properties:
            yield from schema_breaks(schema, properties[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: removed"
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "[*]")):
        if keyword in old and keyword in new:
            yield from schema_breaks(old[keyword], new[keyword], f"{path}{suffix}")
        elif keyword in old:
            yield f"{path}{suffix}: removed"


def released() -> dict[str, Any]:
    """Kind → the CustomResourceDefinition that people have."""
    documents: dict[str, Any] = jsonlib.decode(lzma.decompress(RELEASED.read_bytes()), dict[str, Any])
    return documents


def current() -> dict[str, Any]:
    """Kind → the one of this tree."""
    return {kind.name: generate_crds.definition(kind) for kind in generate_crds.KINDS}


def found() -> list[str]:
    """Every break between the released definitions and these."""
    now = current()
    result: list[str] = []
    for kind, old in released().items():
        result += breaks(old, now[kind]) if kind in now else [f"{kind}: removed"]
    return result


def main() -> int:
    """Exit code 1: something breaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true", help="record these definitions as the released ones")
    if parser.parse_args().release:
        RELEASED.parent.mkdir(parents=True, exist_ok=True)
        RELEASED.write_bytes(lzma.compress(jsonlib.encode(current()), preset=9 | lzma.PRESET_EXTREME))
        return 0
    for line in (lines := found()):
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
