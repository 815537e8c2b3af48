"""Objects of a file one by one, as a Kubernetes API server with our definitions judges them: for `aigw validate`.

Other kinds than ours are not judged, and neither is what objects say about each other: a controller does that. What the
controller will not serve whatever else there is, is a warning here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aigw.standalone import documents
from aigw.standalone.yaml_documents import BadYaml, Document
from extension_server.api import aigateway, kinds
from extension_server.api.base import InvalidObject, parse
from extension_server.compile import unserved
from extension_server.compile.result import Finding


@dataclass(frozen=True, slots=True)
class Seen:
    """One object of the file."""

    document: int
    title: str
    """`Kind namespace/name`, as far as it can be read"""
    kind: str
    ours: bool
    """it is judged; what is no object at all is, too"""


@dataclass(frozen=True, slots=True)
class Judgement:
    errors: tuple[str, ...]
    """complete sentences with document, object and field"""
    warnings: tuple[str, ...]
    """parts of sound objects that this release does not serve"""
    objects: tuple[Seen, ...]

    @property
    def gateways(self) -> int:
        return sum(each.kind == "Gateway" for each in self.objects)


def judge(text: str, file: str) -> Judgement:
    """`file` names the text in messages. Nothing is substituted: the API server takes texts as they are written."""
    errors: list[str] = []
    warnings: list[str] = []
    objects: list[Seen] = []
    try:
        for document in documents.read(text, None):
            seen = _seen(document)
            objects.append(seen)
            if not seen.ours:
                continue
            place = f"{file}: document {document.number}"
            place += f" ({seen.title})" if isinstance(document.content, dict) else ""
            for severity, said in _said(document):
                (errors if severity == "error" else warnings).append(f"{place}: {said}")
    except BadYaml as exc:
        errors.append(f"{file}: {exc}")
    if not errors and not objects:
        errors.append(f"{file}: holds no objects")
    return Judgement(tuple(errors), tuple(warnings), tuple(objects))


def _seen(document: Document) -> Seen:
    content = document.content
    if not isinstance(content, dict):
        return Seen(document.number, "not an object", "", ours=True)
    ref = documents.ref_of(content)
    return Seen(document.number, str(ref), ref.kind, ours=bool(document.errors) or _is_ours(content))


def _is_ours(content: Mapping[str, Any]) -> bool:
    version = content.get("apiVersion")
    return isinstance(version, str) and version.rpartition("/")[0] == aigateway.GROUP


def _said(document: Document) -> Iterator[tuple[str, str]]:
    """(severity, field and message)"""
    content: Mapping[str, Any] = document.content
    if document.errors:
        yield from (("error", each) for each in document.errors)
        return
    if not isinstance(content, dict):
        yield "error", "must be an object with apiVersion, kind and metadata"
        return
    if not isinstance(content.get("kind"), str):
        yield "error", "kind: Required value"
        return
    try:
        object_ = parse(kinds.model_of(content["apiVersion"], content["kind"]), content)
    except kinds.UnknownKind as exc:
        yield "error", str(exc)
    except InvalidObject as exc:
        yield from (("error", _joined(problem.field, problem.message)) for problem in exc.problems)
    else:
        yield from (("warning", _of(finding)) for finding in unserved.findings(object_))


def _of(finding: Finding) -> str:
    return _joined(finding.field, finding.message)


def _joined(field: str, message: str) -> str:
    return f"{field}: {message}" if field else message
