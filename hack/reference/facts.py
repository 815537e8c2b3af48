"""What reference pages say that no model says: conditions, reasons, names and marks of objects. Texts; names come from
the code that uses them. A test compares the reasons with those of the code."""

from dataclasses import dataclass
from typing import Final, get_args

from extension_server.api.aigateway import GATEWAY_CONFIG_ANNOTATION
from extension_server.compile import attachment, routes
from extension_server.controller import leader, reconcile, token_key, writer
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

GOOD: Final = (
    Reason(
        "ReconciliationSucceeded", "`Accepted`: it is served. What follows `Note:` in the message is worth reading."
    ),
    Reason("Accepted", "the same, of a GatewayConfig"),
    Reason("ResolvedRefs", "`ResolvedRefs`: all references are resolved"),
    Reason("Programmed", "`Programmed`: every filter runs it"),
)

PROGRAMMED: Final = (
    Reason(
        "Pending",
        "a filter does not run the present state yet, or none has reported since the controller started",
        "wait some seconds; then see the filter's log",
    ),
    Reason(
        "NoFilter",
        "no filter of the Gateway is connected: requests get 503 (also an Event on the Gateway)",
        "have its Envoy pods the container `ai-gateway-extproc`, and is it ready? `aigw doctor --kubernetes`",
    ),
    Reason(
        "FilterRefuses",
        "a filter cannot use what it was sent; it keeps its last good configuration",
        "usually a filter of an older image: is the proxies' rollout finished?",
    ),
    Reason(
        "NotAttached",
        "no listener of any Gateway serves the route",
        "see `Accepted`; compare parentRefs, hostnames and the listeners' allowedRoutes",
    ),
    Reason("NotAccepted", "nothing is generated for the route", "see `Accepted`"),
)

ERRORS: Final = (
    Reason(
        "AmbiguousHost",
        "requests are signed for one host name, and the Backend has several",
        "one Backend per host name",
    ),
    Reason(
        "BackendNotFound",
        "an AIServiceBackend or a Backend is not there, or cannot be used",
        "create it, or correct the name",
    ),
    Reason(
        "Conflicted",
        "two policies for one backend, a name that is taken, or listeners that exclude each other",
        "keep one, rename the other",
    ),
    Reason(
        "GatewayConfigNotFound",
        f"the Gateway's annotation `{GATEWAY_CONFIG_ANNOTATION}` names none that exists",
        "create it in the Gateway's namespace, or remove the annotation",
    ),
    Reason(
        "InternalError",
        "a fault of the controller; the last good state stays in use",
        "report it with the controller's log",
    ),
    Reason(
        "Invalid",
        "the stored object does not fit its definition, or has no spec; the last good state stays in use",
        "correct the field that the message names",
    ),
    Reason(
        "InvalidCost", "a CEL expression of a cost cannot be computed; the other costs stay", "correct the expression"
    ),
    Reason("InvalidKind", "a reference to a kind that cannot be referred to there", "refer to what the message names"),
    Reason("InvalidRegex", "a regular expression that Envoy cannot read", "RE2 syntax"),
    Reason(
        "InvalidSecret",
        "the Secret lacks the key, or what it holds cannot be sent",
        "correct the Secret; the filters have it at once",
    ),
    Reason("InvalidWeight", "a weight is larger than HTTPRoute allows", "divide all weights of the rule"),
    Reason(
        "ListenersNotSent",
        "Envoy Gateway's configuration keeps things from the extension server: AI routes answer 503",
        "install Envoy Gateway with manifests/envoy-gateway-values.yaml",
    ),
    Reason("MergedGateways", "`mergeGateways` is not served: AI routes answer 503", "switch merging off"),
    Reason("NameTooLong", "names of generated objects would be too long", "rename the route"),
    Reason(
        "NoMatchingParent", "the route names no Gateway, or one that is not there or not ours", "correct parentRefs"
    ),
    Reason(
        "NotAllowedByListeners",
        "the listener does not take this route",
        "allowedRoutes of the listener, hostnames of both",
    ),
    Reason(
        "NotSupported",
        "this release does not serve that kind or field; nothing of it is in effect",
        "remove it; the page of the kind has the list",
    ),
    Reason(
        "PatchFailed",
        "Envoy Gateway sent xDS that cannot be read; what it serves answers 503",
        "report it; see the message",
    ),
    Reason(
        "RefNotPermitted",
        "a reference into another namespace that nothing there allows",
        "a ReferenceGrant, as the message spells out",
    ),
    Reason("ReservedHeader", "a match or mutation of a header that is the gateway's own", "use another header"),
    Reason("SecretNotFound", "the Secret is not there", "create it with the key that the message names"),
    Reason(
        "SharedCluster",
        "`mergeBackends` of Envoy Gateway and several backends in one rule: the rule answers 503",
        "switch it off, or use one backend per rule",
    ),
    Reason("TooMany", "more headers or priorities than Envoy takes", "fewer, as the message says"),
    Reason("WriteRefused", "the API server refused a generated object", "the message is the API server's"),
)

WARNINGS: Final = (
    Reason(
        "EndpointsHookMissing",
        "several backends by address or Service can be told apart only with the Endpoints hook",
        "add `Endpoints` to Envoy Gateway's `hooks.xdsTranslator.post`",
    ),
    Reason("NoBackends", "no backend of the rule has a weight: it answers 503"),
    Reason("NotRead", "something of the Gateway could not be read, and was left out", "correct what the message names"),
    Reason("NotUsed", "a field or variable has no effect here", "the message names what has"),
    Reason(
        "PolicyIncomplete",
        "a policy of Envoy Gateway's targets a part of a route only; an error where it is a SecurityPolicy",
        "target all of them, or select them by a label of the AIGatewayRoute",
    ),
    Reason("PrioritiesNotContiguous", "priorities do not count from 0 without gaps; they are renumbered"),
    Reason(
        "Shadowed",
        "a match that gets no requests, because an earlier rule or an older route asks for the same",
        "change or remove one of the two",
    ),
    Reason("Spread", "the route needs several HTTPRoutes", "a policy has to target all of them"),
    Reason(
        "TargetNotFound", "the AIServiceBackend that a policy targets is not there", "create it, or correct the name"
    ),
    Reason(
        "UserFilterAfterOurs",
        "an extension of yours runs after ours; routes of that listener are served by plan `attempt`",
    ),
)

REASONS: Final = (*GOOD, *PROGRAMMED, *ERRORS, *WARNINGS)

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
        reconcile.TRANSLATE_ANNOTATION,
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
