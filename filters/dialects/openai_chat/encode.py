"""Events of a translated answer → the stream that an OpenAI client reads.

Every translating provider ends in a `ChatStreamEncoder`, so all their streams look alike (translation chapter §3.2,
§4.3, §4.6):

* a chunk is `data: {id, choices, created, model, service_tier?, object}`; id, created and model are the answer's;
* `role` stands in the first delta only; MessageStart alone writes nothing (an empty TextDelta after it writes the role,
  an empty one later nothing);
* a tool call begins with index, id, name and type; later pieces have index and arguments only;
* `finish_reason` is null until the last choice; thinking blocks come whole, once, besides `reasoning_content`;
* elements of lists have an `index` (tool calls, thinking blocks, annotations): SDKs join lists by it;
* a provider that shows that it is alive before it has begun is passed on as a comment: no chunk has an id yet;
* usage goes to clients that asked for it, in a chunk with `choices: []`;
* `[DONE]` ends an answer that is complete. One that is not ends with an error object, and without `[DONE]`.

One chunk per event, so that the bytes do not depend on how the provider's stream was cut.
"""

from collections.abc import Sequence
from typing import Final, assert_never

from msgspec import UNSET, Struct, UnsetType

from filters.contract import jsonlib
from filters.contract.jsonlib import Raw
from filters.contract.translation import Output
from filters.contract.usage import Usage
from filters.dialects import events
from filters.dialects.events import Event
from filters.dialects.openai_chat import thinking
from filters.dialects.openai_chat import usage as usages
from filters.dialects.openai_chat.error import error_body
from filters.errors import GatewayError, TruncatedStream, UpstreamFailure
from filters.streams import sse

TRUNCATED: Final = events.Failure(
    type="TruncatedStream", status=502, message="the provider's stream ended before the answer was complete"
)


class _Function(Struct, frozen=True, omit_defaults=True):
    arguments: str
    name: str | UnsetType = UNSET


class _ToolCall(Struct, frozen=True, omit_defaults=True):
    index: int
    id: str | UnsetType
    function: _Function
    type: str | UnsetType = UNSET


class _Delta(Struct, frozen=True, omit_defaults=True):
    content: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    tool_calls: tuple[_ToolCall] | UnsetType = UNSET
    annotations: tuple[Raw] | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    thinking_blocks: tuple[thinking.ThinkingBlock] | UnsetType = UNSET


_NOTHING: Final = _Delta()
_GENERATED: Final = (
    events.TextDelta,
    events.RefusalDelta,
    events.ReasoningDelta,
    events.ReasoningBlock,
    events.RedactedReasoning,
    events.ToolCallStart,
    events.ToolCallDelta,
    events.Annotation,
)


class ChatStreamEncoder:
    """One answer. Give it the events of each piece of the provider's stream with `feed`; it keeps count of the rest."""

    __slots__ = (
        "_annotations",
        "_created",
        "_ended",
        "_finished",
        "_head",
        "_id",
        "_include_usage",
        "_model",
        "_role_sent",
        "_started",
        "_tail",
        "_thinking_blocks",
        "_tier",
        "_usage",
    )

    def __init__(self, *, id: str, model: str, created: int, include_usage: bool) -> None:  # noqa: A002
        """`id` serves until the provider names the answer (MessageStart.id); `model` is what the client sees."""
        self._id = id
        self._model = model
        self._created = created
        self._include_usage = include_usage
        self._tier = ""
        self._started = False
        self._role_sent = False
        self._thinking_blocks = 0
        self._annotations = 0
        self._finished = False
        self._ended = False
        self._usage: Usage | None = None
        self._frame()

    def feed(self, batch: Sequence[Event], *, end: bool) -> Output:
        """The answer to one piece of the provider's stream. `end`: no more will come.

        Never raises. The output has a body always, maybe an empty one. After a Failure, an End, or `end` without one of
        them (which is a failure too), everything else is ignored.
        """
        pieces: list[bytes] = []
        usage: Usage | None = None
        model = ""
        content = False
        failure: GatewayError | None = None
        for event in batch:
            if self._ended:
                break
            match event:
                case events.TextDelta():  # first: it is nearly all there is
                    content = content or event.text != ""
                    pieces.append(self._text(event))
                case events.UsageReport():
                    self._report(event)
                    usage = self._usage
                case events.MessageStart():
                    model = event.model or model
                    self._start(event)
                case events.End():
                    if self._finished:
                        self._ended = True
                        pieces += (self._usage_chunk(), sse.DONE)
                    else:
                        failure = self._fail(TRUNCATED, pieces)
                case events.Failure():
                    failure = self._fail(event, pieces)
                case _:
                    content = content or isinstance(event, _GENERATED)
                    pieces.append(self._chunk(event))
        if end and not self._ended:
            failure = self._fail(TRUNCATED, pieces)
        return Output(body=b"".join(pieces), usage=usage, model=model, content=content, failure=failure)

    def encode(self, batch: Sequence[Event]) -> bytes:
        """Only the bytes of `feed`, for a stream that goes on."""
        return self.feed(batch, end=False).body or b""

    def _frame(self) -> None:
        """What stands around the delta of every chunk of this answer."""
        tier = b'"service_tier":%b,' % jsonlib.encode(self._tier) if self._tier else b""
        identity = b'"id":%b,' % jsonlib.encode(self._id) if self._id else b""
        self._head = b'data: {%b"choices":[' % identity
        self._tail = b'],"created":%d,"model":%b,%b"object":"chat.completion.chunk"' % (
            self._created,
            jsonlib.encode(self._model),
            tier,
        )

    def _start(self, event: events.MessageStart) -> None:
        self._started = True
        if event.id and event.id != self._id:
            self._id = event.id
            self._frame()

    def _report(self, event: events.UsageReport) -> None:
        self._usage = event.usage if self._usage is None else self._usage.merged(event.usage)
        if event.service_tier and event.service_tier != self._tier:
            self._tier = event.service_tier
            self._frame()

    def _text(self, event: events.TextDelta) -> bytes:
        if not self._role_sent:
            self._role_sent = True
            return self._choice(_Delta(content=event.text, role="assistant"))
        if not event.text:
            return b""
        return b'%b{"index":0,"delta":{"content":%b},"finish_reason":null}%b}\n\n' % (
            self._head,
            jsonlib.encode(event.text),
            self._tail,
        )

    def _chunk(self, event: Event) -> bytes:
        match event:
            case events.ToolCallDelta():
                call = _ToolCall(event.index, UNSET, _Function(event.arguments))
                return self._choice(_Delta(role=self._role(), tool_calls=(call,))) if event.arguments else b""
            case events.ToolCallStart():
                call = _ToolCall(event.index, event.id, _Function("", event.name), "function")
                return self._choice(_Delta(role=self._role(), tool_calls=(call,)))
            case events.ReasoningDelta():
                return self._choice(_Delta(role=self._role(), reasoning_content=event.text)) if event.text else b""
            case events.ReasoningBlock() | events.RedactedReasoning():
                block = thinking.written(event, self._thinking_blocks)
                self._thinking_blocks += 1
                return self._choice(_Delta(role=self._role(), thinking_blocks=(block,)))
            case events.RefusalDelta():
                return self._choice(_Delta(role=self._role(), refusal=event.text)) if event.text else b""
            case events.Annotation():
                annotation = Raw(b'{"index":%d,%b' % (self._annotations, bytes(event.value)[1:]))
                self._annotations += 1
                return self._choice(_Delta(role=self._role(), annotations=(annotation,)))
            case events.Ping():
                return self._choice(_NOTHING) if self._started else sse.PING
            case events.Finish():
                self._finished = True
                return self._choice(_NOTHING, event.reason)
            case (
                events.TextDelta() | events.MessageStart() | events.UsageReport() | events.End() | events.Failure()
            ):  # pragma: no cover  `feed` has dealt with them
                return b""
            case _:  # pragma: no cover
                assert_never(event)

    def _role(self) -> str | UnsetType:
        if self._role_sent:
            return UNSET
        self._role_sent = True
        return "assistant"

    def _choice(self, delta: _Delta, finish_reason: str | None = None) -> bytes:
        return b'%b{"index":0,"delta":%b,"finish_reason":%b}%b}\n\n' % (
            self._head,
            jsonlib.encode(delta),
            jsonlib.encode(finish_reason),
            self._tail,
        )

    def _usage_chunk(self) -> bytes:
        if self._usage is None or not self._include_usage:
            return b""
        return b'%b%b,"usage":%b}\n\n' % (self._head, self._tail, jsonlib.encode(usages.written(self._usage)))

    def _fail(self, event: events.Failure, pieces: list[bytes]) -> GatewayError:
        self._ended = True
        pieces.append(sse.frame(error_body(type=event.type, code=str(event.status), message=event.message)))
        if event.type == TRUNCATED.type:
            return TruncatedStream(event.message, code="stream_truncated")
        return UpstreamFailure(event.message, code="stream_failed", type=event.type, status=event.status)
