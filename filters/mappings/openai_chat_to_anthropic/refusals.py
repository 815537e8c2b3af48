"""The two ways in which a request is refused here. Texts as in the translation chapter, §2.1 and §8."""

from filters.errors import MalformedRequest, Unprocessable


def malformed(reason: str, param: str, *, code: str = "invalid_value") -> MalformedRequest:
    """400: not a chat completion request at all."""
    return MalformedRequest(
        f"malformed request: failed to parse JSON for /v1/chat/completions: {reason}", code=code, param=param or None
    )


def unprocessable(reason: str, param: str, *, code: str = "unsupported_value") -> Unprocessable:
    """422: a good request that Anthropic's API has no place for."""
    return Unprocessable(f"invalid request body: {reason}", code=code, param=param)
