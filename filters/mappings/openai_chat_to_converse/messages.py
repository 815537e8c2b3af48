"""The conversation: chat messages → `system` and alternating turns (translation chapter §7.3).

Adjacent messages of one side become one turn, since several models on Bedrock insist on alternation. In a user turn the
results of calls come first, whatever the order of the client's messages: they must directly follow the calls. Text
without a visible character is left out (Bedrock refuses it), and with it a message that holds nothing else. Where
Bedrock insists on a turn that the client did not need, one is put in (`USER_BRIDGE`, `ASSISTANT_BRIDGE`).
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects.converse import request as converse
from filters.dialects.converse.request import Block
from filters.dialects.openai_chat import request as openai
from filters.dialects.openai_chat.request import CacheControl, Message, Part, text_or_parts
from filters.mappings.openai_chat_to_converse import parts
from filters.mappings.openai_chat_to_converse.refusals import malformed, unprocessable
from filters.quirks.bedrock import Family

EMPTY_OBJECT: Final = Raw(b"{}")

_TEXT_ONLY: Final = "invalid content type (must be string or array of ChatCompletionContentPartTextParam)"
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_BLANK: Final = ord(" ")
_DELETE: Final = 0x7F
_STRING_OR_ARRAY: Final = (_QUOTE, ord("["))
_TOOL_ID_ALPHABET: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_LONGEST_TOOL_ID: Final = 64
USER_BRIDGE: Final = "."
"""said before an answer that a conversation begins with: Converse wants the user to begin, OpenAI does not"""
ASSISTANT_BRIDGE: Final = "OK."
"""said between results of calls and what the user says next, to models that do not take both in one turn"""

_read_object = jsonlib.decoder(dict[str, Raw])
_read_text = jsonlib.decoder(str)


class Conversation(Struct, frozen=True):
    system: list[Block]
    messages: list[converse.Message]
    tool_names: dict[str, None]
    """functions that were called, in order; Converse wants them declared"""
    unsigned_tool_turn: bool
    """the tool results at the end answer calls that come without the reasoning that led to them"""


class _Turns:
    """Collects blocks into turns."""

    __slots__ = ("_results", "documents", "dropped", "family", "system", "tool_names", "turns")

    def __init__(self, family: Family, dropped: dict[str, None]) -> None:
        self.family = family
        self.dropped = dropped
        self.documents = parts.Documents()
        self.system: list[Block] = []
        self.turns: list[converse.Message] = []
        self.tool_names: dict[str, None] = {}
        self._results = 0  # blocks of results, and marks after them, that the last turn begins with

    def add(self, role: converse.Role, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self.turns and self.turns[-1].role == role:
            self.turns[-1].content.extend(blocks)
        else:
            self.turns.append(converse.Message(role, blocks))
            self._results = 0

    def add_results(self, blocks: list[Block]) -> None:
        """Results of calls, which go before whatever else the user's turn holds."""
        if not (self.turns and self.turns[-1].role == "user"):
            self.turns.append(converse.Message("user", []))
            self._results = 0
        self.turns[-1].content[self._results : self._results] = blocks
        self._results += len(blocks)


def convert(messages: list[Message], family: Family, dropped: dict[str, None]) -> Conversation:
    """All messages. What is left out on purpose is added to `dropped`. Raises MalformedRequest, Unprocessable."""
    turns = _Turns(family, dropped)
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
            dropped["messages[].name"] = None
        add(turns, message, f"messages[{index}]")
    if not family.trailing_space:
        _strip_end(turns.turns)
    unsigned = _unsigned_tool_turn(turns.turns)
    return Conversation(turns.system, list(_bridged(turns)), turns.tool_names, unsigned)


def _bridged(turns: _Turns) -> Iterator[converse.Message]:
    """The turns, with those between that Bedrock misses."""
    if turns.turns and turns.turns[0].role == "assistant":
        yield converse.Message("user", [Block(text=USER_BRIDGE)])
    for turn in turns.turns:
        if turns.family.mixed_turns:
            yield turn
        elif turn.role == "user":
            yield from _parted(turn)
        else:
            yield _calls_alone(turn, turns.dropped)


def _parted(turn: converse.Message) -> Iterator[converse.Message]:
    """Results of calls in a turn of their own."""
    end = max((place for place, block in enumerate(turn.content, 1) if block.tool_result is not UNSET), default=0)
    while end and end < len(turn.content) and turn.content[end].cache_point is not UNSET:
        end += 1
    if not 0 < end < len(turn.content):
        yield turn
        return
    yield converse.Message("user", turn.content[:end])
    yield converse.Message("assistant", [Block(text=ASSISTANT_BRIDGE)])
    yield converse.Message("user", turn.content[end:])


def _calls_alone(turn: converse.Message, dropped: dict[str, None]) -> converse.Message:
    """Calls without what the model said beside them, which has no place then."""
    start = next((place for place, block in enumerate(turn.content) if block.tool_use is not UNSET), 0)
    if start == 0:
        return turn
    dropped["messages[].content"] = None
    return converse.Message("assistant", turn.content[start:])


def _strip_end(turns: list[converse.Message]) -> None:
    """An answer that the model is to continue: Claude refuses white space at its end."""
    if turns and turns[-1].role == "assistant" and (text := turns[-1].content[-1].text) is not UNSET:
        text = text if isinstance(text, str) else _read_text(text)
        turns[-1].content[-1] = Block(text=text.rstrip())


def _unsigned_tool_turn(turns: list[converse.Message]) -> bool:
    if len(turns) < 2 or not any(block.tool_result is not UNSET for block in turns[-1].content):
        return False
    return all(block.reasoning_content is UNSET for block in turns[-2].content)


def _mark(blocks: list[Block], mark: CacheControl | None) -> None:
    """Everything up to here is to be cached."""
    if mark is None:
        return
    point = parts.cache_point(mark)
    if point is not None and blocks:
        blocks.append(Block(cache_point=point))


def _text_block(content: Raw) -> list[Block]:
    """A JSON string as a block that carries it unread; nothing for a blank one."""
    return [] if _is_blank(content) else [Block(text=content)]


def _is_blank(content: Raw) -> bool:
    """True for a JSON string without a visible character. Most begin with one, and need not be read to know."""
    first = memoryview(content)[1]
    if _BLANK < first < _DELETE and first not in (_QUOTE, _BACKSLASH):
        return False
    text = _read_text(content)
    return not text or text.isspace()


def _is_string(content: Raw) -> bool:
    return memoryview(content)[0] == _QUOTE


def _system(turns: _Turns, message: Message, param: str) -> None:
    content = _required(message.content, param)
    blocks: list[Block] = []
    if _is_string(content):
        blocks = _text_block(content)
    else:
        for index, part in enumerate(text_or_parts(content, f"{param}.content")):
            assert isinstance(part, Part)
            if part.type != "text":
                raise malformed(_TEXT_ONLY, f"{param}.content[{index}].type")
            if part.text and not part.text.isspace():
                blocks.append(Block(text=part.text))
                _mark(blocks, part.cache_control)
    _mark(blocks, message.cache_control)
    turns.system.extend(blocks)


def _user(turns: _Turns, message: Message, param: str) -> None:
    if message.content is UNSET:
        raise _missing_content(param)
    blocks: list[Block] = []
    if _is_string(message.content):
        blocks = _text_block(message.content)
    else:
        for index, part in enumerate(text_or_parts(message.content, f"{param}.content")):
            assert isinstance(part, Part)
            found = parts.block(part, f"{param}.content[{index}]", turns.documents, turns.dropped)
            if found is not None:
                blocks.append(found)
                _mark(blocks, part.cache_control)
    _mark(blocks, message.cache_control)
    turns.add("user", blocks)


def _assistant(turns: _Turns, message: Message, param: str) -> None:
    blocks: list[Block] = []
    content = message.content
    if content is UNSET or jsonlib.is_null(content) or _is_string(content):
        _echo_thinking(turns, blocks, message)
        text = _text_block(content) if content is not UNSET and _is_string(content) else []
        if not text and message.refusal:
            text = [Block(text=message.refusal)]
        blocks += text
    else:
        found = text_or_parts(content, f"{param}.content")
        assert isinstance(found, list)
        if not any(part.type in ("thinking", "redacted_thinking") for part in found):
            _echo_thinking(turns, blocks, message)  # parts of that kind win over the member (§16 D3)
        for index, part in enumerate(found):
            _assistant_part(turns, blocks, part, f"{param}.content[{index}]")
    for index, call in enumerate(message.tool_calls or ()):
        blocks.append(Block(tool_use=_tool_use(turns, call, index, f"{param}.tool_calls[{index}]")))
        _mark(blocks, call.cache_control)
    _mark(blocks, message.cache_control)
    turns.add("assistant", blocks)


def _echo_thinking(turns: _Turns, blocks: list[Block], message: Message) -> None:
    """`thinking_blocks` of an earlier answer, for models that take them back; unsigned ones are refused by them."""
    for block in message.thinking_blocks or ():
        if turns.family.signatures and block.type == "thinking" and block.signature:
            blocks.append(_reasoning(block.thinking or "", block.signature))
        elif turns.family.signatures and block.type == "redacted_thinking" and block.data:
            blocks.append(Block(reasoning_content=converse.Reasoning(redacted_content=block.data)))
        else:
            turns.dropped["messages[].thinking_blocks"] = None


def _reasoning(text: str, signature: str | None) -> Block:
    return Block(reasoning_content=converse.Reasoning(converse.ReasoningText(text, signature)))


def _assistant_part(turns: _Turns, blocks: list[Block], part: Part, param: str) -> None:
    match part.type:
        case "text" | "refusal":
            text = part.text if part.type == "text" else part.refusal
            if not text or text.isspace():
                return
            blocks.append(Block(text=text))
        case "thinking":
            if not part.text and not part.signature:
                return
            # A signature is a vendor's secret handshake: another model refuses it (§16 D4).
            blocks.append(_reasoning(part.text or "", part.signature if turns.family.signatures else None))
        case "redacted_thinking":
            data = part.redacted_content
            if not data:
                return
            if not turns.family.signatures:
                turns.dropped["messages[].content[].redacted_thinking"] = None
                return
            if not _BASE64.fullmatch(data):
                raise unprocessable(
                    "redacted_content must be a binary/bytes value in bedrock", f"{param}.redactedContent"
                )
            blocks.append(Block(reasoning_content=converse.Reasoning(redacted_content=data)))
        case _:
            raise unprocessable(
                f"unsupported assistant content type: {part.type}", f"{param}.type", code="unsupported_content"
            )
    _mark(blocks, part.cache_control)


def _tool_use(turns: _Turns, call: openai.ToolCall, index: int, param: str) -> converse.ToolUse:
    if not call.id:
        raise unprocessable(
            f"tool_call at index {index} is missing required field 'id'", f"{param}.id", code="missing_field"
        )
    if call.function is None or call.type not in ("function", ""):
        raise unprocessable(f"unsupported tool call type: {call.type}", f"{param}.type", code="unsupported_content")
    if not call.function.name:
        raise unprocessable("tool call names no function", f"{param}.function.name", code="missing_field")
    turns.tool_names[call.function.name] = None
    return converse.ToolUse(
        call.function.name, tool_id(call.id), _arguments(call.function.arguments, f"{param}.function.arguments")
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
    """Ids of other providers may hold characters that Bedrock refuses, or too many (Gemini's carry a signature); calls
    and results are changed alike."""
    if len(text) > _LONGEST_TOOL_ID:
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
        text = f"{text[: _LONGEST_TOOL_ID - 25]}_{digest}"
    return _TOOL_ID_ALPHABET.sub("_", text)


def _tool(turns: _Turns, message: Message, param: str) -> None:
    if not message.tool_call_id:
        raise unprocessable(
            "tool message is missing required field 'tool_call_id'", f"{param}.tool_call_id", code="missing_field"
        )
    content = _required(message.content, param)
    mark = message.cache_control
    results: list[converse.ToolResultContent] = []
    status: str | None = None
    if _is_string(content):
        if not _is_blank(content):
            results.append(converse.ToolResultContent(text=content))
        if turns.family.tool_result_status and _reports_error(content):
            status = "error"
    else:
        for index, part in enumerate(text_or_parts(content, f"{param}.content")):
            assert isinstance(part, Part)
            where = f"{param}.content[{index}]"
            found = parts.block(part, where, turns.documents, turns.dropped)
            if found is None:
                continue
            if found.audio is not UNSET:
                raise unprocessable("a tool result cannot hold audio", f"{where}.type", code="unsupported_content")
            results.append(
                converse.ToolResultContent(
                    text=found.text, image=found.image, document=found.document, video=found.video
                )
            )
            mark = mark or part.cache_control
    blocks = [Block(tool_result=converse.ToolResult(results, tool_id(message.tool_call_id), status))]
    _mark(blocks, mark)
    turns.add_results(blocks)


def _reports_error(content: Raw) -> bool:
    """A string that is a JSON object with a member `error`, whatever its value."""
    text = bytes(content)
    if b"{" not in text[:64] or b"error" not in text:
        return False
    try:
        return "error" in _read_object(_read_text(content).encode())
    except (JsonError, UnicodeEncodeError):
        return False


def _required(content: Raw | UnsetType, param: str) -> Raw:
    """Content of the roles that must have one and may not have null."""
    if content is UNSET:
        raise _missing_content(param)
    if memoryview(content)[0] not in _STRING_OR_ARRAY:
        raise malformed(_TEXT_ONLY, f"{param}.content", code="invalid_type")
    return content


def _missing_content(param: str) -> Exception:
    return unprocessable("message 'content' must be a string or an array", f"{param}.content", code="missing_field")


_ROLES: Final[Mapping[str, Callable[[_Turns, Message, str], None]]] = {
    "system": _system,
    "developer": _system,
    "user": _user,
    "assistant": _assistant,
    "tool": _tool,
}
