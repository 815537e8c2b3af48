"""What one request leaves behind for the metrics: plain values, made by the accounting, read by the recorder."""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from filters.contract.usage import Usage

PROVIDER_NAMES: Final[Mapping[str, str]] = {
    "OpenAI": "openai",
    "AzureOpenAI": "azure.openai",
    "AWSBedrock": "aws.bedrock",
    "AWSAnthropic": "aws.anthropic",
    "GCPVertexAI": "gcp.vertex_ai",
    "GCPAnthropic": "gcp.anthropic",
    "Anthropic": "anthropic",
    "Cohere": "cohere",
}
"""backend schema → `gen_ai.provider.name` where OpenTelemetry has a name for it (observability chapter §3.1); others
go by their schema in lower case"""

OPERATION_NAMES: Final[Mapping[str, str]] = {"chat_completions": "chat"}
"""endpoint → `gen_ai.operation.name`, where it is not the endpoint's own name"""


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes that every point of one request shares."""

    operation: str
    provider: str
    original_model: str
    request_model: str
    response_model: str


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request that reached a backend, when it is over. Times are in seconds."""

    labels: Labels
    duration: float
    usage: Usage | None = None
    error: str = ""
    """empty: success. Otherwise the status the provider answered with, or the code of what went wrong"""
    first_token: float | None = None
    per_output_token: float | None = None


class Recorder(Protocol):
    """Who counts. Called on the request path: must be cheap and must not raise."""

    def request(self, record: RequestRecord) -> None:
        """One request is over."""
        ...

    def answer(self, code: str) -> None:
        """The gateway answered a request itself, with that error code."""
        ...

    def cost_failure(self, key: str) -> None:
        """A cost expression failed for one request."""
        ...

    def dropped(self, schema: str, count: int) -> None:
        """That many request members were left out on purpose for a backend of that schema."""
        ...
