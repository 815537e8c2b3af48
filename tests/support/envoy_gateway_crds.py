"""The CustomResourceDefinitions of Envoy Gateway and the Gateway API, from Envoy Gateway's own chart.

They come from the Go module proxy, as the Go programs of `make tools` do, and are checked against the module's sum.
"""

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from filters.contract import jsonlib

MODULE: Final = "github.com/envoyproxy/gateway@v1.8.1"
SUM: Final = "h1:i8POtrPtel3n0iGP55MNy6U1rTW4msyhkEWjXAF09ts="
_FOLDER: Final = "charts/gateway-helm/charts/crds/crds"


class NotThere(RuntimeError):
    """The module could not be had."""


@cache
def folder() -> Path:
    """Raises NotThere."""
    try:
        output = subprocess.run(
            ["go", "mod", "download", "-json", MODULE], capture_output=True, check=True, cwd="/", timeout=120
        ).stdout
    except (OSError, subprocess.SubprocessError) as exc:
        raise NotThere(f"{MODULE}: {exc}") from exc
    found = jsonlib.decoder(dict[str, Any])(output)
    if found.get("Sum") != SUM:
        raise NotThere(f"{MODULE} has sum {found.get('Sum')}, not {SUM}")
    return Path(found["Dir"]) / _FOLDER


def write(target: Path, *names: str) -> Path:
    """`target` with the definitions of these plural names; the whole set is large, and slow to install."""
    wanted = set(names)
    documents = [each for each in _documents() if each["spec"]["names"]["plural"] in wanted]
    missing = wanted - {each["spec"]["names"]["plural"] for each in documents}
    if missing:
        raise NotThere(f"{MODULE} has no definitions of {sorted(missing)}")
    target.write_text(yaml.dump_all(documents, Dumper=yaml.CSafeDumper))
    return target


def _documents() -> Iterator[dict[str, Any]]:
    for file in sorted(folder().rglob("*.yaml")):
        for document in yaml.load_all(file.read_text(), yaml.CSafeLoader):
            if document and document["kind"] == "CustomResourceDefinition":
                yield document
