"""Which family a model on Bedrock belongs to."""

import pytest

from filters.quirks.bedrock import FAMILIES, UNKNOWN, family_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "claude"),
        ("us.anthropic.claude-opus-4-6-v1", "claude"),
        ("global.anthropic.fable-5", "claude"),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-v1:0", "claude"),
        ("us.amazon.nova-2-lite-v1:0", "nova-2"),
        ("amazon.nova-premier-v1:0", "nova"),
        ("amazon.titan-text-premier-v1:0", "titan"),
        ("openai.gpt-oss-120b-1:0", "gpt-oss"),
        ("openai.gpt-5.6-v1:0", "gpt"),
        ("openai.gpt-6-v1:0", "gpt"),
        ("openai.gpt-5-v1:0", "unknown"),
        ("openai.gpt-5.1", "unknown"),
        ("moonshotai.kimi-k2.5", "kimi"),
        ("us.meta.llama4-maverick-17b-instruct-v1:0", "llama"),
        ("mistral.pixtral-large-2502-v1:0", "mistral"),
        ("cohere.command-r-plus-v1:0", "cohere"),
        ("ai21.jamba-1-5-large-v1:0", "jamba"),
        ("zai.glm-5", "unknown"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6", "opaque"),
        ("", "unknown"),
    ],
)
def test_the_family_is_read_from_the_models_name(model: str, family: str) -> None:
    assert family_of(model).name == family
    assert family_of(model.upper()).name == family


def test_every_family_has_a_name_of_its_own() -> None:
    names = [family.name for family in (*FAMILIES, UNKNOWN)]
    assert len(set(names)) == len(names)
