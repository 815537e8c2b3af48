"""One conformance case: a folder of files that describes one behaviour, loaded into frozen values.

    conformance/cases/<provider>/provider.yaml            defaults of the provider's cases (`backend`)
    conformance/cases/<provider>/<endpoint>/<case>/
        case.yaml                                         written by hand: see `CaseFile`
        client_request.json                               the client's body, byte for byte
        upstream_response.{json,sse,txt,bin,events.jsonl} the provider's body; absent: no request may reach the provider
        upstream_request.json  client_response.json|.sse  usage.json      generated (`make fixtures`), reviewed by hand

`.events.jsonl` holds one `{"headers": {":event-type": …}, "payload": {…}}` per line and is sent as AWS event-stream
frames. A `content-encoding` among the upstream's headers makes the loader compress the body.
Read by every runner; knows neither Envoy nor translators.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
import yaml

from conformance.upstream import content_coding, event_stream
from filters.contract import jsonlib
from filters.contract.config import Backend, BodyMutation, Credential, HeaderMutation, Schema
from filters.contract.secret import Secret

CASES: Final = Path(__file__).parent / "cases"
CLIENT_REQUEST: Final = "client_request.json"
UPSTREAM_RESPONSE: Final = "upstream_response"
GENERATED: Final = ("upstream_request.json", "client_response.json", "client_response.sse", "usage.json")
"""what `make fixtures` writes and deletes"""

Plan = Literal["single", "attempt"]
Via = Literal["process", "envoy"]
Cut = Literal["none", "reset", "eof"]
T = TypeVar("T")


class CaseError(ValueError):
    """A case that cannot be read. The text names the file and the key."""


class HeaderMutationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    set: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class BodyMutationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`set` values are YAML values here."""

    set: dict[str, Any] = {}
    remove: tuple[str, ...] = ()


class BackendFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`backend` of provider.yaml and case.yaml; the case's members are merged over the provider's."""

    schema: Schema
    host: str = ""
    model_override: str = ""
    credential: Credential | None = None
    header_mutation: HeaderMutationFile = HeaderMutationFile()
    body_mutation: BodyMutationFile = BodyMutationFile()


class ProviderFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """provider.yaml"""

    backend: dict[str, Any]


class ClientFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the client asks."""

    path: str = "/v1/chat/completions"
    headers: dict[str, str] = {}
    """besides `content-type: application/json`; an empty value takes a header away"""

    def sent_headers(self) -> dict[str, str]:
        merged = {"content-type": "application/json"} | {name.lower(): value for name, value in self.headers.items()}
        return {name: value for name, value in merged.items() if value}


class UpstreamFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the provider answers. `cut`: eof ends the body early but cleanly, reset breaks the connection after it."""

    status: int = 200
    headers: dict[str, str] = {}
    cut: Cut = "none"


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """case.yaml"""

    description: str
    requirements: tuple[str, ...]
    backend: dict[str, Any] = {}
    client: ClientFile = ClientFile()
    upstream: UpstreamFile = UpstreamFile()
    plans: tuple[Plan, ...] = ("single", "attempt")
    via: tuple[Via, ...] = ("process", "envoy")
    reason: str = ""
    """why `via` leaves a runner out"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the provider sends back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """on the wire: framed and compressed"""
    cut: Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One behaviour. `name` is `<provider>/<endpoint>/<case>`."""

    name: str
    provider: str
    endpoint: str
    directory: Path
    description: str
    requirements: tuple[str, ...]
    backend: Backend
    credential: Credential | None
    """of the backend"""
    client: ClientFile
    client_body: bytes
    answer: Answer | None
    """None: the gateway answers itself, nothing may reach the provider"""
    plans: tuple[Plan, ...]
    via: tuple[Via, ...]

    @property
    def seed(self) -> int:
        """Stable seed for what is random about this case's run."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4])


def load_all(root: Path = CASES, provider: str = "") -> list[Case]:
    """Every case below `root`, or one provider's, in the order of their names. Raises CaseError."""
    if provider and not (root / provider).is_dir():
        known = ", ".join(sorted(entry.name for entry in root.iterdir() if entry.is_dir()))
        raise CaseError(f"{root}: no provider {provider!r} (there are: {known})")
    return [load(directory, root) for directory in case_directories(root, provider)]


def case_directories(root: Path = CASES, provider: str = "") -> Iterator[Path]:
    """Every case folder. Raises CaseError for a folder at that depth that is none."""
    for directory in sorted(root.glob(f"{provider or '*'}/*/*")):
        if not directory.is_dir():
            continue
        if not (directory / "case.yaml").is_file():
            raise CaseError(f"{directory}: case.yaml is missing")
        yield directory


def load(directory: Path, root: Path = CASES) -> Case:
    """One folder as a case. Raises CaseError."""
    provider, endpoint, _ = directory.relative_to(root).parts
    provider_path = root / provider / "provider.yaml"
    case_path = directory / "case.yaml"
    defaults = _read(provider_path, ProviderFile)
    case = _read(case_path, CaseFile)
    if len(case.via) < 2 and not case.reason:
        raise CaseError(f"{case_path}: via: a runner is left out, so `reason` must say why")
    if not case.requirements:
        raise CaseError(f"{case_path}: requirements: name at least one")
    merged = _merge(defaults.backend, case.backend)
    backend = _convert(merged, BackendFile, f"{case_path} (backend, merged over {provider_path.name})")
    return Case(
        name=directory.relative_to(root).as_posix(),
        provider=provider,
        endpoint=endpoint,
        directory=directory,
        description=case.description,
        requirements=case.requirements,
        backend=_backend(backend, directory.name),
        credential=backend.credential,
        client=case.client,
        client_body=_bytes(directory / CLIENT_REQUEST),
        answer=_answer(directory, case.upstream),
        plans=case.plans,
        via=case.via,
    )


def _backend(source: BackendFile, name: str) -> Backend:
    schema = source.schema
    if schema.name in ("OpenAI", "Anthropic") and not schema.prefix:
        schema = msgspec.structs.replace(schema, prefix="v1")  # as the compiler does
    return Backend(
        name=f"conformance/{name}/route/{name}/rule/0/ref/0",
        short_name=f"conformance/{name}",
        schema=schema,
        host=source.host,
        model_override=source.model_override,
        credential=f"conformance/{name}" if source.credential is not None else "",
        header_mutation=HeaderMutation(
            set=tuple(sorted(source.header_mutation.set.items())), remove=source.header_mutation.remove
        ),
        body_mutation=BodyMutation(
            set=tuple((name, jsonlib.encode(value).decode()) for name, value in source.body_mutation.set.items()),
            remove=source.body_mutation.remove,
        ),
    )


def _answer(directory: Path, upstream: UpstreamFile) -> Answer | None:
    files = sorted(directory.glob(f"{UPSTREAM_RESPONSE}.*"))
    if len(files) > 1:
        raise CaseError(f"{directory}: more than one {UPSTREAM_RESPONSE} file")
    if not files:
        return None
    file = files[0]
    suffix = file.name.removeprefix(UPSTREAM_RESPONSE)
    if suffix not in _CONTENT_TYPES:
        raise CaseError(f"{file}: its ending is none of {', '.join(_CONTENT_TYPES)}")
    body = _bytes(file)
    headers = {name.lower(): value for name, value in upstream.headers.items()}
    headers.setdefault("content-type", _CONTENT_TYPES[suffix])
    try:
        if suffix == ".events.jsonl":
            body = event_stream.encode_lines(body)
        if coding := headers.get("content-encoding"):
            body = content_coding.encode(body, coding)
    except ValueError as exc:
        raise CaseError(f"{file}: {exc}") from exc
    return Answer(status=upstream.status, headers=tuple(sorted(headers.items())), body=body, cut=upstream.cut)


_CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".json": "application/json",
    ".sse": "text/event-stream",
    ".events.jsonl": "application/vnd.amazon.eventstream",
    ".txt": "text/plain",
    ".bin": "application/octet-stream",
}
"""ending of the upstream_response file → content-type that case.yaml need not repeat"""


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` wins, objects are merged member by member, `null` takes a member away. A credential is replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        mine = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif key != "credential" and isinstance(value, dict) and isinstance(mine, dict):
            merged[key] = _merge(mine, value)
        else:
            merged[key] = value
    return merged


def _read(path: Path, type_: type[T]) -> T:
    try:
        document = yaml.safe_load(_bytes(path))
    except yaml.YAMLError as exc:
        raise CaseError(f"{path}: {exc}") from exc
    return _convert(document, type_, str(path))


def _convert(document: object, type_: type[T], where: str) -> T:
    try:
        return msgspec.convert(document, type_, dec_hook=_secret)
    except msgspec.ValidationError as exc:
        raise CaseError(f"{where}: {exc}") from exc


def _secret(type_: type, value: object) -> object:
    if type_ is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError(type_.__name__)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise CaseError(f"{path}: {exc.strerror}") from exc
