"""The files that people start from: what `aigw validate --kubernetes` says that this release does not serve of them.
tests/gateway/test_examples.py holds that the conditions in a cluster say the same."""

from pathlib import Path
from typing import Any

import pytest

from filters.contract import jsonlib
from tests.support import validation
from tests.unit.aigw.commands.world import invoke

NOT_SERVED = {
    "aws": ["AWSAnthropic is not served yet"],
    "aws_bedrock_openai_anthropic": ["AWSAnthropic is not served yet"],
    "aws_default_chain": ["the default AWS credential chain is not supported yet"],
    "azure_openai": ["type AzureCredentials needs a token exchange"],
    "cohere": ["Cohere is not served yet"],
    "gcp_vertex": [
        "GCPVertexAI is not served yet",
        "GCPAnthropic is not served yet",
        "type GCPCredentials needs a token",
    ],
    "inference_pool": 2 * ["InferencePools are not served by this release"],
    "mcp": ["kind MCPRoute is not served by this release"],
    "mcp_oauth": ["kind MCPRoute is not served by this release"],
    "mcp_oauth_keycloak": ["kind MCPRoute is not served by this release"],
    "openai_github": ["kind MCPRoute is not served by this release"],
}


@pytest.mark.parametrize("path", validation.examples(), ids=lambda path: path.stem)
def test_validate_warns_of_what_is_not_served_in_an_example(path: Path) -> None:
    result = invoke("validate", "--kubernetes", "--output", "json", str(path))
    (file,) = jsonlib.decode(result.stdout.encode(), dict[str, Any])["files"]
    problems = (each for object_ in file["objects"] for each in object_["problems"])
    warnings = [each["message"] for each in problems if each["severity"] == "warning"]
    wanted = NOT_SERVED.get(path.stem, [])
    assert [message[: len(text)] for text, message in zip(wanted, warnings, strict=True)] == wanted
