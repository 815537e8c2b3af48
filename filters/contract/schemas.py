"""The APIs that upstreams speak. Written by `make generate` from filters/providers."""

from typing import Final, Literal

SERVED: Final = frozenset(
    {
        "OpenAI",
        "AWSBedrock",
        "AzureOpenAI",
        "Anthropic",
    }
)
"""Those that a provider module translates for; the others wait for theirs."""

SchemaName = Literal[
    "OpenAI",
    "Cohere",
    "AWSBedrock",
    "AzureOpenAI",
    "GCPVertexAI",
    "GCPAnthropic",
    "Anthropic",
    "AWSAnthropic",
]
