"""What one run of a case showed, the files that record it, and how two of them are compared.

Both runners make an `Observation`. `files` turns it into the generated files of the case folder; `differences` compares
it with the files that are there. The Envoy runner sees more headers than a file names: only those named are compared
(`null`: must be absent), volatile ones by presence.
"""

import json  # noqa: TID251  files for people: indented
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from conformance.case import GENERATED, Case, CaseError
from filters.contract.usage import Usage

CREATED: Final = 1_700_000_000
REQUEST_ID: Final = "req-0000"
PRESENT: Final = "<present>"
_VOLATILE: Final = frozenset({"x-amz-date", "date", "x-request-id", "x-amz-content-sha256", "content-length"})
_SIGNATURE: Final = "AWS4-HMAC-SHA256 "
_VARYING: Final = re.compile(rf"{REQUEST_ID}|{CREATED}")
_WILDCARD: Final = {REQUEST_ID: r"[A-Za-z0-9._-]+", str(CREATED): r"\d+"}

_LONG: Final = 160
_CONTEXT: Final = 40
"""characters of a long text shown before the first difference"""

HeaderMap = Mapping[str, str | None]
"""None: must be absent"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """What reached the provider."""

    method: str
    path: str
    headers: HeaderMap
    body: bytes
    unchanged: bool
    """the body is the client's, byte for byte"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenResponse:
    """What reached the client, content-encoding removed."""

    status: int
    headers: HeaderMap
    body: bytes

    @property
    def streamed(self) -> bool:
        return (self.headers.get("content-type") or "").startswith("text/event-stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """What was counted."""

    usage: Usage | None = None
    model: str = ""
    failure: str = ""
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One run. `request` is None when nothing reached the provider; `accounting` is None where it cannot be seen."""

    request: SeenRequest | None
    response: SeenResponse
    accounting: Accounting | None


def files(observation: Observation) -> dict[str, bytes]:
    """The generated files that record `observation`: name → content. Same observation, same bytes."""
    found: dict[str, bytes] = {}
    if observation.request is not None:
        found["upstream_request.json"] = _pretty(_request_document(observation.request))
    response: dict[str, Any] = {
        "status": observation.response.status,
        "headers": _headers_document(observation.response.headers),
    }
    if observation.response.streamed:
        found["client_response.sse"] = observation.response.body
    else:
        response.update(_body_document(observation.response.body, exact=False))
    found["client_response.json"] = _pretty(response)
    if observation.accounting is not None:
        found["usage.json"] = _pretty(_accounting_document(observation.accounting))
    return found


def differences(case: Case, observation: Observation) -> list[str]:
    """How `observation` differs from the recorded files: one sentence each, empty when it agrees. Raises CaseError."""
    seen = files(observation)
    found: list[str] = []
    for name in GENERATED:
        path = case.directory / name
        if name == "usage.json" and observation.accounting is None:
            continue
        if path.is_file() != (name in seen):
            found.append(f"{name}: " + ("expected, but not seen" if path.is_file() else "seen, but not expected"))
        elif name in seen:
            expected = path.read_bytes()
            if name.endswith(".sse"):
                found.extend(_text_differences(name, expected.decode(), seen[name].decode("utf-8", "replace")))
            else:
                found.extend(_json_differences(name, _load(path.name, expected, case), json.loads(seen[name])))
    return found


def common_length(one: Sequence[object], other: Sequence[object]) -> int:
    """How many members both have in common before they part."""
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return position
    return min(len(one), len(other))


def _load(name: str, text: bytes, case: Case) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise CaseError(f"{case.directory / name}: {exc}") from exc


def _request_document(request: SeenRequest) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "headers": _headers_document(request.headers),
        **_body_document(request.body, exact=request.unchanged),
    }


def _headers_document(headers: HeaderMap) -> dict[str, str | None]:
    return {
        name: PRESENT if value is not None and _is_volatile(name, value) else value
        for name, value in sorted(headers.items())
    }


def _is_volatile(name: str, value: str) -> bool:
    return name in _VOLATILE or (name == "authorization" and value.startswith(_SIGNATURE))


def _body_document(body: bytes, *, exact: bool) -> dict[str, Any]:
    """`body` for JSON, `body_text` for what must be the same bytes or is no JSON, nothing for an empty body."""
    if not body:
        return {}
    if not exact:
        try:
            return {"body": json.loads(body)}
        except ValueError:
            pass
    try:
        return {"body_text": body.decode()}
    except UnicodeDecodeError:
        return {"body_hex": body.hex()}


def _accounting_document(accounting: Accounting) -> dict[str, Any]:
    usage = accounting.usage or Usage()
    document: dict[str, Any] = {
        name: value for name in usage.__struct_fields__ if (value := getattr(usage, name)) is not None
    }
    if accounting.model:
        document["model"] = accounting.model
    if accounting.failure:
        document["failure"] = accounting.failure
    if accounting.dropped:
        document["dropped"] = list(accounting.dropped)
    return document


def _pretty(document: object) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _json_differences(where: str, expected: Any, seen: Any) -> Iterator[str]:
    """Walks both documents. In objects named `headers`, headers that `expected` does not name are ignored."""
    if isinstance(expected, dict) and isinstance(seen, dict):
        ignored = set(seen) - set(expected) if where.endswith(".headers") else set()
        for key in sorted((set(expected) | set(seen)) - ignored):
            inner = f"{where}.{key}"
            if where.endswith(".headers") and expected.get(key, key) is None and seen.get(key) is None:
                continue
            if key not in seen:
                yield f"{inner}: missing, expected {_short(expected[key])}"
            elif key not in expected:
                yield f"{inner}: unexpected, is {_short(seen[key])}"
            else:
                yield from _json_differences(inner, expected[key], seen[key])
    elif isinstance(expected, list) and isinstance(seen, list) and len(expected) == len(seen):
        for index, (one, other) in enumerate(zip(expected, seen, strict=True)):
            yield from _json_differences(f"{where}[{index}]", one, other)
    elif isinstance(expected, str) and isinstance(seen, str):
        yield from _text_differences(where, expected, seen)
    elif not _same_scalar(expected, seen):
        yield f"{where}: expected {_short(expected)}, is {_short(seen)}"


def _same_scalar(expected: object, seen: object) -> bool:
    if expected == CREATED and isinstance(seen, int) and not isinstance(seen, bool):
        return True
    return type(expected) is type(seen) and expected == seen


def _text_differences(where: str, expected: str, seen: str) -> Iterator[str]:
    """One difference at most. The fixed time and id in `expected` stand for any."""
    if expected == seen or _pattern(expected).fullmatch(seen):
        return
    theirs, ours = expected.splitlines(keepends=True), seen.splitlines(keepends=True)
    for number, (one, other) in enumerate(zip(theirs, ours, strict=False), 1):
        if not _pattern(one).fullmatch(other):
            line = f" line {number}" if len(theirs) > 1 else ""
            begin = max(0, common_length(one, other) - _CONTEXT)
            yield f"{where}{line}: expected {_short(one, begin)}, is {_short(other, begin)}"
            return
    yield f"{where}: expected {len(theirs)} lines, are {len(ours)}"


def _pattern(expected: str) -> re.Pattern[str]:
    pieces, position = [], 0
    for match in _VARYING.finditer(expected):
        pieces += [re.escape(expected[position : match.start()]), _WILDCARD[match[0]]]
        position = match.end()
    return re.compile("".join((*pieces, re.escape(expected[position:]))), re.DOTALL)


def _short(value: object, begin: int = 0) -> str:
    """`value` as JSON, cut to what fits a line; of a long text, the part from `begin`."""
    if isinstance(value, str) and begin and len(value) > _LONG:
        value = f"…{value[begin:]}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}…"
