"""What comes back: a whole Converse answer → one chat completion, and the tool that stands in for structured output.

Streams need no mapping: the dialect's decoder gives events, OpenAI's encoder writes them. Only the stand-in tool has
to become text again, here for both. Translation chapter §7.6.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.contract.translation import Call
from filters.contract.usage import Usage
from filters.dialects.converse import answer
from filters.dialects.events import (
    Event,
    Finish,
    ReasoningBlock,
    RedactedReasoning,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from filters.dialects.openai_chat.response import ChatAnswer, ToolCall
from filters.errors import BadUpstreamAnswer


class Completion(Struct, frozen=True):
    body: bytes
    usage: Usage | None


class _Collected:
    """The content of an answer, in OpenAI's kinds."""

    __slots__ = ("annotations", "calls", "json_tool", "reasoning", "text", "thinking")

    def __init__(self, json_tool: str) -> None:
        self.json_tool = json_tool
        self.text: list[str] = []
        self.calls: list[ToolCall] = []
        self.reasoning: list[str] = []
        self.thinking: list[ReasoningBlock | RedactedReasoning] = []
        self.annotations: list[Raw] = []

    def add(self, block: answer.Block) -> None:
        if block.text:
            self.text.append(block.text)
        if block.tool_use is not None:
            self._add_tool(block.tool_use)
        if block.reasoning_content is not None:
            self._add_reasoning(block.reasoning_content)
        if block.citations_content is not None:
            self._add_citations(block.citations_content)

    def _add_tool(self, tool: answer.ToolUse) -> None:
        if tool.type == answer.SERVER_TOOL_USE:
            return
        arguments = _arguments(tool)
        if self.json_tool and tool.name == self.json_tool:
            self.text.append(arguments)
        else:
            self.calls.append(ToolCall(tool.tool_use_id or "", tool.name or "", arguments))

    def _add_reasoning(self, reasoning: answer.Reasoning) -> None:
        text = reasoning.reasoning_text
        if text is not None and (text.text or text.signature):
            self.reasoning.append(text.text or "")
            self.thinking.append(ReasoningBlock(text.text or "", text.signature or ""))
        if reasoning.redacted_content:
            self.thinking.append(RedactedReasoning(reasoning.redacted_content))

    def _add_citations(self, cited: answer.CitationsContent) -> None:
        start = sum(map(len, self.text))
        self.text += [piece.text or "" for piece in cited.content or ()]
        end = sum(map(len, self.text))
        self.annotations += [answer.annotation(citation, start, end) for citation in cited.citations or ()]


def complete(body: bytes, call: Call, request_id: str, json_tool: str) -> Completion:
    """The client's answer. `request_id` is the header `x-amzn-requestid`, `json_tool` as in `request.Translated`.

    Raises BadUpstreamAnswer for what is no Converse answer, naming what was found.
    """
    try:
        read = answer.read(body)
    except JsonError as exc:
        raise BadUpstreamAnswer(f"Bedrock's answer cannot be read: {exc}", code="bad_upstream_answer") from exc
    if read.output is None or read.output.message is None:
        raise BadUpstreamAnswer(
            f"Bedrock's answer has no output (found: {answer.found_instead(body, read)})", code="bad_upstream_answer"
        )
    collected = _Collected(json_tool)
    for block in read.output.message.content or ():
        collected.add(block)
    finish = answer.finish_reason(read.stop_reason, calls=bool(collected.calls))
    usage = answer.counts(read.usage)
    completion = ChatAnswer(
        id=request_id or call.request_id,
        model=call.model,
        created=call.created,
        finish_reason=finish,
        content="".join(collected.text) if collected.text else None,
        tool_calls=collected.calls,
        reasoning="".join(collected.reasoning),
        thinking_blocks=collected.thinking,
        annotations=collected.annotations,
        usage=usage,
        service_tier=(read.service_tier.type if read.service_tier else None) or "",
    )
    return Completion(completion.encode(), usage)


def _arguments(tool: answer.ToolUse) -> str:
    """Compact JSON: big integers and the order of members survive."""
    return "{}" if jsonlib.is_null(tool.input) else jsonlib.compact(tool.input).decode()


class JsonToolToText:
    """Turns calls of the stand-in tool into the text that they stand for. One lives for one streamed answer."""

    __slots__ = ("_called", "_indexes", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._called = False
        self._indexes: dict[int, int] = {}
        """index of a call in the answer → index without the stand-in"""

    def convert(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            match event:
                case ToolCallStart(name=name) if name == self._name:
                    self._called = True
                case ToolCallStart(index=index, id=id_, name=name):
                    self._indexes[index] = len(self._indexes)
                    yield ToolCallStart(self._indexes[index], id_, name)
                case ToolCallDelta(index=index, arguments=arguments):
                    known = self._indexes.get(index)
                    yield TextDelta(arguments) if known is None else ToolCallDelta(known, arguments)
                case Finish(reason="tool_calls") if self._called and not self._indexes:
                    yield Finish("stop")
                case _:
                    yield event
