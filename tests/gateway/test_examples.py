"""The files that people start from, applied as they are to a real API server with the controller: what `kubectl get`
then says, and that it agrees with `aigw validate --kubernetes`.

Each is applied after basic.yaml, as its README says, with `kubectl apply`'s strictness.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from aigw.standalone.validate import validate
from extension_server.api.aigateway import GROUP
from extension_server.compile.result import ObjectRef
from tests.support import apiserver, envoy_gateway_crds, validation
from tests.support.apiserver import ApiServer, Refused
from tests.support.controller import Running, condition, running
from tests.support.controller_world import FOREIGN, get
from tests.support.waiting import eventually

POLICIES = (
    "backendtlspolicies", "backendtrafficpolicies", "clienttrafficpolicies", "envoyextensionpolicies", "envoyproxies",
    "securitypolicies",
)  # fmt: skip
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class No:
    """`Accepted` is False."""

    reason: str
    says: str


_POOLS = No(
    "NotSupported",
    "2 of 3 rules are not served. spec.rules[0].backendRefs[0].kind, spec.rules[1].backendRefs[0].kind: InferencePools",
)
_MCP = No("NotSupported", "kind MCPRoute is not served by this release; it has no effect")
_CHAIN = No("NotSupported", "the default AWS credential chain is not supported yet; set credentialsFile")
_AZURE = No("NotSupported", "spec.azureCredentials: type AzureCredentials needs a token exchange")
_GCP = No("NotSupported", "spec.gcpCredentials: type GCPCredentials needs a token exchange")
SHORT = {"AIGatewayRoute": "route", "AIServiceBackend": "backend", "BackendSecurityPolicy": "policy", "MCPRoute": "mcp"}

NOT_ACCEPTED: dict[str, dict[str, No]] = {
    "aws": {"backend claude": No("NotSupported", "spec.schema.name: AWSAnthropic is not served yet")},
    "aws_bedrock_openai_anthropic": {
        "backend bedrock": No("NotSupported", "spec.schema.name: AWSAnthropic is not served yet")
    },
    "aws_default_chain": {"route bedrock": _CHAIN, "backend bedrock": _CHAIN, "policy bedrock": _CHAIN},
    "azure_openai": {"route azure": _AZURE, "backend azure": _AZURE, "policy azure": _AZURE},
    "cohere": {"backend cohere": No("NotSupported", "spec.schema.name: Cohere is not served yet")},
    # Its GatewayClasses are the reader's own.
    "gateway_config": {"route everything": No("NoMatchingParent", "GatewayClass one not found; create it or correct")},
    "gcp_vertex": {
        "route gemini": _GCP,
        "route claude": _GCP,
        "backend gemini": _GCP,
        "backend claude": _GCP,
        "policy gcp": _GCP,
    },
    "inference_pool": {"route mixed": _POOLS},
    "mcp": {"mcp mcp": _MCP},
    "mcp_oauth": {"mcp mcp": _MCP},
    "mcp_oauth_keycloak": {"mcp mcp": _MCP},
    # They are for `aigw run` of earlier releases; what kubectl refuses of them is missing here.
    "ollama": {
        "route ollama": No("BackendNotFound", "AIServiceBackend default/ollama not found"),
        "policy ollama": No("SecretNotFound", "Secret default/ollama-key not found"),
    },
    "openai_github": {
        "route openai": No("BackendNotFound", "AIServiceBackend default/openai not found"),
        "mcp github": _MCP,
    },
}
"""example → what of it says that it is not, or not wholly, served; everything else is accepted"""

REFUSED = {
    "mcp": ("substitution.aigw.run/env/apiKey",),
    "ollama": ("spec.timeouts", "substitution.aigw.run/env/apiKey"),
    "openai_github": ("spec.timeouts",),
}
"""example → what the API server refuses, whatever the controller: such files are for `aigw run`"""

NOTES = {
    "aws": {"route claude": "AWSAnthropic is not served yet: requests for this backend are answered with 422"},
    "aws_bedrock_openai_anthropic": {"route bedrock": "AWSAnthropic is not served yet"},
    "cohere": {"route cohere": "Cohere is not served yet"},
    "gateway_config": {"GatewayConfig shared": "no effect of OTEL_EXPORTER_OTLP_ENDPOINT: the"},
}
"""example → what an accepted object says besides"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server of its own: the examples are in namespace `default`."""
    if names := apiserver.missing():
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    foreign = envoy_gateway_crds.write(tmp_path_factory.mktemp("crds") / "foreign.yaml", *FOREIGN, *POLICIES)
    with apiserver.running_apiserver(crds=[apiserver.CRDS, foreign]) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def controller(whole: ApiServer) -> AsyncIterator[Running]:
    async with running(whole.kubeconfig, ["default"]) as found:
        await found.leading()
        yield found


def documents(path: Path) -> list[Document]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def put(api: ApiServer, document: Document) -> str:
    """As `kubectl apply` does. Why it was refused, or nothing."""
    try:
        if get(api, document["apiVersion"], document["kind"], document["metadata"]["name"], "default"):
            api.apply(document)
        else:
            api.create(document)
    except Refused as exc:
        return exc.message
    return ""


async def take_away(api: ApiServer, applied: list[Document], controller: Running) -> None:
    for each in applied:
        if get(api, each["apiVersion"], each["kind"], each["metadata"]["name"], "default"):
            api.delete(each)
    routes = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"
    await eventually(
        lambda: [each["metadata"]["name"] for each in api.http.get(routes).json()["items"]] == [], "routes are gone"
    )
    await controller.idle()


def named(document: Document) -> str:
    return f"{SHORT.get(document['kind'], document['kind'])} {document['metadata']['name']}"


@pytest.mark.parametrize("path", validation.examples(), ids=lambda path: path.stem)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_example_is_served_or_says_why_not(whole: ApiServer, controller: Running, path: Path) -> None:
    example = documents(path)
    basic = [] if path.stem == "basic" else documents(path.with_name("basic.yaml"))
    refused = [message for each in (*basic, *example) if (message := put(whole, each))]
    gateways = [each["metadata"]["name"] for each in (*basic, *example) if each["kind"] == "Gateway"]
    texts = REFUSED.get(path.stem, ())
    try:
        assert [text for text, message in zip(texts, refused, strict=True) if text not in message] == []

        def wrong() -> list[object]:
            for name in gateways:
                # As Envoy Gateway asks about it again and again; nothing is noted of one that is not known yet.
                controller.controller.observed(ObjectRef("Gateway", "default", name), (), ())
            return differences(whole, path.stem, example)

        with contextlib.suppress(AssertionError):
            await eventually(lambda: not wrong())
        assert wrong() == []
    finally:
        await take_away(whole, [*basic, *example], controller)


def differences(api: ApiServer, title: str, example: list[Document]) -> list[object]:
    """What the objects of an example say, where it is not what is expected. Objects that were refused are left out."""
    expected, notes = NOT_ACCEPTED.get(title, {}), NOTES.get(title, {})
    found: list[object] = []
    for each in example:
        there = get(api, each["apiVersion"], each["kind"], each["metadata"]["name"], "default")
        if not there or not each["apiVersion"].startswith(GROUP):
            continue
        name, accepted = named(each), condition(there, "Accepted")
        no = expected.get(name)
        wanted = ("False", no.reason) if no else ("True", accepted.get("reason"))
        says = no.says if no else notes.get(name, "")
        if (accepted.get("status"), accepted.get("reason")) != wanted or says not in accepted["message"]:
            found.append((name, accepted))
        served = name.startswith("route") and (no is None or no.reason != "NoMatchingParent")
        if served and condition(there, "Programmed").get("status") != "True":
            found.append((name, condition(there, "Programmed")))
    return found


@pytest.mark.parametrize("path", validation.examples(), ids=lambda path: path.stem)
def test_validate_says_of_an_example_what_the_api_server_does(path: Path) -> None:
    errors = validate(path, {}, kubernetes=True).errors
    ours = [text for text in REFUSED.get(path.stem, ()) if text.startswith("spec.")]
    assert [text for text, error in zip(ours, errors, strict=True) if text not in error] == []
