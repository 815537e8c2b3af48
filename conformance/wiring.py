"""Where the in-process runner touches the data plane: its endpoints, providers, credentials and decoders."""

import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import brotli
import zstandard

from conformance.case import Case, CaseError
from filters.auth.header import HeaderAuthenticator
from filters.auth.sigv4 import SigV4Signer
from filters.contract import jsonlib
from filters.contract.config import HeaderCredential
from filters.contract.headers import Headers
from filters.contract.translation import Call, Translator
from filters.endpoints import registry as endpoint_registry
from filters.endpoints.base import Endpoint
from filters.providers import registry as provider_registry

_SIGNED_AT = 1_700_000_000.0


def client_headers(case: Case) -> Headers:
    """What the client sends, as the data plane sees it."""
    pseudo = ((":method", "POST"), (":path", case.client.path), (":scheme", "http"), (":authority", "gateway.test"))
    return Headers((*pseudo, *case.client.sent_headers().items(), ("content-length", str(len(case.client_body)))))


@cache
def _endpoints() -> Mapping[str, Endpoint]:
    return {endpoint.name: endpoint for endpoint in endpoint_registry.load()}


def endpoint_of(case: Case) -> Endpoint:
    """The endpoint that the case's folder names. Raises CaseError."""
    found = _endpoints().get(case.endpoint)
    if found is None:
        raise CaseError(
            f"{case.directory.parent}: no endpoint {case.endpoint!r} (there are: {', '.join(_endpoints())})"
        )
    return found


def translator_for(case: Case, call: Call) -> Translator:
    """A translator for one attempt at the case's backend. Raises CaseError."""
    provider = provider_registry.load().get(case.backend.schema.name)
    if provider is None or case.endpoint not in provider.routes:
        raise CaseError(f"{case.directory}: no provider serves {case.endpoint} for schema {case.backend.schema.name}")
    return provider.routes[case.endpoint](call)


def mutated_body(case: Case, body: bytes) -> bytes:
    mutation = case.backend.body_mutation
    if not mutation.set and not mutation.remove:
        return body
    members: dict[str, Any] = dict(jsonlib.members(body))
    for name in mutation.remove:
        members.pop(name, None)
    members.update({name: jsonlib.Raw(value.encode()) for name, value in mutation.set})
    return jsonlib.encode(members)


def credential_headers(case: Case, path: str, body: bytes) -> Mapping[str, str]:
    """Headers with which the gateway authenticates itself at the provider."""
    credential = case.backend.credential
    if credential is None:
        return {}
    signer = HeaderAuthenticator(credential) if isinstance(credential, HeaderCredential) else SigV4Signer(credential)
    signed = signer.sign(method="POST", path=path, host=case.backend.host, body=body, now=_SIGNED_AT)
    return {name: value for name, value in signed if not name.startswith(":")}


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
