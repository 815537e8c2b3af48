"""What happens in a streamed chat answer, whatever the provider: the one vocabulary between decoders and encoders.

A dialect's decoder turns its provider's frames into these, a client format's encoder turns them into its own. Order of
a well-formed answer: MessageStart, then blocks, Finish, UsageReport (any number of times, anywhere), End. Indexes of
tool calls count the tools of the answer from 0.
"""

from msgspec import Struct

from filters.contract.jsonlib import Raw
from filters.contract.usage import Usage


class MessageStart(Struct, frozen=True):
    """The answer begins. `id` and `model` are the provider's, empty when it gives none."""

    id: str = ""
    model: str = ""


class TextDelta(Struct, frozen=True):
    text: str


class RefusalDelta(Struct, frozen=True):
    text: str


class ReasoningDelta(Struct, frozen=True):
    """A piece of thinking text, as it comes."""

    text: str


class ReasoningBlock(Struct, frozen=True):
    """A thinking block is complete: its whole text and signature, as the provider wants them echoed next turn."""

    text: str
    signature: str


class RedactedReasoning(Struct, frozen=True):
    """A thinking block that the provider hides. `data` is exactly the string received; it is never decoded."""

    data: str


class ToolCallStart(Struct, frozen=True):
    index: int
    id: str
    name: str


class ToolCallDelta(Struct, frozen=True):
    """A piece of the JSON text of the arguments."""

    index: int
    arguments: str


class Annotation(Struct, frozen=True):
    """A citation, already in the shape of an OpenAI `annotations[]` element."""

    value: Raw


class Ping(Struct, frozen=True):
    """The provider shows that it is alive."""


class Finish(Struct, frozen=True):
    """Why the answer ended, in OpenAI's words: stop, length, tool_calls, content_filter."""

    reason: str


class UsageReport(Struct, frozen=True):
    """Cumulative counts; the newest wins."""

    usage: Usage
    service_tier: str = ""


class Failure(Struct, frozen=True):
    """The provider reports an error inside the stream, or the stream is broken. Nothing follows."""

    type: str
    """the provider's own name (`overloaded_error`, `throttlingException`), or ours (`TruncatedStream`)"""
    status: int
    """HTTP status that the type stands for"""
    message: str


class End(Struct, frozen=True):
    """The provider's last event has been seen."""


Event = (
    MessageStart
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ReasoningBlock
    | RedactedReasoning
    | ToolCallStart
    | ToolCallDelta
    | Annotation
    | Ping
    | Finish
    | UsageReport
    | Failure
    | End
)
