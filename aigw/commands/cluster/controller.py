"""Our controller: running, reached by its Service, led by one replica, trusted by the API server."""

import base64
import binascii
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from aigw.commands.checks.base import Finding
from aigw.commands.cluster import workloads
from aigw.commands.cluster.state import Cluster, certificate_secret, containers, moment
from extension_server import options
from extension_server.controller.leader import LEASE
from extension_server.webhook import cert_manager

WEBHOOK: Final = "envoy-ai-gateway-gateway-pod-mutator"
PORTS: Final = {1063: "extension hooks", 9443: "webhook", 18003: "configuration of the filters"}
_EXPIRES_SOON: Final = timedelta(days=7)
"""The leader renews earlier; closer to the end, something keeps it from doing so."""
_NO_PODS: Final = "no new Envoy pod of a Gateway with AI routes can start: the webhook refuses it"
_NO_CONFIGURATION: Final = "filters do not trust the controller: they keep their last configuration"


def deployment(cluster: Cluster) -> Iterable[Finding]:
    """The pods, and the way to them."""
    settings = cluster.settings
    meaning = "Envoy Gateway publishes nothing while it reaches no hook; Envoys and filters go on as they are"
    yield from workloads.deployment(cluster, settings.namespace, settings.controller, "controller", meaning)
    if cluster.readable("Service", "EndpointSlice"):
        yield from _service(cluster, meaning)
    yield from _flags(cluster)


def _flags(cluster: Cluster) -> Iterator[Finding]:
    found = cluster.get("Deployment", cluster.settings.namespace, cluster.settings.controller)
    for container in containers(found["spec"]["template"]) if found else ():
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        for sentence in options.without_effect([str(each) for each in words]):
            yield Finding(
                severity="note",
                title=sentence,
                meaning="the flag is taken, so that earlier values files go on working",
                fix="take it out of the chart's values, so that nobody counts on it",
            )


def _service(cluster: Cluster, meaning: str) -> Iterator[Finding]:
    namespace, name = cluster.settings.namespace, cluster.settings.controller
    service = cluster.get("Service", namespace, name)
    if service is None:
        title = f"Service {namespace}/{name} does not exist"
        yield Finding(severity="error", title=title, meaning=meaning, fix="install the controller's chart again")
        return
    ports = {each.get("port") for each in service["spec"].get("ports") or ()}
    for port, what in PORTS.items():
        if port not in ports:
            title = f"Service {namespace}/{name} has no port {port} ({what})"
            yield Finding(severity="error", title=title, meaning=meaning, fix="install the controller's chart again")
    slices = [
        each
        for each in cluster.all("EndpointSlice")
        if (each["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name
        and each["metadata"].get("namespace") == namespace
    ]
    ready = [
        endpoint
        for each in slices
        for endpoint in each.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready", True)
    ]
    if not ready:
        title = f"Service {namespace}/{name} has no ready endpoint"
        fix = f"compare its selector with the pods' labels: kubectl -n {namespace} describe service/{name}"
        yield Finding(severity="error", title=title, meaning=meaning, fix=fix)


def lease(cluster: Cluster) -> Iterable[Finding]:
    """Does one replica write?"""
    if not cluster.readable("Lease"):
        return
    namespace = cluster.settings.namespace
    found = cluster.get("Lease", namespace, LEASE)
    spec = (found or {}).get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    renewed = moment(spec.get("renewTime"))
    late = renewed is None or cluster.now - renewed > timedelta(seconds=2 * (spec.get("leaseDurationSeconds") or 15))
    meaning = "no status, no generated object and no certificate is written; what exists is served"
    fix = f"kubectl -n {namespace} logs deployment/{cluster.settings.controller}"
    if not holder:
        title = f"no replica holds Lease {namespace}/{LEASE}"
        yield Finding(severity="error", title=title, meaning=meaning, fix=fix)
    elif late:
        title = f"Lease {namespace}/{LEASE} was last renewed by {holder} at {spec.get('renewTime')}"
        yield Finding(severity="error", title=title, meaning=meaning, fix=fix)
    else:
        yield Finding(severity="ok", title=f"leader: {holder.partition('_')[0]}")


def webhook(cluster: Cluster) -> Iterable[Finding]:
    """The webhook that puts our filter beside Envoy, and the certificate that it and the push are served with."""
    if not cluster.readable("MutatingWebhookConfiguration", "Secret"):
        return
    bundle: list[x509.Certificate] = []
    problems = [*_registration(cluster, bundle), *_certificate(cluster, bundle)]
    yield from problems
    if not problems:
        title = "the webhook is registered, and its certificate is trusted and in date"
        yield Finding(severity="ok", title=title)


def _registration(cluster: Cluster, bundle: list[x509.Certificate]) -> Iterator[Finding]:
    """Puts the certificates that the API server trusts into `bundle`."""
    namespace = cluster.settings.namespace
    name = f"{WEBHOOK}.{namespace}"
    found = cluster.get("MutatingWebhookConfiguration", "", name)
    if found is None:
        yield Finding(
            severity="error",
            title=f"MutatingWebhookConfiguration {name} does not exist",
            meaning="new Envoy pods start without our filter: AI routes answer 503 filter_missing",
            fix="install the controller's chart again, then restart the Envoy pods",
        )
        return
    writer = (
        _writer(cluster)
        or f"the leader writes it: kubectl -n {namespace} logs deployment/{cluster.settings.controller}"
    )
    for each in found.get("webhooks") or ():
        client = each.get("clientConfig") or {}
        service = client.get("service") or {}
        at = (service.get("namespace"), service.get("name"))
        if at != (namespace, cluster.settings.controller):
            title = f"webhook {each.get('name')} calls Service {at[0]}/{at[1]}, not ours"
            fix = "install the controller's chart again"
            yield Finding(severity="error", title=title, meaning=_NO_PODS, fix=fix)
        certificates = _certificates(client.get("caBundle"))
        if not certificates:
            title = f"webhook {each.get('name')} has no valid caBundle"
            yield Finding(severity="error", title=title, meaning=_NO_PODS, fix=writer)
        bundle += certificates


def _certificate(cluster: Cluster, bundle: list[x509.Certificate]) -> Iterator[Finding]:
    namespace, controller = cluster.settings.namespace, cluster.settings.controller
    name = certificate_secret(cluster)
    where = f"Secret {namespace}/{name}"
    fix = f"kubectl -n {namespace} delete secret {name}: the leader makes a new one (with cert-manager, it does)"
    secret = cluster.get("Secret", namespace, name)
    certificates = _certificates(((secret or {}).get("data") or {}).get("tls.crt"))
    if not certificates:
        title = f"{where} {'does not exist' if secret is None else 'has no certificate in tls.crt'}"
        fix = f"kubectl -n {namespace} logs deployment/{controller}" if secret is None else fix
        yield Finding(severity="error", title=title, meaning=_NO_PODS, fix=fix)
        return
    leaf = certificates[0]
    left = leaf.not_valid_after_utc - cluster.now
    day = f"{leaf.not_valid_after_utc:%Y-%m-%d}"
    if left < timedelta():
        title, meaning = f"the certificate in {where} ended on {day}", f"{_NO_PODS}; {_NO_CONFIGURATION}"
        yield Finding(severity="error", title=title, meaning=meaning, fix=fix)
    elif left < _EXPIRES_SOON:
        meaning = "it should have been renewed already"
        yield Finding(severity="warning", title=f"the certificate in {where} ends on {day}", meaning=meaning, fix=fix)
    host = f"{controller}.{namespace}.svc"
    if host not in _names(leaf):
        title = f"the certificate in {where} is not for {host}"
        yield Finding(severity="error", title=title, meaning=_NO_PODS, fix=fix)
    if bundle and not any(_issued(leaf, authority) for authority in bundle):
        title = f"the certificate in {where} is not of the authority in the webhook's caBundle"
        again = f"kubectl -n {namespace} rollout restart deployment/{controller}: its leader writes the caBundle again"
        fix = _writer(cluster) or again
        yield Finding(severity="error", title=title, meaning=_NO_PODS, fix=fix)


def _writer(cluster: Cluster) -> str:
    """Where to look for why cert-manager has not written the caBundle; empty when that is not its own to write."""
    namespace = cluster.settings.namespace
    found = cluster.get("MutatingWebhookConfiguration", "", f"{WEBHOOK}.{namespace}")
    if found is None or not cert_manager.is_injected(found):
        return ""
    return f"cert-manager's cainjector writes it; is it there? kubectl -n {namespace} get issuers,certificates"


def _certificates(encoded: Any) -> list[x509.Certificate]:
    """PEM in base64; empty when it is not that."""
    try:
        return x509.load_pem_x509_certificates(base64.b64decode(encoded or "", validate=True))
    except (ValueError, TypeError, binascii.Error):
        return []


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.DNSName)


def _issued(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    if leaf == authority:
        return True
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
