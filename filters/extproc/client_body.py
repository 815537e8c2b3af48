"""The client's body without its content-encoding: clients may compress what they send, providers rarely take it so."""

from collections.abc import Callable, Mapping
from typing import Final

from filters.errors import GatewayError, MalformedRequest, TooLarge, UnsupportedMedia, UpstreamError
from filters.streams import content_encoding


def plain(body: bytes, coding: str) -> tuple[bytes, bool]:
    """The body, and whether it was coded. Raises filters.errors.ClientError."""
    if not coding or not body:
        return body, False
    try:
        decoder = content_encoding.decoder(coding)
        if decoder is None:
            return body, False
        return decoder.feed(body) + decoder.close(), True
    except UpstreamError as exc:
        # The decoders speak of the provider, whose answers they are made for.
        fault = _FAULTS.get(exc.code, _broken)
        raise fault() from exc


def _unsupported() -> GatewayError:
    return UnsupportedMedia(
        "the request body's content-encoding is not supported; use gzip, deflate, br, zstd or none",
        code="unsupported_content_encoding",
    )


def _expanding() -> GatewayError:
    return TooLarge("the compressed request body expands beyond all reason", code="content_encoding_expansion")


def _broken() -> GatewayError:
    return MalformedRequest(
        "malformed request: the body is not in the content-encoding that the request names", code="bad_content_encoding"
    )


_FAULTS: Final[Mapping[str, Callable[[], GatewayError]]] = {
    "unsupported_content_encoding": _unsupported,
    "content_encoding_expansion": _expanding,
}
