"""A whole message → a whole chat completion, by way of the events that a stream would have been."""

from collections.abc import Sequence

from filters.dialects import events
from filters.dialects.events import Event
from filters.dialects.openai_chat.response import ChatAnswer, ToolCall


def answer(happened: Sequence[Event], *, id: str, model: str, created: int) -> ChatAnswer:  # noqa: A002  the wire's word
    """The completion that `happened` amounts to. `id` and `model` serve when the provider gives none."""
    text: list[str] = []
    refusal: list[str] = []
    reasoning: list[str] = []
    blocks: list[events.ReasoningBlock | events.RedactedReasoning] = []
    calls: list[events.ToolCallStart] = []
    arguments: list[list[str]] = []
    annotations: list[events.Annotation] = []
    reason = "stop"
    usage = None
    tier = ""
    for event in happened:
        match event:
            case events.TextDelta():
                text.append(event.text)
            case events.ToolCallStart():
                calls.append(event)
                arguments.append([])
            case events.ToolCallDelta():
                arguments[event.index].append(event.arguments)
            case events.ReasoningDelta():
                reasoning.append(event.text)
            case events.ReasoningBlock() | events.RedactedReasoning():
                blocks.append(event)
            case events.RefusalDelta():
                refusal.append(event.text)
            case events.Annotation():
                annotations.append(event)
            case events.UsageReport():
                usage = event.usage if usage is None else usage.merged(event.usage)
                tier = event.service_tier or tier
            case events.Finish():
                reason = event.reason
            case events.MessageStart():
                id = event.id or id  # noqa: A001
                model = event.model or model
            case _:
                pass
    return ChatAnswer(
        id=id,
        model=model,
        created=created,
        finish_reason=reason,
        content="".join(text) if text else None,
        refusal="".join(refusal) if refusal else None,
        tool_calls=[
            ToolCall(call.id, call.name, "".join(pieces)) for call, pieces in zip(calls, arguments, strict=True)
        ],
        reasoning="".join(reasoning),
        thinking_blocks=blocks,
        annotations=[annotation.value for annotation in annotations],
        usage=usage,
        service_tier=tier,
    )
