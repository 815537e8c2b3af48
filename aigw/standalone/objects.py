"""Objects of a file one by one, as a Kubernetes API server with our definitions judges them: for `aigw validate`.

Other kinds than ours are not looked at, and neither is what objects say about each other: a controller does that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aigw.standalone import yaml_documents
from aigw.standalone.yaml_documents import BadYaml, Document
from extension_server.api import aigateway, kinds
from extension_server.api.base import InvalidObject, parse


@dataclass(frozen=True, slots=True)
class Judgement:
    errors: tuple[str, ...]
    """complete sentences with document, object and field"""
    judged: int
    others: int
    """objects that are not ours to judge"""
    gateways: int


def judge(text: str, file: str) -> Judgement:
    """`file` names the text in messages. Nothing is substituted: the API server takes texts as they are written."""
    errors: list[str] = []
    judged = others = gateways = 0
    try:
        for document in yaml_documents.read(text, None):
            content = document.content
            if isinstance(content, dict) and content.get("kind") == "Gateway":
                gateways += 1
            if _is_ours(content) or document.errors or not isinstance(content, dict):
                judged += 1
                errors += (f"{file}: document {document.number}{_name(content)}: {why}" for why in _defects(document))
            else:
                others += 1
    except BadYaml as exc:
        errors.append(f"{file}: {exc}")
    if not errors and not judged + others:
        errors.append(f"{file}: holds no objects")
    return Judgement(tuple(errors), judged, others, gateways)


def _is_ours(content: Any) -> bool:
    version = content.get("apiVersion") if isinstance(content, dict) else None
    return isinstance(version, str) and version.rpartition("/")[0] == aigateway.GROUP


def _name(content: Any) -> str:
    if not isinstance(content, dict):
        return ""
    metadata = content.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f" ({content.get('kind') or '?'} {name or '?'})"


def _defects(document: Document) -> tuple[str, ...]:
    content: Mapping[str, Any] = document.content
    if document.errors:
        return document.errors
    if not isinstance(content, dict):
        return ("must be an object with apiVersion, kind and metadata",)
    if not isinstance(content.get("kind"), str):
        return ("kind: Required value",)
    try:
        parse(kinds.model_of(content["apiVersion"], content["kind"]), content)
    except kinds.UnknownKind as exc:
        return (str(exc),)
    except InvalidObject as exc:
        return tuple(
            f"{problem.field}: {problem.message}" if problem.field else problem.message for problem in exc.problems
        )
    return ()
