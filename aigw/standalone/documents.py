"""The objects of a YAML text, one by one: what `kubectl get -o yaml` prints is one document with a list of them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from aigw.standalone import yaml_documents
from aigw.standalone.yaml_documents import Document
from extension_server.compile.result import ObjectRef


def read(text: str, environment: Mapping[str, str] | None) -> Iterator[Document]:
    """As `yaml_documents.read`; the objects of a list have the number of its document. Raises BadYaml."""
    for document in yaml_documents.read(text, environment):
        items = None if document.errors else _items(document.content)
        if items is None:
            yield document
        else:
            yield from (replace(document, content=item) for item in items)


def _items(content: Any) -> list[Any] | None:
    if not isinstance(content, dict) or not str(content.get("kind")).endswith("List"):
        return None
    items = content.get("items")
    return items if isinstance(items, list) else None


def ref_of(content: Mapping[str, Any]) -> ObjectRef:
    """Names the object as far as it can be read."""
    metadata = content.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    kind = str(content.get("kind") or "?")
    namespace = "" if kind == "GatewayClass" else str(metadata.get("namespace") or "default")
    return ObjectRef(kind, namespace, str(metadata.get("name") or "?"))
