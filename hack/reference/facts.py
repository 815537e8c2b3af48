"""What reference pages say that no model says: conditions, names and marks of objects, and the reasons of
reasons.yaml. Texts; names come from the code that uses them. A test compares the reasons with those of the code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import yaml

from extension_server.api.aigateway import GATEWAY_CONFIG_ANNOTATION
from extension_server.compile import attachment, routes
from extension_server.controller import gateway_notes, leader, token_key, writer
from extension_server.main import WEBHOOK
from extension_server.sidecar import container, mutation, rollout
from filters.contract.schemas import SERVED, SchemaName


@dataclass(frozen=True, slots=True)
class Reason:
    name: str
    says: str
    remedy: str = ""


CONDITIONS: Final = (
    ("Accepted", "all kinds", "Everything that the object says is served. The last condition, unless it is False."),
    (
        "ResolvedRefs",
        "AIGatewayRoute, AIServiceBackend, BackendSecurityPolicy",
        "Everything that it refers to is there, granted and usable.",
    ),
    (
        "Programmed",
        "AIGatewayRoute",
        "Every connected filter of every Gateway that serves the route runs its present state, whatever others do.",
    ),
    (
        "NotAccepted",
        "all kinds",
        "Only beside `Accepted` False, which has the message: the STATUS column shows it, and older tools know it.",
    ),
)


def reasons() -> dict[str, tuple[Reason, ...]]:
    """By what they are: good, programmed (that is, not), errors, warnings."""
    found = yaml.safe_load(Path(__file__).with_name("reasons.yaml").read_text(encoding="utf-8"))
    return {
        section: tuple(Reason(name, **texts) for name, texts in entries.items()) for section, entries in found.items()
    }


NOT_SERVED: Final = {
    "AIGatewayRoute": (("spec.rules[].backendRefs[] of kind InferencePool", "the reference serves nothing"),),
    "AIServiceBackend": (
        (
            "spec.schema.name " + ", ".join(name for name in get_args(SchemaName) if name not in SERVED),
            "requests for the backend are answered with 422",
        ),
    ),
    "BackendSecurityPolicy": (
        ("spec.type AzureCredentials, GCPCredentials", "need an exchange of tokens; the rule serves nothing"),
        ("spec.awsCredentials.oidcExchangeToken", "likewise"),
        ("spec.awsCredentials without credentialsFile", "the default chain of AWS; only `aigw run` has it"),
        ("spec.credentialOverride", "the rule serves nothing while it is set"),
    ),
    "GatewayConfig": (
        ("spec.forwardProxy", "connections go straight to the provider"),
        ("variables OTEL_* in spec.extProc.kubernetes.env", "the filter sends no telemetry by itself"),
    ),
    "MCPRoute": (("the kind", "it has no effect"),),
    "QuotaPolicy": (("the kind", "it has no effect"),),
}
"""kind → what its definition has and this release does not do, and what follows. All of it is told in `Accepted`."""

MARKS: Final = (
    ("Gateway", "annotation", GATEWAY_CONFIG_ANNOTATION, "you", "GatewayConfig of the same namespace"),
    (
        "Gateway",
        "annotation",
        attachment.USER_FILTERS_ANNOTATION,
        "controller",
        "listeners with a filter of the user's after ours",
    ),
    (
        "Gateway",
        "annotation",
        attachment.MEDIATED_ANNOTATION,
        "controller",
        "`true`: Envoy Gateway has asked its extension server about it",
    ),
    (
        "Gateway",
        "annotation",
        gateway_notes.TRANSLATE_ANNOTATION,
        "controller",
        "when Envoy Gateway was last asked to translate the Gateway again",
    ),
    ("HTTPRoute (generated)", "annotation", routes.MARKER_ANNOTATION, "controller", "`true`: made by the controller"),
    (
        "HTTPRoute (generated)",
        "annotation",
        routes.PRIORITY_ANNOTATION,
        "controller",
        "priorities of the backends, so that Envoy Gateway sees that they change",
    ),
    (
        "our kinds",
        "finalizer",
        writer.FINALIZER,
        "earlier controllers",
        "never set by this one; taken off when the object is deleted",
    ),
    (
        "pod template and pods of Envoy",
        "annotation",
        container.HASH_ANNOTATION,
        "controller",
        "what the filter's container is made from; pods with it wait for the webhook",
    ),
    ("pod template of Envoy", "annotation", rollout.AGAIN_ANNOTATION, "controller", "when it was last rolled out"),
    ("pods of Envoy", "annotation", container.CA_ANNOTATION, "controller", "whom the filter trusts, a PEM bundle"),
    (
        "pods and Deployments of Envoy",
        "label",
        mutation.OWNER_NAME,
        "Envoy Gateway",
        "Gateway that they are for; with `…-namespace`",
    ),
    (
        "Secret, in files of `aigw run`",
        "annotation",
        "substitution.aigw.run/env/<KEY>",
        "you",
        "environment variable that the key's value is taken from",
    ),
)

NAMES: Final = (
    ("HTTPRoute", "route", "`<route>`; with more rules or backends than one can hold `<route>-1`, `<route>-2`, …"),
    ("HTTPRouteFilter (host rewrite)", "route", f"`{routes.rewrite_filter_name('<route>')}`"),
    ("HTTPRouteFilter (not found)", "route", f"`{routes.not_found_filter_name('<route>')}`"),
    ("container in Envoy's pods", "proxy", f"`{container.CONTAINER}`"),
    ("volumes of it", "proxy", "`ai-gateway-extproc-uds`, `ai-gateway-extproc-state`, `ai-gateway-extproc-identity`"),
    ("Secret (key of the rules' tokens)", "controller", f"`{token_key.SECRET}`"),
    ("Secret (certificates)", "controller", "`self-signed-cert-for-mutating-webhook` (`--tlsCertSecretName`)"),
    ("Lease", "controller", f"`{leader.LEASE}`"),
    ("MutatingWebhookConfiguration", "cluster", f"`{WEBHOOK}.<namespace of the controller>`"),
)
