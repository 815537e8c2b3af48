"""Where the in-process runner touches the data plane: its endpoints, providers, credentials and decoders."""

import importlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import brotli
import zstandard

from conformance.case import Case
from filters.contract import jsonlib
from filters.contract.config import HeaderCredential
from filters.contract.headers import Headers
from filters.contract.translation import Call, Translator
from filters.endpoints.base import Endpoint, ParsedRequest
from filters.errors import GatewayError, MalformedRequest

_MODULES = {"OpenAI": "openai", "AzureOpenAI": "azure_openai", "Anthropic": "anthropic", "AWSBedrock": "bedrock"}


def client_headers(case: Case) -> Headers:
    """What the client sends, as the data plane sees it."""
    pseudo = ((":method", "POST"), (":path", case.client.path), (":scheme", "http"), (":authority", "gateway.test"))
    return Headers((*pseudo, *case.client.sent_headers().items(), ("content-length", str(len(case.client_body)))))


class _Chat:
    name = "chat_completions"
    family = "openai"
    suffix = "/v1/chat/completions"

    def parse(self, body: bytes, content_type: str) -> ParsedRequest:
        try:
            members = jsonlib.members(body)
        except jsonlib.JsonError as exc:
            raise MalformedRequest(str(exc), code="malformed_json") from exc
        options = jsonlib.decode(members["stream_options"], dict[str, Any]) if "stream_options" in members else {}
        return ParsedRequest(
            members=members,
            model=jsonlib.decode(members["model"], str),
            stream=jsonlib.decode(members["stream"], bool) if "stream" in members else False,
            include_usage=bool(options.get("include_usage")),
        )

    def render_error(self, error: GatewayError) -> bytes:
        body: dict[str, Any] = {"type": error.type, "code": error.code, "message": error.message}
        if error.param:
            body["param"] = error.param
        return jsonlib.encode({"type": "error", "error": body})


def endpoint_of(case: Case) -> Endpoint:
    try:
        module = importlib.import_module(f"filters.endpoints.{case.endpoint}")
    except ModuleNotFoundError:
        return _Chat()
    endpoint: Endpoint = module.ENDPOINT
    return endpoint


def translator_for(case: Case, call: Call) -> Translator:
    name = case.backend.schema.name
    try:
        registry = importlib.import_module("filters.providers.registry")
    except ModuleNotFoundError:
        module = importlib.import_module(f"filters.providers.{_MODULES.get(name, name.lower())}")
        return module.PROVIDER.routes[case.endpoint](call)  # type: ignore[no-any-return]
    return registry.load()[name].routes[case.endpoint](call)  # type: ignore[no-any-return]


def mutated_body(case: Case, body: bytes) -> bytes:
    mutation = case.backend.body_mutation
    if not mutation.set and not mutation.remove:
        return body
    members: dict[str, Any] = dict(jsonlib.members(body))
    for name in mutation.remove:
        members.pop(name, None)
    members.update({name: jsonlib.Raw(value.encode()) for name, value in mutation.set})
    return jsonlib.encode(members)


def credential_headers(case: Case, path: str, body: bytes, headers: Mapping[str, str | None]) -> Mapping[str, str]:
    credential = case.backend.credential
    if credential is None:
        return {}
    if isinstance(credential, HeaderCredential):
        return {credential.name: credential.value.reveal()}
    return {"authorization": "AWS4-HMAC-SHA256 ", "x-amz-date": "now"}


def decoder_for(coding: str) -> Callable[[bytes, bool], bytes]:
    decoders = [_DECODERS[name.strip().lower()]() for name in reversed(coding.split(",")) if name.strip()]

    def decode(data: bytes, last: bool) -> bytes:
        for decoder in decoders:
            data = decoder(data) if data else data
        return data

    return decode


_DECODERS: Mapping[str, Callable[[], Callable[[bytes], bytes]]] = {
    "identity": lambda: bytes,
    "gzip": lambda: zlib.decompressobj(31).decompress,
    "deflate": lambda: zlib.decompressobj().decompress,
    "br": lambda: brotli.Decompressor().process,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
}
