"""The resource file of `aigw run FILE` → a Snapshot, or everything that is wrong with it.

Multi-document YAML with the objects exactly as for Kubernetes. `${VAR}` and its kin are replaced (yaml_documents), and
in Secrets the annotations `substitution.aigw.run/env/<key>` and `substitution.aigw.run/file/<key>` set a key from a
variable or a file. All errors are reported together, in the order of the file, each as
`FILE: document N (Kind namespace/name): field.path: message`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from aigw.standalone import documents
from aigw.standalone.yaml_documents import BadYaml, Document
from extension_server.api import core, kinds
from extension_server.api.base import InvalidObject, Object, Problem, parse, parse_part, parse_stored
from extension_server.api.gateway import Gateway, Listener
from extension_server.compile import unserved
from extension_server.compile.result import Finding, ObjectRef
from extension_server.compile.snapshot import Snapshot, ref_of
from extension_server.credentials.policy import AwsEnvironment
from filters.contract.secret import Secret

_SUBSTITUTION: Final = "substitution.aigw.run/"
_FROM_ENVIRONMENT: Final = f"{_SUBSTITUTION}env/"
_FROM_FILE: Final = f"{_SUBSTITUTION}file/"
_REMOVED: Final = {
    "AIServiceBackend": {"timeouts": "is no longer a field and has no effect; set timeouts in the rules of the route"},
}
"""Kind → member of `spec` that files in circulation still have, without any effect → what to do."""
_FOREIGN_HINT: Final = "not supported by standalone; use Envoy Gateway"


class BadResources(ValueError):
    """The file cannot be used. `messages` are complete sentences, one per defect, in the order of the file."""

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages = tuple(messages)
        super().__init__("\n".join(self.messages))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a file says."""

    file: str
    snapshot: Snapshot
    documents: Mapping[ObjectRef, int]
    """number of the document that each object comes from"""
    aws_environment: AwsEnvironment | None = None
    """AWS keys of the environment, for policies that name none"""
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    """in the order of the file; what they are about is not in the snapshot. None in what `read` returns."""
    elsewhere: frozenset[str] = frozenset()
    """those of `errors` that a cluster would not have: kinds and fields for Envoy Gateway, or without effect there"""
    refused: Mapping[ObjectRef, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """what the objects that cannot be used say; a Secret's keys may be among it"""
    others: tuple[ObjectRef, ...] = ()
    """objects of kinds that standalone does not know at all; `errors` and `elsewhere` name them too"""

    def sentence(self, finding: Finding) -> str:
        """A finding of the compiler, with the place in the file."""
        number = self.documents.get(finding.object)
        place = f"{self.file}: document {number} ({finding.object})" if number else f"{self.file}: {finding.object}"
        return f"{place}: {finding.field}: {finding.message}" if finding.field else f"{place}: {finding.message}"


def load(path: Path, environment: Mapping[str, str], *, home: Path | None = None) -> Loaded:
    """Reads and checks the file. `home` is what `~` stands for in file substitutions. Raises BadResources."""
    return read(text_of(path), str(path), environment, home=home)


def text_of(path: Path) -> str:
    """What is in the file. Raises BadResources."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise BadResources((f"{path}: cannot be read: {exc.strerror or exc}",)) from exc
    except UnicodeDecodeError as exc:
        raise BadResources((f"{path}: not UTF-8 text (byte {exc.start})",)) from exc


def read(text: str, file: str, environment: Mapping[str, str], *, home: Path | None = None) -> Loaded:
    """The objects in `text`; `file` names it in messages. Raises BadResources."""
    loaded = read_usable(text, file, environment, home=home)
    if loaded.errors:
        raise BadResources(loaded.errors)
    return loaded


def read_usable(text: str, file: str, environment: Mapping[str, str], *, home: Path | None = None) -> Loaded:
    """The objects in `text` that can be used, and what is wrong with the others. Raises BadResources for a text that is
    no YAML or holds nothing."""
    reader = _Reader(file, environment, home or Path.home())
    try:
        for document in documents.read(text, environment):
            reader.add(document)
    except BadYaml as exc:
        raise BadResources((*reader.errors, f"{file}: {exc}")) from exc
    if not reader.errors and not reader.objects:
        raise BadResources((f"{file}: holds no objects",))
    return Loaded(
        file=file,
        snapshot=Snapshot(reader.objects.values(), reader.problems, reader.refused.values()),
        documents=MappingProxyType(reader.numbers),
        aws_environment=_aws(environment),
        warnings=tuple(reader.warnings),
        errors=tuple(reader.errors),
        elsewhere=frozenset(reader.elsewhere),
        refused=MappingProxyType(reader.refused),
        others=tuple(reader.others),
    )


def _aws(environment: Mapping[str, str]) -> AwsEnvironment | None:
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    token = environment.get("AWS_SESSION_TOKEN")
    return AwsEnvironment(
        access_key_id=key, secret_access_key=Secret(secret), session_token=Secret(token) if token else None
    )


class _Reader:
    """Collects the objects of one file."""

    def __init__(self, file: str, environment: Mapping[str, str], home: Path) -> None:
        self.file = file
        self.environment = environment
        self.home = home
        self.objects: dict[ObjectRef, Object] = {}
        self.numbers: dict[ObjectRef, int] = {}
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.others: list[ObjectRef] = []
        self.problems: dict[ObjectRef, str] = {}
        self.refused: dict[ObjectRef, Mapping[str, Any]] = {}
        self.warnings: list[str] = []

    def add(self, document: Document) -> None:
        place = f"{self.file}: document {document.number}"
        content = document.content
        if document.errors:
            self._refuse(place, content, document.errors)
            return
        if not isinstance(content, dict):
            self._refuse(place, content, ("must be an object with apiVersion, kind and metadata",))
            return
        missing = [name for name in ("apiVersion", "kind") if not isinstance(content.get(name), str)]
        if missing:
            texts = [f"{name}: Required value" for name in missing]
            self.errors += (f"{place}: {text}" for text in texts)
            self.problems.setdefault(documents.ref_of(content), "; ".join(texts))
            return
        object_ = self._object(place, content)
        if object_ is None:
            return
        ref, place = ref_of(object_), f"{place} ({documents.ref_of(content)})"
        if isinstance(object_, core.Secret):
            object_ = self._substituted(object_, place)
        if ref in self.objects:
            self.errors.append(f"{place}: is defined already by document {self.numbers[ref]}")
            return
        self.objects[ref] = object_
        self.numbers[ref] = document.number

    def _object(self, place: str, content: Mapping[str, Any]) -> Object | None:
        """None for what cannot be used; `errors` say why."""
        try:
            model = kinds.model_of(content["apiVersion"], content["kind"])
        except kinds.UnknownKind as exc:
            known = kinds.is_known(content["apiVersion"], content["kind"])
            self._refuse(place, content, (str(exc),), elsewhere=not known)
            if not known:
                self.others.append(documents.ref_of(content))
            return None
        readable = self._without_removed(content, f"{place} ({documents.ref_of(content)})")
        try:
            object_ = parse(model, readable)
        except InvalidObject as exc:
            foreign = not kinds.is_ours(model)
            texts = [f"{problem.field}: {_text(problem, foreign)}" for problem in exc.problems]
            elsewhere = foreign and any(_FOREIGN_HINT in text for text in texts)
            self._refuse(place, content, texts, elsewhere=elsewhere)
            return _without_unknown(model, readable) if elsewhere else None
        if isinstance(object_, unserved.KINDS):
            self._refuse(place, content, (unserved.of_kind(object_.kind),), elsewhere=True)
            return None
        return object_

    def _refuse(self, place: str, content: Any, texts: Iterable[str], *, elsewhere: bool = False) -> None:
        texts = tuple(texts)
        if isinstance(content, dict):
            ref = documents.ref_of(content)
            place = f"{place} ({ref})"
            self.problems.setdefault(ref, "; ".join(texts))
            self.refused[ref] = content
        sentences = [f"{place}: {text}" for text in texts]
        self.errors += sentences
        self.elsewhere += sentences if elsewhere else ()

    def _without_removed(self, content: Mapping[str, Any], place: str) -> Mapping[str, Any]:
        removed, spec = _REMOVED.get(content["kind"], {}), content.get("spec")
        if not isinstance(spec, dict):
            return content
        for member in sorted(removed.keys() & spec.keys()):
            self.warnings.append(f"{place}: spec.{member}: {removed[member]}")
        return {**content, "spec": {name: value for name, value in spec.items() if name not in removed}}

    def _substituted(self, secret: core.Secret, place: str) -> core.Secret:
        """A source that is not there leaves the key as the Secret has it, with a warning; else it is an error."""
        values: dict[str, Secret] = {}
        for annotation, source in sorted(secret.metadata.annotations.items()):
            key, value, why = self._source(annotation, source)
            if value is not None:
                values[key] = Secret(value)
            elif why:
                message = f"{place}: metadata.annotations[{annotation}]: {why}"
                if secret.value(key) is None:
                    self.errors.append(f"{message}, and key {key} has no other value")
                else:
                    self.warnings.append(f"{message}; key {key} keeps the value written in the file")
        if not values:
            return secret
        return secret.model_copy(update={"string_data": {**secret.string_data, **values}})

    def _source(self, annotation: str, source: str) -> tuple[str, str | None, str]:
        """(key, value, why there is none); an empty key for annotations of other purpose."""
        if annotation.startswith(_FROM_ENVIRONMENT):
            value = self.environment.get(source)
            return annotation.removeprefix(_FROM_ENVIRONMENT), value, f"environment variable {source} is not set"
        if not annotation.startswith(_FROM_FILE):
            return "", None, ""
        path = self.home / source[2:] if source.startswith("~/") else Path(source)
        try:
            return annotation.removeprefix(_FROM_FILE), path.read_text(encoding="utf-8"), ""
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
            return annotation.removeprefix(_FROM_FILE), None, f"file {source} cannot be read: {reason}"


def _without_unknown(model: type[Object], content: Mapping[str, Any]) -> Object | None:
    """An object of Envoy Gateway's without the fields and listeners that only Envoy Gateway knows; None when there is
    more to it."""
    spec = content.get("spec")
    if model is Gateway and isinstance(spec, dict) and isinstance(spec.get("listeners"), list):
        spec = {**spec, "listeners": [each for each in spec["listeners"] if _is_readable(each)]}
        content = {**content, "spec": spec}
    try:
        return parse_stored(model, content)
    except InvalidObject:
        return None  # what is said about the object is enough


def _is_readable(listener: object) -> bool:
    try:
        parse_part(Listener, listener)
    except InvalidObject:
        return False
    return True


def _text(problem: Problem, foreign: bool) -> str:
    if problem.unknown_field and foreign:
        return _FOREIGN_HINT
    if foreign and problem.message.startswith("Unsupported value"):
        return f"{problem.message}; others are {_FOREIGN_HINT}"
    return problem.message
