"""Whole answers have OpenAI's shape."""

from openai.types.chat import ChatCompletion

from filters.contract.jsonlib import Raw
from filters.contract.usage import Usage
from filters.dialects.events import ReasoningBlock, RedactedReasoning
from filters.dialects.openai_chat.response import ChatAnswer, ToolCall


def test_writes_a_plain_answer() -> None:
    body = ChatAnswer(id="i", model="m", created=17, finish_reason="stop", content='Hi "you"').encode()
    assert body == (
        b'{"id":"i","choices":[{"index":0,"message":{"role":"assistant","content":"Hi \\"you\\""},'
        b'"finish_reason":"stop"}],'
        b'"created":17,"model":"m","object":"chat.completion"}'
    )
    ChatCompletion.model_validate_json(body, strict=True)


def test_writes_everything_that_an_answer_can_hold() -> None:
    body = ChatAnswer(
        id="i",
        model="m",
        created=17,
        finish_reason="tool_calls",
        refusal="no",
        tool_calls=[ToolCall("call_1", "f", '{"b": 1, "a": 12345678901234567890}')],
        reasoning="hm",
        thinking_blocks=[ReasoningBlock("hm", "sig"), ReasoningBlock("", "only"), RedactedReasoning("c2VjcmV0")],
        annotations=[
            Raw(b'{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":1}}')
        ],
        usage=Usage(input=10, output=5, total=15, cached=4, cache_creation=0, reasoning=2),
        service_tier="priority",
    ).encode()
    assert body == (
        b'{"id":"i","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"no",'
        b'"tool_calls":[{"id":"call_1",'
        b'"function":{"arguments":"{\\"b\\": 1, \\"a\\": 12345678901234567890}","name":"f"},'
        b'"type":"function"}],'
        b'"annotations":[{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":1}}],'
        b'"reasoning_content":"hm","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"sig"},'
        b'{"type":"thinking","signature":"only"},{"type":"redacted_thinking","data":"c2VjcmV0"}]},'
        b'"finish_reason":"tool_calls"}],"created":17,"model":"m","service_tier":"priority","object":"chat.completion",'
        b'"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,'
        b'"completion_tokens_details":{"reasoning_tokens":2},'
        b'"prompt_tokens_details":{"cached_tokens":4,"cache_creation_input_tokens":0,"cache_write_tokens":0}}}'
    )
    ChatCompletion.model_validate_json(body, strict=True)
