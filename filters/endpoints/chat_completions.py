"""`POST /v1/chat/completions`: OpenAI's chat API.

Reads only what routing and accounting need; providers read the rest.
"""

from typing import Final

import msgspec

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.endpoints import errors
from filters.endpoints.base import ParsedRequest
from filters.errors import GatewayError, MalformedRequest

_MALFORMED: Final = "malformed request: failed to parse JSON for /v1/chat/completions: "


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


_read_text: Final = jsonlib.decoder(str)
_read_flag: Final = jsonlib.decoder(bool)
_read_stream_options: Final = jsonlib.decoder(_StreamOptions)


class ChatCompletions:
    """See `filters.endpoints.base.Endpoint`."""

    __slots__ = ()
    name = "chat_completions"
    family = "openai"
    suffix = "/v1/chat/completions"

    def parse(self, body: bytes, content_type: str) -> ParsedRequest:
        """Raises MalformedRequest: `multipart_not_supported`, `missing_body`, `malformed_json`, `duplicate_member`,
        `missing_model`, `invalid_type`, `invalid_value`."""
        if content_type[:19].lower() == "multipart/form-data":
            raise MalformedRequest(
                "malformed request: multipart body not supported for this endpoint", code="multipart_not_supported"
            )
        if not body or body.isspace():
            raise MalformedRequest("malformed request: the body is empty", code="missing_body")
        try:
            members = jsonlib.members(body)
        except JsonError as exc:
            raise MalformedRequest(f"{_MALFORMED}{exc}", code="malformed_json") from exc
        if jsonlib.repeats(body, members, "model"):
            # Readers differ in which one they take: the provider could serve, and charge, another than was routed on.
            raise MalformedRequest(f"{_MALFORMED}model is there twice", code="duplicate_member", param="model")
        return ParsedRequest(
            members=members,
            model=_model(members.get("model")),
            stream=_stream(members.get("stream")),
            include_usage=_include_usage(members.get("stream_options")),
        )

    def render_error(self, error: GatewayError) -> bytes:
        return errors.render(error)


def _model(raw: Raw | None) -> str:
    if raw is None or jsonlib.is_null(raw):
        raise MalformedRequest(f"{_MALFORMED}model is required", code="missing_model", param="model")
    try:
        model = _read_text(raw)
    except JsonError as exc:
        raise MalformedRequest(f"{_MALFORMED}model must be a string", code="invalid_type", param="model") from exc
    if not model.strip():
        raise MalformedRequest(f"{_MALFORMED}model must not be empty", code="missing_model", param="model")
    if not model.isprintable():
        # It becomes a header value: control characters would be refused by Envoy, and are no name.
        raise MalformedRequest(f"{_MALFORMED}model has control characters", code="invalid_value", param="model")
    return model


def _stream(raw: Raw | None) -> bool:
    if raw is None or jsonlib.is_null(raw):
        return False
    try:
        return _read_flag(raw)
    except JsonError as exc:
        raise MalformedRequest(f"{_MALFORMED}stream must be a boolean", code="invalid_type", param="stream") from exc


def _include_usage(raw: Raw | None) -> bool:
    if raw is None or jsonlib.is_null(raw):
        return False
    try:
        return bool(_read_stream_options(raw).include_usage)
    except JsonError as exc:
        raise MalformedRequest(
            f"{_MALFORMED}stream_options must be an object with a boolean include_usage",
            code="invalid_type",
            param="stream_options",
        ) from exc


ENDPOINT: Final = ChatCompletions()
