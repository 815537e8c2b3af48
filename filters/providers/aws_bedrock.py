"""Amazon Bedrock: Converse and ConverseStream, reached by model in the path, signed by `filters.auth.sigv4`.

Translation chapter §7. The credential (`AwsCredential`: region, access key id, secret access key, session token for
temporary ones) and the host (`bedrock-runtime.<region>.amazonaws.com`, FIPS, VPC endpoint) are the backend's.
"""

from typing import Final

from filters.contract.headers import Headers
from filters.contract.translation import Call, Output, ResponseStart, UpstreamRequest
from filters.dialects.converse import answer, failure
from filters.dialects.converse.stream import StreamDecoder
from filters.dialects.openai_chat.encode import ChatStreamEncoder
from filters.dialects.openai_chat.error import error_body
from filters.errors import BadUpstreamAnswer, UpstreamFailure
from filters.mappings.openai_chat_to_converse import request as requests
from filters.mappings.openai_chat_to_converse import response as responses
from filters.providers import paths
from filters.providers.base import Provider

EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
_JSON: Final = (("content-type", "application/json"),)
_CLIENT_ONLY: Final = ("openai-organization", "openai-project", "openai-beta")
"""request headers that mean something to OpenAI alone, and that name the client's account there"""


class ConverseChat:
    """One attempt at one model on Bedrock, for a chat completions client."""

    __slots__ = ("_answer", "_call", "_json_tool")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._json_tool = ""
        self._answer: _Whole | _Streamed | _Unstreamed | _Refused | None = None

    def request(self) -> UpstreamRequest:
        translated = requests.translate(self._call)
        self._json_tool = translated.json_tool
        operation = "converse-stream" if self._call.stream else "converse"
        return UpstreamRequest(
            path=f"/model/{paths.escape_segment(self._call.model)}/{operation}",
            body=translated.body,
            headers=(*_JSON, ("accept", EVENT_STREAM if self._call.stream else "application/json")),
            remove=_CLIENT_ONLY,
            dropped=translated.dropped,
        )

    def start(self, status: int, headers: Headers) -> ResponseStart:
        kind = headers.get("content-type")
        if not 200 <= status <= 299:
            self._answer = _Refused(status, kind, headers.get("x-amzn-errortype"))
            return ResponseStart(body="buffer")
        request_id = headers.get("x-amzn-requestid")
        if not self._call.stream:
            self._answer = _Whole(self._call, request_id, self._json_tool)
            return ResponseStart(body="buffer")
        if "json" in kind.lower() or "html" in kind.lower():
            self._answer = _Unstreamed(kind)
            return ResponseStart(body="buffer")
        self._answer = _Streamed(self._call, request_id, self._json_tool)
        return ResponseStart(body="stream", headers=(("content-type", "text/event-stream"),))

    def feed(self, data: bytes, *, end: bool) -> Output:
        assert self._answer is not None  # `start` comes first
        return self._answer.feed(data, end=end)


class _Whole:
    """A good answer that is one JSON text."""

    __slots__ = ("_call", "_json_tool", "_pieces", "_request_id")

    def __init__(self, call: Call, request_id: str, json_tool: str) -> None:
        self._call = call
        self._request_id = request_id
        self._json_tool = json_tool
        self._pieces: list[bytes] = []

    def feed(self, data: bytes, *, end: bool) -> Output:
        self._pieces.append(data)
        if not end:
            return Output(body=b"")
        completion = responses.complete(b"".join(self._pieces), self._call, self._request_id, self._json_tool)
        return Output(body=completion.body, headers=_JSON, usage=completion.usage, model=self._call.model, content=True)


class _Streamed:
    """A good answer in pieces."""

    __slots__ = ("_decoder", "_encoder", "_json_tool")

    def __init__(self, call: Call, request_id: str, json_tool: str) -> None:
        self._decoder = StreamDecoder(request_id)
        self._encoder = ChatStreamEncoder(
            id=request_id or call.request_id,
            model=call.model,
            created=call.created,
            include_usage=call.include_usage,
        )
        self._json_tool = responses.JsonToolToText(json_tool) if json_tool else None

    def feed(self, data: bytes, *, end: bool) -> Output:
        events = self._decoder.feed(data)
        if end:
            events += self._decoder.close()
        if self._json_tool is not None:
            events = list(self._json_tool.convert(events))
        return self._encoder.feed(events, end=end)


class _Unstreamed:
    """JSON or a page where a stream was asked for: AWS's front end or a proxy speaking, not the model."""

    __slots__ = ("_content_type", "_pieces")

    def __init__(self, content_type: str) -> None:
        self._content_type = content_type
        self._pieces: list[bytes] = []

    def feed(self, data: bytes, *, end: bool) -> Output:
        self._pieces.append(data)
        if not end:
            return Output(body=b"")
        found = answer.coral_type(b"".join(self._pieces)) or self._content_type
        raise BadUpstreamAnswer(f"Bedrock answered with {found} instead of a stream", code="bad_upstream_answer")


class _Refused:
    """An error answer, given on in OpenAI's form with Bedrock's status."""

    __slots__ = ("_content_type", "_error_type", "_pieces", "_status")

    def __init__(self, status: int, content_type: str, error_type: str) -> None:
        self._status = status
        self._content_type = content_type
        self._error_type = error_type
        self._pieces: list[bytes] = []

    def feed(self, data: bytes, *, end: bool) -> Output:
        self._pieces.append(data)
        if not end:
            return Output(body=b"")
        type_, message = failure.read_body(self._content_type, self._error_type, b"".join(self._pieces))
        return Output(
            body=error_body(type=type_, code=str(self._status), message=message),
            headers=_JSON,
            failure=UpstreamFailure(message, code="upstream_error", type=type_, status=self._status),
        )


PROVIDER: Final = Provider("AWSBedrock", {"chat_completions": ConverseChat})
