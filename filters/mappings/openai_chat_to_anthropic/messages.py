"""The conversation: chat messages → `system` and alternating turns (translation chapter §8.2).

Adjacent messages of one side become one turn. In a user turn the tool results come first, whatever the order of the
client's messages: the API wants them directly after the calls that they answer.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from msgspec import UNSET, Struct, UnsetType

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects.anthropic_messages import request as anthropic
from filters.dialects.openai_chat import request as openai
from filters.dialects.openai_chat.request import CacheControl, Message, Part, text_or_parts
from filters.mappings.openai_chat_to_anthropic import parts
from filters.mappings.openai_chat_to_anthropic.notes import Notes
from filters.mappings.openai_chat_to_anthropic.refusals import malformed, unprocessable

EMPTY_OBJECT: Final = Raw(b"{}")

_TEXT_ONLY: Final = "invalid content type (must be string or array of ChatCompletionContentPartTextParam)"
_ID_ALPHABET: Final = re.compile(r"[^a-zA-Z0-9_-]")
_QUOTE: Final = ord('"')
_BRACKET: Final = ord("[")
_read_object = jsonlib.decoder(dict[str, Raw])
_read_text = jsonlib.decoder(str)


class Conversation(Struct, frozen=True):
    system: list[anthropic.TextBlock]
    messages: list[anthropic.Message]


class _Turns:
    """Collects blocks into turns."""

    __slots__ = ("_blocks", "_results", "_role", "claude", "done", "notes", "system")

    def __init__(self, *, claude: bool, notes: Notes) -> None:
        self.claude = claude
        self.notes = notes
        self.system: list[anthropic.TextBlock] = []
        self.done: list[anthropic.Message] = []
        self._role: Literal["user", "assistant"] = "user"
        self._results: list[anthropic.Block] = []
        self._blocks: list[anthropic.Block] = []

    def turn(self, role: Literal["user", "assistant"]) -> list[anthropic.Block]:
        """Where blocks of `role` go now."""
        if role != self._role:
            self.flush()
            self._role = role
        return self._blocks

    def results(self) -> list[anthropic.Block]:
        self.turn("user")
        return self._results

    def flush(self) -> None:
        if self._results or self._blocks:
            blocks = self._results + self._blocks
            if self.done and self.done[-1].role == self._role:  # a turn between the two held nothing
                self.done[-1].content.extend(blocks)
            else:
                self.done.append(anthropic.Message(self._role, blocks))
            self._results = []
            self._blocks = []


def convert(messages: list[Message], *, claude: bool, notes: Notes) -> Conversation:
    """All messages. `claude`: the model understands signatures of thinking blocks. Raises MalformedRequest,
    Unprocessable."""
    turns = _Turns(claude=claude, notes=notes)
    for index, message in enumerate(messages):
        add = _ROLES.get(message.role)
        if add is None:
            reason = (
                f"unknown ChatCompletionMessageParam type: {message.role}"
                if message.role
                else "chat message does not have role"
            )
            raise malformed(reason, f"messages[{index}].role")
        if message.name:
            notes.drop("messages[].name")
        add(turns, message, index)
    turns.flush()
    return Conversation(turns.system, _without_trailing_space(turns.done))


def _system(turns: _Turns, message: Message, number: int) -> None:
    content = _content(message.content, number)
    mark: CacheControl | None = message.cache_control
    if isinstance(content, list):
        for index, part in enumerate(content):
            _require_text(part, f"messages[{number}].content[{index}]")
            if parts.cache_control(part.cache_control) is not None:
                mark = part.cache_control
        content = "".join(part.text or "" for part in content)
    block = parts.text(content, mark)
    if block is not None:
        turns.system.append(block)


def _user(turns: _Turns, message: Message, number: int) -> None:
    if message.content is UNSET:
        raise _missing_content(number)
    content = _text_or_parts(message.content, number)
    blocks = turns.turn("user")
    if isinstance(content, str):
        block = parts.text(content, message.cache_control)
        if block is not None:
            blocks.append(block)
        return
    _report_unused_mark(turns, message)
    for index, part in enumerate(content):
        media = parts.block(part, f"messages[{number}].content[{index}]", turns.notes)
        if media is not None:
            blocks.append(media)


def _assistant(turns: _Turns, message: Message, number: int) -> None:
    content: str | list[Part] = ""
    if message.content is not UNSET:
        content = _text_or_parts(message.content, number)
    blocks = turns.turn("assistant")
    if isinstance(content, str):
        _echo_thinking(turns, blocks, message)
        block = parts.text(content or message.refusal, message.cache_control)
        if block is not None:
            blocks.append(block)
    else:
        _report_unused_mark(turns, message)
        if not any(part.type in ("thinking", "redacted_thinking") for part in content):
            _echo_thinking(turns, blocks, message)  # parts of that kind win over the member (§16 D3)
        for index, part in enumerate(content):
            _assistant_part(turns, blocks, part, f"messages[{number}].content[{index}]")
    for index, call in enumerate(message.tool_calls or ()):
        blocks.append(_tool_use(call, index, f"messages[{number}].tool_calls[{index}]"))


def _report_unused_mark(turns: _Turns, message: Message) -> None:
    """Where the parts can carry marks of their own, a mark of the message has no place."""
    if message.cache_control is not None:
        turns.notes.drop("messages[].cache_control")


def _echo_thinking(turns: _Turns, blocks: list[anthropic.Block], message: Message) -> None:
    """`thinking_blocks` of an earlier answer. Unsigned ones are refused by the API, foreign ones mean nothing to it."""
    for block in message.thinking_blocks or ():
        if turns.claude and block.type == "thinking" and block.signature:
            # Some models sign thinking that they do not show; its text is empty then, and may be left out.
            blocks.append(anthropic.ThinkingBlock(block.thinking or "", block.signature))
        elif turns.claude and block.type == "redacted_thinking" and block.data:
            blocks.append(anthropic.RedactedThinkingBlock(block.data))
        else:
            turns.notes.drop("messages[].thinking_blocks")


def _assistant_part(turns: _Turns, blocks: list[anthropic.Block], part: Part, param: str) -> None:
    block: anthropic.Block | None = None
    match part.type:
        case "text":
            block = parts.text(part.text, part.cache_control)
        case "refusal":
            block = parts.text(part.refusal)
        case "thinking" if turns.claude and part.text is not None and part.signature:
            block = anthropic.ThinkingBlock(part.text, part.signature)
        case "redacted_thinking" if turns.claude and part.redacted_content:
            block = anthropic.RedactedThinkingBlock(part.redacted_content)
        case "thinking" | "redacted_thinking":
            turns.notes.drop(f"messages[].content[].{part.type}")
        case _:
            raise unprocessable(f"content type not supported: {part.type}", f"{param}.type", code="unsupported_content")
    if block is not None:
        blocks.append(block)


def _tool_use(call: openai.ToolCall, index: int, param: str) -> anthropic.ToolUseBlock:
    if not call.id:
        raise unprocessable(
            f"tool_call at index {index} is missing required field 'id'", f"{param}.id", code="missing_field"
        )
    if call.function is None or call.type not in ("function", ""):
        raise unprocessable(f"unsupported tool call type: {call.type}", f"{param}.type")
    if not call.function.name:
        raise unprocessable("tool call names no function", f"{param}.function.name", code="missing_field")
    return anthropic.ToolUseBlock(
        tool_id(call.id),
        call.function.name,
        _arguments(call.function.arguments, f"{param}.function.arguments"),
        parts.cache_control(call.cache_control),
    )


def _arguments(text: str, param: str) -> Raw:
    """The JSON text as it is: order of members and big integers are the model's own."""
    stripped = text.strip()
    if stripped in ("", "null"):
        return EMPTY_OBJECT
    raw = Raw(stripped.encode())
    try:
        _read_object(raw)
    except JsonError:
        raise unprocessable(
            "tool call arguments must be the JSON text of an object", param, code="invalid_tool_arguments"
        ) from None
    return raw


def tool_id(text: str) -> str:
    """Ids of other providers may hold characters that the API refuses; calls and results are changed alike."""
    return text if text.isalnum() and text.isascii() else _ID_ALPHABET.sub("_", text)


def _tool(turns: _Turns, message: Message, number: int) -> None:
    if not message.tool_call_id:
        raise unprocessable(
            "tool message is missing required field 'tool_call_id'",
            f"messages[{number}].tool_call_id",
            code="missing_field",
        )
    content = _content(message.content, number)
    blocks: list[parts.MediaBlock] = []
    mark = parts.cache_control(message.cache_control)
    if isinstance(content, str):
        block = parts.text(content)
        if block is not None:
            blocks.append(block)
    else:
        for index, part in enumerate(content):
            media = parts.block(part, f"messages[{number}].content[{index}]", turns.notes)
            if media is not None:
                blocks.append(media)
        if mark is None and blocks:
            mark = blocks[-1].cache_control
    turns.results().append(
        anthropic.ToolResultBlock(
            tool_use_id=tool_id(message.tool_call_id),
            is_error=isinstance(content, str) and _reports_error(content),
            content=blocks or UNSET,
            cache_control=mark,
        )
    )


def _reports_error(content: str) -> bool:
    """A string that is a JSON object with a member `error`, whatever its value."""
    if "{" not in content[:64] or not content.lstrip().startswith("{"):
        return False
    try:
        return "error" in _read_object(content.encode())
    except JsonError:
        return False


def _text_or_parts(content: Raw, number: int) -> str | list[Part]:
    """As `text_or_parts`, quick for strings, which are most."""
    if memoryview(content)[0] == _QUOTE:
        return _read_text(content)
    return text_or_parts(content, f"messages[{number}].content")


def _content(content: Raw | UnsetType, number: int) -> str | list[Part]:
    """Content of the roles that must have one and may not have null."""
    if content is UNSET:
        raise _missing_content(number)
    if memoryview(content)[0] not in (_QUOTE, _BRACKET):
        raise malformed(_TEXT_ONLY, f"messages[{number}].content", code="invalid_type")
    return _text_or_parts(content, number)


def _missing_content(number: int) -> Exception:
    return unprocessable(
        "message 'content' must be a string or an array", f"messages[{number}].content", code="missing_field"
    )


def _require_text(part: Part, param: str) -> None:
    if part.type != "text":
        raise malformed(_TEXT_ONLY, f"{param}.type")


def _without_trailing_space(turns: list[anthropic.Message]) -> list[anthropic.Message]:
    """An answer that the model is to continue may not end with white space: the API refuses it."""
    if turns and turns[-1].role == "assistant" and isinstance(turns[-1].content[-1], anthropic.TextBlock):
        last = turns[-1].content[-1]
        turns[-1].content[-1] = anthropic.TextBlock(last.text.rstrip(), last.cache_control)
    return turns


_ROLES: Final[Mapping[str, Callable[[_Turns, Message, int], None]]] = {
    "system": _system,
    "developer": _system,
    "user": _user,
    "assistant": _assistant,
    "tool": _tool,
}
