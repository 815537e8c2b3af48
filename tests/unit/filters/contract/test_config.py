"""The filter configuration survives its own encoding, and never shows its secrets by accident."""

import pytest

from filters.contract import config
from filters.contract.secret import REDACTED, Secret

DOCUMENT = config.FilterConfig(
    gateway="default/aigw-run",
    backends=(
        config.Backend(
            name="default/openai/route/llm/rule/0/ref/0",
            short_name="default/openai",
            schema=config.Schema("OpenAI", prefix="v1"),
            credential="default/openai",
        ),
        config.Backend(
            name="default/aws/route/llm/rule/1/ref/0",
            short_name="default/aws",
            schema=config.Schema("AWSBedrock"),
            credential="default/aws",
        ),
    ),
    rules=(
        config.Rule(
            name="default/llm/rule/0",
            route="default/llm",
            token="0123456789abcdef",
            plan="single",
            backends=("default/openai/route/llm/rule/0/ref/0",),
            costs=(config.Cost("tokens", "TotalToken"),),
        ),
    ),
    listeners=(
        config.Listener(
            "default/aigw-run/http",
            (config.VirtualHost(("*",), (config.Match("default/llm/rule/0", model="gpt"),)),),
        ),
    ),
    credentials={
        "default/openai": config.HeaderCredential("authorization", Secret("Bearer sk-not-to-be-seen")),
        "default/aws": config.AwsCredential("us-east-1", "AKIA", Secret("not-to-be-seen")),
    },
)


def test_a_document_decodes_to_what_was_encoded() -> None:
    assert config.decode(config.encode(DOCUMENT)) == DOCUMENT


def test_secrets_do_not_show_in_any_rendering() -> None:
    for rendering in (repr(DOCUMENT), str(DOCUMENT), f"{DOCUMENT}"):
        assert "not-to-be-seen" not in rendering
        assert REDACTED in rendering


def test_a_member_of_the_wrong_type_is_named() -> None:
    with pytest.raises(ValueError, match=r"filter configuration: .*\$\.rules\[0\]\.plan"):
        config.decode(config.encode(DOCUMENT).replace(b'"single"', b'"double"'))


def test_a_document_that_is_not_utf8_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match="filter configuration"):
        config.decode(config.encode(DOCUMENT).replace(b"gpt", b"\xff\xfe"))
