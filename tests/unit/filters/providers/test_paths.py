"""Upstream paths: whatever the prefix looks like, and whatever a client chose as model."""

import pytest

from filters.providers import paths


@pytest.mark.parametrize(
    ("prefix", "joined"),
    [
        ("", "/chat/completions"),
        ("/", "/chat/completions"),
        ("v1", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("v1/", "/v1/chat/completions"),
        ("//v1//", "/v1/chat/completions"),
        ("/v1beta/openai", "/v1beta/openai/chat/completions"),
        ("/compatibility/v1/", "/compatibility/v1/chat/completions"),
        ("/a/./b/../c", "/a/c/chat/completions"),
        ("../..", "/chat/completions"),
    ],
)
def test_joins_a_prefix(prefix: str, joined: str) -> None:
    assert paths.join(prefix, "chat/completions") == joined


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("gpt-4o_mini.1~2", "gpt-4o_mini.1~2"),
        ("$&+:=@", "$&+:=@"),
        ("a/b?c#d%e f", "a%2Fb%3Fc%23d%25e%20f"),
        ("arn:aws:bedrock:us-east-1:123:inference-profile/x", "arn:aws:bedrock:us-east-1:123:inference-profile%2Fx"),
        ("ü", "%C3%BC"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("!'()*,;", "%21%27%28%29%2A%2C%3B"),
    ],
)
def test_escapes_one_segment(text: str, escaped: str) -> None:
    assert paths.escape_segment(text) == escaped
