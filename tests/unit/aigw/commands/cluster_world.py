"""A whole cluster as documents, and every way in which a test breaks it. Unit tests hand them to the checks;
tests/gateway puts them into a real API server."""

import base64
import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from aigw.commands.cluster.state import Cluster, Settings, key
from extension_server.webhook import cert_manager

Document = dict[str, Any]

CONTROLLER = "envoy-ai-gateway-system"
ENVOY_GATEWAY = "envoy-gateway-system"
NAMESPACE = "doctor"
PRIVATE_KEY = "planted-private-key"
_CRDS = Path(__file__).parents[4] / "manifests" / "crds"
_FOREIGN = (
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "backends.gateway.envoyproxy.io",
    "httproutefilters.gateway.envoyproxy.io",
)


def certificates(
    now: datetime, *, days: float = 365, name: str = f"ai-gateway-controller.{CONTROLLER}.svc"
) -> list[str]:
    """An authority and a certificate of it, in base64 of PEM."""
    authority_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = now - timedelta(days=1000)

    def builder(of: x509.Name, until: datetime, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(of).issuer_name(issuer).public_key(public)
        return made.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(until)

    root = builder(issuer, now + timedelta(days=3650), authority_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    leaf = builder(subject, now + timedelta(days=days), leaf_key.public_key()).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
    )
    signed = (each.sign(authority_key, hashes.SHA256()) for each in (root, leaf))
    return [base64.b64encode(each.public_bytes(Encoding.PEM)).decode() for each in signed]


@cache
def _text() -> str:
    return (Path(__file__).parent / "cluster.yaml").read_text()


def documents(now: datetime) -> list[Document]:
    """Everything but the definitions."""
    bundle, certificate = certificates(now)
    # The time first: base64 may hold its letters.
    text = _text().replace("NOW", f'"{now:%Y-%m-%dT%H:%M:%S.%fZ}"')
    text = text.replace("BUNDLE", bundle).replace("CERTIFICATE", certificate)
    return [_filled(each) for each in yaml.load_all(text, yaml.CSafeLoader)]


def _filled(value: Any) -> Any:
    match value:
        case str() if value.startswith("OK "):
            return condition(value.removeprefix("OK "))
        case dict():
            return {name: _filled(member) for name, member in value.items()}
        case list():
            return [_filled(item) for item in value]
        case _:
            return value


def condition(kind: str, status: str = "True", reason: str = "Fine", message: str = "fine") -> Document:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }


@cache
def _definitions() -> list[Document]:
    ours = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted(_CRDS.glob("*.yaml"))]
    theirs = [{"kind": "CustomResourceDefinition", "metadata": {"name": name}, "spec": {}} for name in _FOREIGN]
    return [each | {"status": {"conditions": [condition("Established")]}} for each in (*ours, *theirs)]


def definitions() -> list[Document]:
    return copy.deepcopy(_definitions())


def cluster(every: Iterable[Document], now: datetime, **unreadable: str) -> Cluster:
    """As `reading` would have it."""
    objects: dict[str, list[Document]] = {}
    for each in every:
        objects.setdefault(each["kind"], []).append(each)
    return Cluster(
        settings=Settings(),
        server="https://10.0.0.1",
        now=now,
        objects={kind: sorted(each, key=key) for kind, each in objects.items()},
        unreadable=unreadable,
    )


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break the good cluster, and what must be said then."""

    name: str
    change: Callable[[list[Document]], object]
    check: str
    severity: str
    title: str
    """a part of it"""
    fix: str
    """a part of it"""


def find(every: Sequence[Document], kind: str, name: str = "") -> Document:
    return next(each for each in every if each["kind"] == kind and each["metadata"]["name"].startswith(name))


def drop(kind: str, name: str = "") -> Callable[[list[Document]], object]:
    return lambda every: every.remove(find(every, kind, name))


def settings(**changes: Any) -> Callable[[list[Document]], object]:
    """Changes of Envoy Gateway's configuration; a path has `__` for dots, None takes away."""

    def change(every: list[Document]) -> None:
        data = find(every, "ConfigMap")["data"]
        content = yaml.safe_load(data["envoy-gateway.yaml"])
        for path, value in changes.items():
            *above, last = path.split("__")
            place = content
            for name in above:
                place = place[name]
            if value is None:
                del place[last]
            else:
                place[last] = value
        data["envoy-gateway.yaml"] = yaml.safe_dump(content)

    return change


def sidecar(**changes: Any) -> Callable[[list[Document]], object]:
    """Changes of what the kubelet says about it."""
    return lambda every: find(every, "Pod")["status"]["initContainerStatuses"][0].update(changes)


def said(kind: str, *conditions: Document) -> Callable[[list[Document]], object]:
    """These conditions in place of those of the same types."""

    def change(every: list[Document]) -> None:
        found = find(every, kind)["status"]["conditions"]
        for each in conditions:
            found[:] = [each if old["type"] == each["type"] else old for old in found]

    return change


def _not_mediated(message: str) -> Callable[[list[Document]], object]:
    return said("AIGatewayRoute", condition("Programmed", "False", "NotMediated", message))


def _without_injected_bundle(every: list[Document]) -> None:
    found = find(every, "MutatingWebhookConfiguration")
    found["metadata"]["annotations"] = {cert_manager.INJECTED: "aigw/any"}
    del found["webhooks"][0]["clientConfig"]["caBundle"]


def _replaced(every: list[Document], **parts: Any) -> None:
    """The certificate, by one with these properties, of the same authority."""
    bundle, certificate = certificates(NOW, **parts)
    find(every, "Secret")["data"] |= {"tls.crt": certificate, "ca.crt": bundle}
    find(every, "MutatingWebhookConfiguration")["webhooks"][0]["clientConfig"]["caBundle"] = bundle


def _status(kind: str, name: str, **members: Any) -> Callable[[list[Document]], object]:
    return lambda every: find(every, kind, name)["status"].update(members)


def _without_sidecar(every: list[Document]) -> None:
    pod = find(every, "Pod")
    del pod["spec"]["initContainers"], pod["status"]["initContainerStatuses"]


def _merged(every: list[Document]) -> None:
    """All Gateways of the class share one Envoy."""
    every.append({"kind": "EnvoyProxy", "metadata": {"name": "p", "namespace": "eg"}, "spec": {"mergeGateways": True}})
    reference = {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "namespace": "eg", "name": "p"}
    find(every, "GatewayClass")["spec"]["parametersRef"] = reference


def _merged_by_default(every: list[Document]) -> None:
    """The same, by Envoy Gateway's own configuration: only the pods show it."""
    find(every, "Pod")["metadata"]["labels"] = {"gateway.envoyproxy.io/owning-gatewayclass": "doctor"}


def _unserved(every: list[Document]) -> None:
    """An object of a kind that the release does not serve."""
    said_ = condition("Accepted", "False", "NotSupported", "kind QuotaPolicy is not served by this release")
    metadata = {"name": "quota", "namespace": NAMESPACE, "generation": 1}
    every.append({"kind": "QuotaPolicy", "metadata": metadata, "spec": {}, "status": {"conditions": [said_]}})


def _parent(every: list[Document]) -> None:
    refused = condition("ResolvedRefs", "False", "RefNotPermitted", "Backend not permitted")
    find(every, "HTTPRoute")["status"]["parents"][0]["conditions"][1] = refused


def policy(kind: str, spec: Document, *ancestors: Document, name: str = "ours") -> Callable[[list[Document]], object]:
    """One more object; `ancestors`: what is said of it, each by Envoy Gateway."""
    group = "gateway.networking.k8s.io/v1" if kind == "BackendTLSPolicy" else "gateway.envoyproxy.io/v1alpha1"
    said_ = [
        {
            "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
            "ancestorRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"},
            "conditions": [each],
        }
        for each in ancestors
    ]
    document = {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
        "status": {"ancestors": said_},
    }
    return lambda every: every.append(document)


def target(kind: str, name: str, **more: str) -> Document:
    group = "gateway.envoyproxy.io" if kind == "Backend" else "gateway.networking.k8s.io"
    return {"group": group, "kind": kind, "name": name, **more}


_RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
_KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}

FAULTS = (
    # ---- hook not configured
    Fault(
        "no extension manager", settings(extensionManager=None), "hooks", "error", "extensionManager is not", "values"
    ),
    Fault(
        "extension manager of somebody else",
        settings(extensionManager__service__fqdn__hostname="other.svc"),
        "hooks",
        "error",
        "hostname is other.svc, not ai-gateway-controller.envoy-ai-gateway-system.svc.cluster.local",
        "values",
    ),
    Fault(
        "wrong port", settings(extensionManager__service__fqdn__port=1), "hooks", "error", "port is 1, but", "values"
    ),
    Fault(
        "no Translation hook",
        settings(extensionManager__hooks__xdsTranslator__post=["Route"]),
        "hooks",
        "error",
        "post does not list Translation",
        "values",
    ),
    Fault(
        "routes are not sent along",
        settings(extensionManager__hooks__xdsTranslator__translation__route=None),
        "hooks",
        "error",
        "translation.route.includeAll is not true",
        "values",
    ),
    Fault("fails open", settings(extensionManager__failOpen=True), "hooks", "warning", "failOpen is true", "failOpen"),
    Fault(
        "small messages",
        settings(extensionManager__maxMessageSize="4M"),
        "hooks",
        "note",
        "maxMessageSize is 4M",
        "128Mi",
    ),
    Fault("no backends", settings(extensionApis__enableBackend=False), "hooks", "error", "enableBackend", "values"),
    Fault("no configuration", drop("ConfigMap"), "hooks", "error", "does not exist", "--envoy-gateway-namespace"),
    Fault(
        "configuration is no YAML",
        lambda every: find(every, "ConfigMap")["data"].update({"envoy-gateway.yaml": "{"}),
        "hooks",
        "error",
        "is no configuration",
        "values",
    ),
    # ---- hook server down
    Fault(
        "controller has no ready pod",
        _status("Deployment", "ai-gateway", readyReplicas=0),
        "controller",
        "error",
        "none of 2 replicas is ready",
        "logs deployment/ai-gateway-controller",
    ),
    Fault(
        "controller not installed", drop("Deployment", "ai-gateway"), "controller", "error", "does not exist", "chart"
    ),
    Fault(
        "one of two controllers",
        _status("Deployment", "ai-gateway", readyReplicas=1),
        "controller",
        "warning",
        "1 of 2 replicas are ready",
        "get pods",
    ),
    Fault(
        "a flag without effect",
        lambda every: find(every, "Deployment", "ai-gateway")["spec"]["template"]["spec"]["containers"][0][
            "args"
        ].append("--spanRequestHeaderAttributes=x-team:team"),
        "controller",
        "note",
        "--spanRequestHeaderAttributes: no effect, spans have no attributes of headers yet",
        "values",
    ),
    Fault("no endpoints", drop("EndpointSlice"), "controller", "error", "has no ready endpoint", "selector"),
    Fault("no service", drop("Service"), "controller", "error", "Service envoy-ai-gateway-system/", "chart"),
    Fault(
        "no push port",
        lambda every: find(every, "Service")["spec"]["ports"].pop(),
        "controller",
        "error",
        "has no port 18003",
        "chart",
    ),
    Fault("no lease", drop("Lease"), "leader", "error", "no replica holds Lease", "logs"),
    Fault(
        "late lease",
        lambda every: find(every, "Lease")["spec"].update(renewTime="2020-01-01T00:00:00.000000Z"),
        "leader",
        "error",
        "was last renewed by",
        "logs",
    ),
    # ---- webhook
    Fault("no webhook", drop("MutatingWebhookConfiguration"), "webhook", "error", "does not exist", "chart"),
    Fault(
        "no bundle",
        lambda every: find(every, "MutatingWebhookConfiguration")["webhooks"][0]["clientConfig"].pop("caBundle"),
        "webhook",
        "error",
        "no valid caBundle",
        "logs",
    ),
    Fault(
        "no bundle of cert-manager's", _without_injected_bundle, "webhook", "error", "no valid caBundle", "cainjector"
    ),
    Fault("no certificate", drop("Secret"), "webhook", "error", "does not exist", "logs"),
    Fault(
        "certificate ended", lambda e: _replaced(e, days=-1), "webhook", "error", "ended on 2026-02-28", "delete secret"
    ),
    Fault(
        "certificate ends", lambda e: _replaced(e, days=2), "webhook", "warning", "ends on 2026-03-03", "delete secret"
    ),
    Fault(
        "certificate of others", lambda e: _replaced(e, name="x.svc"), "webhook", "error", "is not for", "delete secret"
    ),
    Fault(
        "bundle of another authority",
        lambda every: find(every, "MutatingWebhookConfiguration")["webhooks"][0]["clientConfig"].update(
            caBundle=certificates(NOW)[0]
        ),
        "webhook",
        "error",
        "is not of the authority",
        "rollout restart",
    ),
    # ---- Envoy Gateway
    Fault(
        "Envoy Gateway down",
        _status("Deployment", "envoy-gateway", readyReplicas=0),
        "envoy-gateway",
        "error",
        "none of 1 replicas",
        "logs deployment/envoy-gateway",
    ),
    Fault(
        "Envoy Gateway scaled down",
        lambda every: find(every, "Deployment", "envoy-gateway")["spec"].update(replicas=0),
        "envoy-gateway",
        "error",
        "scaled to 0",
        "scale deployment/envoy-gateway --replicas=1",
    ),
    Fault(
        "Envoy Gateway too old",
        lambda every: find(every, "Deployment", "envoy-gateway")["spec"]["template"]["spec"]["containers"][0].update(
            image="envoyproxy/gateway:v1.5.0"
        ),
        "envoy-gateway",
        "warning",
        "Envoy Gateway is 1.5;",
        "install Envoy Gateway 1.9",
    ),
    # ---- Gateways and pods
    Fault("no class", drop("GatewayClass"), "gateways", "error", "GatewayClass doctor does not exist", "create it"),
    Fault(
        "class of somebody else",
        lambda every: find(every, "GatewayClass")["spec"].update(controllerName="example.com/other"),
        "gateways",
        "error",
        "is of example.com/other",
        "gatewayClassName",
    ),
    Fault(
        "no gateway",
        drop("Gateway", "edge"),
        "gateways",
        "error",
        "which AIGatewayRoute doctor/chat names",
        "parentRefs",
    ),
    Fault(
        "gateway not programmed",
        said("Gateway", condition("Programmed", "False", "NoResources", "Envoy replicas unavailable")),
        "gateways",
        "error",
        "is not programmed: Envoy replicas unavailable",
        "kubectl -n doctor describe gateway edge",
    ),
    Fault(
        "gateway without address",
        said("Gateway", condition("Programmed", "False", "AddressNotAssigned", "No addresses")),
        "gateways",
        "warning",
        "No addresses",
        "describe gateway",
    ),
    Fault("no pods", drop("Pod"), "gateways", "error", "has no Envoy pod", "describe deployments"),
    Fault(
        "sidecar missing", _without_sidecar, "gateways", "error", "runs without the filter", "delete pod envoy-doctor"
    ),
    Fault(
        "sidecar killed",
        sidecar(ready=False, restartCount=4, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=_KILLED),
        "gateways",
        "error",
        "the filter does not run: CrashLoopBackOff; it ended before (OOMKilled, exit code 137)",
        "logs envoy-doctor-edge-1 -c ai-gateway-extproc --previous",
    ),
    Fault(
        "sidecar was killed",
        sidecar(restartCount=1, lastState=_KILLED),
        "gateways",
        "warning",
        "started 1 times again (OOMKilled, exit code 137)",
        "--previous",
    ),
    Fault(
        "configuration missing",
        sidecar(ready=False, state=_RUNNING),
        "gateways",
        "error",
        "the filter runs and is not ready",
        "does it reach the controller",
    ),
    Fault(
        "sidecar of an earlier version",
        lambda every: find(every, "Pod")["spec"]["initContainers"][0].update(image="aigw/ai-gateway-extproc:0.9"),
        "gateways",
        "warning",
        "runs filter aigw/ai-gateway-extproc:0.9, not aigw/ai-gateway-extproc:1.0",
        "delete pod",
    ),
    Fault(
        "Envoy not ready",
        lambda every: find(every, "Pod")["status"]["containerStatuses"][0].update(ready=False),
        "gateways",
        "error",
        "Envoy: it runs and is not ready",
        "-c envoy",
    ),
    Fault(
        "Gateways are merged",
        _merged,
        "gateways",
        "error",
        "shares its Envoy with the other Gateways of GatewayClass doctor: mergeGateways is true in EnvoyProxy eg/p",
        "set mergeGateways to false",
    ),
    Fault(
        "Gateways are merged by Envoy Gateway's configuration",
        _merged_by_default,
        "gateways",
        "error",
        "mergeGateways is true in Envoy Gateway's configuration",
        "a GatewayClass whose EnvoyProxy does not merge",
    ),
    Fault(
        "Envoy Gateway has never asked",
        _not_mediated("Envoy Gateway has not asked its extension server about Gateway doctor/edge, they answer 503: c"),
        "gateways",
        "error",
        "Envoy Gateway has not asked its extension server about Gateway doctor/edge",
        "restart Envoy Gateway",
    ),
    Fault(
        "Envoy Gateway does not ask any more",
        _not_mediated("no Envoy of Gateway doctor/edge asks its filter, requests are answered with 503: check"),
        "gateways",
        "error",
        "no Envoy of Gateway doctor/edge asks its filter, requests are answered with 503",
        "Envoy Gateway's configuration (above)",
    ),
    # ---- objects
    Fault(
        "not looked at",
        lambda every: find(every, "AIServiceBackend").pop("status"),
        "objects",
        "error",
        "AIServiceBackend doctor/provider has no status",
        "--watchNamespaces",
    ),
    Fault(
        "not accepted",
        said("AIGatewayRoute", condition("Accepted", "False", "Invalid", "spec.rules[0]: unknown")),
        "objects",
        "error",
        "is not accepted (Invalid): spec.rules[0]: unknown",
        "describe aigatewayroute chat",
    ),
    Fault(
        "accepted with a note",
        said("AIGatewayRoute", condition("Accepted", message="reconciled. Note: Cohere is not served yet")),
        "objects",
        "warning",
        "is accepted, with a note: Cohere is not served yet",
        "do what the note says",
    ),
    Fault(
        "a kind that is not served",
        _unserved,
        "objects",
        "warning",
        "QuotaPolicy doctor/quota is not accepted (NotSupported): kind QuotaPolicy is not served by this release",
        "describe quotapolicy quota",
    ),
    Fault(
        "reference not granted",
        said("AIServiceBackend", condition("ResolvedRefs", "False", "RefNotPermitted", "not granted")),
        "objects",
        "error",
        "is not complete (RefNotPermitted)",
        "create a ReferenceGrant",
    ),
    Fault(
        "no filter connected",
        said("AIGatewayRoute", condition("Programmed", "False", "NoFilter", "no filter of edge is connected")),
        "objects",
        "error",
        "no filter of edge is connected",
        "Gateways and their pods",
    ),
    Fault(
        "a filter is behind",
        said("AIGatewayRoute", condition("Programmed", "False", "Pending", "1 of 2 filters do not run")),
        "objects",
        "warning",
        "1 of 2 filters do not run",
        "wait some seconds",
    ),
    Fault(
        "status of an earlier generation",
        lambda every: find(every, "AIGatewayRoute")["metadata"].update(generation=2),
        "objects",
        "warning",
        "has changed since",
        "wait some seconds",
    ),
    Fault("not generated", drop("HTTPRoute"), "generated", "error", "no HTTPRoute was generated", "get httproutes"),
    Fault("generated is refused", _parent, "generated", "error", "Backend not permitted", "describe httproute chat"),
    Fault(
        "generated is not looked at",
        lambda every: find(every, "HTTPRoute").pop("status"),
        "generated",
        "error",
        "has no status",
        "Envoy Gateway's log",
    ),
    # ---- policies
    Fault(
        "a policy for the route is refused",
        policy(
            "BackendTrafficPolicy",
            {"targetRefs": [target("HTTPRoute", "chat", sectionName="main")]},
            condition("Accepted", "False", "Invalid", "RateLimit: enable Ratelimit in the EnvoyGateway config"),
            condition("Accepted", "False", "Invalid", "RateLimit: enable Ratelimit in the EnvoyGateway config"),
        ),
        "policies",
        "error",
        "BackendTrafficPolicy doctor/ours for HTTPRoute doctor/chat (main) is not accepted by Envoy Gateway (Invalid): "
        "RateLimit: enable Ratelimit",
        "kubectl -n doctor describe backendtrafficpolicy ours",
    ),
    Fault(
        "a policy for the Gateway is refused",
        policy(
            "ClientTrafficPolicy",
            {"targetRef": target("Gateway", "edge")},
            condition("Accepted", "False", "Invalid", "TLS: no CA"),
        ),
        "policies",
        "error",
        "ClientTrafficPolicy doctor/ours for Gateway doctor/edge is not accepted",
        "describe clienttrafficpolicy ours",
    ),
    Fault(
        "a policy for the backend is refused",
        policy(
            "BackendTLSPolicy",
            {"targetRefs": [target("Backend", "provider")]},
            condition("Accepted", "False", "NoValidCACertificate", "ConfigMap not found"),
        ),
        "policies",
        "error",
        "BackendTLSPolicy doctor/ours for Backend doctor/provider is not accepted",
        "describe backendtlspolicy ours",
    ),
    Fault(
        "a second policy for the route",
        policy(
            "SecurityPolicy",
            {
                "targetSelectors": [
                    {"kind": "HTTPRoute", "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}
                ]
            },
            condition("Accepted", "False", "Conflicted", "another SecurityPolicy has already attached to it"),
        ),
        "policies",
        "error",
        "SecurityPolicy doctor/ours for HTTPRoute doctor/chat is not accepted by Envoy Gateway (Conflicted)",
        "make one policy of both",
    ),
    Fault(
        "a policy for a rule that is not there",
        policy(
            "SecurityPolicy",
            {"targetRefs": [target("HTTPRoute", "chat", sectionName="mian")]},
            condition("Accepted", "False", "TargetNotFound", "No section name mian found"),
        ),
        "policies",
        "error",
        "No section name mian found",
        "correct sectionName",
    ),
    # ---- definitions
    Fault(
        "definition missing",
        drop("CustomResourceDefinition", "aigatewayroutes"),
        "definitions",
        "error",
        "CRD aigatewayroutes.aigateway.envoyproxy.io is not installed",
        "chart",
    ),
    Fault(
        "definition not established",
        lambda every: find(every, "CustomResourceDefinition", "mcproutes").update(status={}),
        "definitions",
        "error",
        "is not established",
        "describe crd",
    ),
    Fault(
        "definition of an earlier version",
        lambda every: find(every, "CustomResourceDefinition", "aigatewayroutes")["spec"]["versions"][0]["schema"][
            "openAPIV3Schema"
        ]["properties"]["spec"]["properties"].pop("hostnames"),
        "definitions",
        "error",
        "it has no spec.hostnames",
        "chart",
    ),
    Fault(
        "definition of Envoy Gateway missing",
        drop("CustomResourceDefinition", "backends.gateway.envoyproxy.io"),
        "definitions",
        "error",
        "CRD backends.gateway.envoyproxy.io is not installed",
        "install Envoy Gateway",
    ),
)
