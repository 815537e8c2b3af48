"""Files for the commands: every kind of credential and mutation, each with a secret that must never be printed."""

from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from aigw.cli import app
from tests.standalone import files

KEYS = {
    "openai": "sk-planted-openai-key",
    "anthropic": "planted+anthropic/key",
    "header": "planted-header-secret",
    "body": "planted-body-secret",
    "client": "planted-client-key",
    "aws_id": "AKIAPLANTEDPLANTED00",
    "aws_secret": "planted/aws/secret/access/key/0000000000",
    "environment": "planted-environment-key",
}
"""what each secret is for → its value"""
PLANTED = tuple(KEYS.values())


def rule(refs: list[files.Document], *headers: files.Document) -> files.Document:
    return {"matches": [{"headers": list(headers)}], "backendRefs": refs}


def exact(value: str, name: str = "x-ai-eg-model") -> files.Document:
    return {"name": name, "value": value}


def regex(value: str, name: str = "x-ai-eg-model") -> files.Document:
    return {"name": name, "value": value, "type": "RegularExpression"}


def example(*, port: int | str = 1975, ports: Mapping[str, int] | None = None) -> str:
    """One Gateway with two hosts, three providers (`ports`: provider → its port), a rule of each form."""
    at = {"openai": 9, "anthropic": 9, "bedrock": 9, **(ports or {})}
    listener = {"name": "http", "protocol": "HTTP", "port": port}
    rules = [
        rule([{"name": "openai"}], exact("gpt-4o")),
        rule([{"name": "openai", "weight": 3}, {"name": "anthropic", "weight": 1}], exact("shared")),
        rule([{"name": "anthropic"}], regex("claude-.*"), exact("blue", "x-team")),
        rule([{"name": "bedrock"}], regex("claude-.*")),
        rule([{"name": "openai", "modelNameOverride": "real"}], exact("alias")),
    ]
    route = files.object_(
        f"{files.GROUP}/v1beta1",
        "AIGatewayRoute",
        "llm",
        {"parentRefs": [{"name": "aigw"}], "rules": rules, "hostnames": ["ai.example.com", "*.models.example.com"]},
    )
    secret = files.object_(
        "v1",
        "Secret",
        "aws",
        stringData={
            "credentials": "[default]\n"
            f"aws_access_key_id = {KEYS['aws_id']}\n"
            f"aws_secret_access_key = {KEYS['aws_secret']}\n"
        },
    )
    aws = files.object_(
        f"{files.GROUP}/v1beta1",
        "BackendSecurityPolicy",
        "bedrock",
        {
            "targetRefs": [{"group": files.GROUP, "kind": "AIServiceBackend", "name": "bedrock"}],
            "type": "AWSCredentials",
            "awsCredentials": {"region": "us-east-1", "credentialsFile": {"secretRef": {"name": "aws"}}},
        },
    )
    openai = files.backend("openai", "OpenAI", at["openai"])
    openai[1]["spec"] |= {
        "headerMutation": {
            "set": [{"name": "x-extra-key", "value": KEYS["header"]}, {"name": "x-plain", "value": "shown"}],
            "remove": ["x-unwanted"],
        },
        "bodyMutation": {"set": [{"path": "secret_option", "value": f'"{KEYS["body"]}"'}], "remove": ["seed"]},
    }
    return files.text(
        files.gateway(listener),
        route,
        openai,
        files.backend("anthropic", "Anthropic", at["anthropic"]),
        files.backend("bedrock", "AWSBedrock", at["bedrock"], host="localhost"),
        files.api_key("openai", KEYS["openai"]),
        files.api_key("anthropic", KEYS["anthropic"], "AnthropicAPIKey"),
        secret,
        aws,
    )


def invoke(*arguments: str, environment: dict[str, str] | None = None, stdin: str | None = None) -> Result:
    """A command, as the shell would run it."""
    return CliRunner().invoke(app, list(arguments), env=environment, input=stdin)


def written(directory: Path, text: str | None = None, name: str = "gateway.yaml") -> str:
    path = directory / name
    path.write_text(example() if text is None else text)
    return str(path)
