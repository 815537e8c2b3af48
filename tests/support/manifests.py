"""YAML manifests in tests → model objects, without the file loader."""

from collections.abc import Iterator

import yaml

from extension_server.api import kinds
from extension_server.api.base import Object, parse
from extension_server.compile.snapshot import Snapshot


def objects(text: str) -> Iterator[Object]:
    """Every object in the YAML documents of `text`."""
    for document in yaml.safe_load_all(text):
        if document:
            yield parse(kinds.model_of(document["apiVersion"], document["kind"]), document)


def snapshot(*texts: str) -> Snapshot:
    return Snapshot(each for text in texts for each in objects(text))
