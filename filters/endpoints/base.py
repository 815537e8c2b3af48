"""What an endpoint is: one API that clients call, in their format. Knows no provider and no Envoy."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from filters.contract.jsonlib import Raw
from filters.errors import GatewayError


class ParsedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """As much of the client's body as routing and accounting need."""

    members: Mapping[str, Raw]
    model: str
    stream: bool = False
    include_usage: bool = False


class Endpoint(Protocol):
    """One path that clients POST to."""

    name: str
    """key of `Provider.routes`: `chat_completions`"""
    family: str
    """key of the endpoint prefixes: `openai`, `cohere`, `anthropic`"""
    suffix: str
    """`/v1/chat/completions`"""

    def parse(self, body: bytes, content_type: str) -> ParsedRequest:
        """Raises filters.errors.MalformedRequest."""
        ...

    def render_error(self, error: GatewayError) -> bytes:
        """The body of an error answer in this API's format (JSON)."""
        ...
