"""What this release does not serve is told of an object by itself, in the words of its condition."""

from typing import Any, Final

import pytest

from extension_server.api import kinds
from extension_server.api.base import Object, parse
from extension_server.compile import unserved

GROUP: Final = "aigateway.envoyproxy.io"
BETA: Final = f"{GROUP}/v1beta1"
POOL: Final = {"name": "p", "group": "inference.networking.k8s.io", "kind": "InferencePool"}
SECRET: Final = {"secretRef": {"name": "s"}}
OIDC: Final = {"oidc": {"clientID": "c", "clientSecret": {"name": "s"}, "provider": {"issuer": "i"}}}


def read(kind: str, spec: dict[str, Any], version: str = BETA) -> Object:
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": "o"}, "spec": spec}
    return parse(kinds.model_of(version, kind), document)


def policy(type_: str, **members: Any) -> Object:
    return read("BackendSecurityPolicy", {"type": type_, **members})


def backend(schema: str) -> Object:
    reference = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "b"}
    return read("AIServiceBackend", {"schema": {"name": schema}, "backendRef": reference})


@pytest.mark.parametrize(
    ("object_", "says"),
    [
        (read("QuotaPolicy", {}, f"{GROUP}/v1alpha1"), "kind QuotaPolicy is not served by this release"),
        (
            read("AIGatewayRoute", {"rules": [{"backendRefs": [{"name": "b"}]}, {"backendRefs": [POOL]}]}),
            "spec.rules[1].backendRefs[0].kind: InferencePools are not served by this release",
        ),
        (backend("Cohere"), "spec.schema.name: Cohere is not served yet"),
        (backend("GCPVertexAI"), "spec.schema.name: GCPVertexAI is not served yet"),
        (backend("AWSAnthropic"), "spec.schema.name: AWSAnthropic is not served yet"),
        (read("GatewayConfig", {"forwardProxy": {"address": "p:80"}}), "spec.forwardProxy: a forward proxy is not"),
        (
            policy("GCPCredentials", gcpCredentials={"projectName": "p", "region": "r"}),
            "spec.gcpCredentials: type GCPCredentials needs a token exchange",
        ),
        (policy("AWSCredentials", awsCredentials={"region": "r"}), "spec.awsCredentials: the default AWS credential"),
        (
            policy("AWSCredentials", awsCredentials={"region": "r", "oidcExchangeToken": {"awsRoleArn": "a", **OIDC}}),
            "spec.awsCredentials.oidcExchangeToken: AWS OIDC exchange is not supported yet",
        ),
        (
            policy("APIKey", apiKey=SECRET, credentialOverride={"fromRequestHeaders": {}}),
            "spec.credentialOverride: credentials taken from the request are not supported yet",
        ),
        (
            policy("APIKey", apiKey=SECRET, targetRefs=[POOL]),
            "spec.targetRefs[0].kind: InferencePools are not served by this release; the policy has no effect on p",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_served_is_named_with_its_field(object_: Object, says: str) -> None:
    (finding,) = unserved.findings(object_)
    assert finding.reason == "NotSupported"
    assert f"{finding.field}: {finding.message}".removeprefix(": ").startswith(says)


@pytest.mark.parametrize(
    "object_",
    [
        backend("OpenAI"),
        policy("APIKey", apiKey=SECRET),
        policy("AWSCredentials", awsCredentials={"region": "r", "credentialsFile": SECRET}),
        read("GatewayConfig", {}),
        read("AIGatewayRoute", {"rules": [{"backendRefs": [{"name": "b"}]}]}),
    ],
    ids=lambda object_: object_.kind,
)
def test_nothing_is_said_about_what_is_served(object_: Object) -> None:
    assert list(unserved.findings(object_)) == []
