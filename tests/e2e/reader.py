"""A reader of the install page, with a shell in the project and a cluster.

Every block is pasted as it stands, in the order of the page; commands within sentences, and those of the operations
page, are tried before the uninstall. Two things are not as on the page: images have the names that the ring gives
them, and behind the Backend stands the provider that records, in place of OpenAI.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from conformance.cluster.cluster import Cluster
from conformance.upstream import recorder
from filters.contract import jsonlib
from hack.lab import envoy_gateway, installation
from hack.lab.installation import Installation
from hack.tools import build
from tests.e2e import scene
from tests.support import helm, pages, terminal
from tests.support.pages import INSTALL, OPERATIONS, ROOT
from tests.support.terminal import Terminal

KEY: Final = "sk-of-the-reader"
ASK: Final = next(block.runnable for block in pages.blocks(INSTALL) if block.text.startswith("curl "))
_NAMESPACE: Final = "install-page"
"""of the provider; the page itself takes `default`"""
_EXAMPLE: Final = ROOT / "examples" / "kubernetes.yaml"
_APPLIED: Final = "kubectl apply -f examples/"
_DELETED: Final = "kubectl delete -f examples/"
_ADDRESS: Final = "{.status.addresses"
_KINDS: Final = "aigatewayroutes,aiservicebackends,backendsecuritypolicies,gatewayconfigs,mcproutes,quotapolicies"
_PROXY: Final = "gateway.envoyproxy.io/owning-gateway-name=ai,gateway.envoyproxy.io/owning-gateway-namespace=default"
_IMAGES: Final = {"controller": installation.CONTROLLER, "extProc": installation.FILTER}
_CERTIFICATE: Final = "self-signed-cert-for-mutating-webhook"
_DISTURBING: Final = ("delete secret", "rollout restart")
"""of the commands within sentences; they come last"""
_LEFT: Final = """\
kubectl get crd -o name | { grep aigateway || true; }
kubectl get namespace -o name | { grep envoy-ai-gateway || true; }
kubectl get mutatingwebhookconfigurations,clusterroles,clusterrolebindings -o name | { grep ai-gateway || true; }
kubectl -n default get gateway/ai secret/openai httproute/chat --ignore-not-found -o name
kubectl -n envoy-gateway-system get configmap envoy-gateway-config -o yaml | { grep extensionManager || true; }
"""
_requests = jsonlib.decoder(list[dict[str, Any]])
_object = jsonlib.decoder(dict[str, Any])


@dataclass(slots=True)
class Walk:
    """What the reader and the provider saw."""

    outputs: dict[str, str] = field(default_factory=dict)
    """block, or command within a sentence → what it printed"""
    answers: list[str] = field(default_factory=list)
    """to the request of the page: by the address of the Gateway, and by a forwarded port"""
    requests: list[dict[str, Any]] = field(default_factory=list)
    certificates: tuple[str, str] = ("", "")
    """of the controller: before the operations page has them thrown away, and after"""
    policy: dict[str, Any] = field(default_factory=dict)
    """the NetworkPolicy of the operations page, as the API server took it"""
    service: dict[str, Any] = field(default_factory=dict)
    """of the controller"""
    left: str = ""
    """in the cluster, at the end"""


@dataclass(frozen=True, slots=True)
class Reader:
    cluster: Cluster
    version: str
    """of Envoy Gateway"""
    shell: Terminal
    recorded: str
    """`host:port` of the provider on this host"""
    seen: Walk = field(default_factory=Walk)

    def blocks(self) -> Iterator[str]:
        """Of the page, those that are for this cluster."""
        for block in pages.for_release(INSTALL, self.version):
            for_us = _ADDRESS not in block.text or self.cluster.gateway_service == "LoadBalancer"
            if for_us and block.runnable:
                yield block.runnable

    def walk(self) -> Walk:
        for text in self.blocks():
            if _DELETED in text:
                self._apply_the_policy()
                self._try_what_is_in_sentences()
            self._paste(text)
            if _APPLIED in text:
                self._put_the_recorder_behind()
            if _ADDRESS in text:
                self._paste(ASK)  # the next block of the page is for those who have no load balancer
        self.seen.left = self.shell.run(_LEFT)
        return self.seen

    def _paste(self, text: str) -> None:
        self.seen.outputs[text] = output = self.shell.run(text)
        if text == ASK:
            self.seen.answers.append(output)
            found = httpx.get(f"http://{self.recorded}{recorder.RECORDED}", timeout=20, trust_env=False)
            self.seen.requests = _requests(found.raise_for_status().content)

    def _put_the_recorder_behind(self) -> None:
        """The page's Backend leads to it, without TLS: the policy that wants TLS is made that of another Backend."""
        endpoint = {"fqdn": {"hostname": f"provider.{_NAMESPACE}.svc.cluster.local", "port": 80}}
        other = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "another"}
        for target, spec in (
            ("backends.gateway.envoyproxy.io/openai", {"endpoints": [endpoint]}),
            ("backendtlspolicies/openai", {"targetRefs": [other]}),
        ):
            patch = jsonlib.encode({"spec": spec}).decode()
            self.cluster.kubectl("-n", "default", "patch", target, "--type=merge", "--patch", patch)

    def _apply_the_policy(self) -> None:
        (text,) = (block.text for block in pages.blocks(OPERATIONS) if block.language == "yaml")
        kubectl = self.cluster.kubectl
        kubectl("apply", "-f", "-", given=text)
        (self.seen.policy,) = kubectl.list("networkpolicies", scene.CONTROLLER)
        self.seen.service = kubectl.get("service", "ai-gateway-controller", scene.CONTROLLER)

    def _try_what_is_in_sentences(self) -> None:
        """Of this page and of operations."""
        pod = self.cluster.kubectl.list("pods", scene.PROXIES, _PROXY)[0]["metadata"]["name"]
        names = {
            "POD": pod,
            "gateway NAME": "gateway ai",
            "aigatewayroute NAME": "aigatewayroute chat",
            "FILE": _EXAMPLE,
        }
        found = [each for page in (INSTALL, OPERATIONS) for each in pages.within_sentences(page)]
        found = [each for each in dict.fromkeys(found) if not pages.reason(each)]
        for command in sorted(found, key=lambda each: any(mark in each for mark in _DISTURBING)):
            filled = command
            for placeholder, name in names.items():
                filled = filled.replace(placeholder, str(name))
            before = self._certificate()
            self.seen.outputs[command] = self.shell.run(filled)
            if f"delete secret {_CERTIFICATE}" in command:
                scene.until(lambda old=before: self._certificate() not in ("", old), "there are new certificates")
                self.seen.certificates = (before, self._certificate())

    def _certificate(self) -> str:
        path = r"jsonpath={.data.tls\.crt}"
        arguments = ("-n", scene.CONTROLLER, "get", "secret", _CERTIFICATE, "--ignore-not-found", "-o", path)
        return self.cluster.kubectl(*arguments)


@contextlib.contextmanager
def arrived(cluster: Cluster, wanted: Installation, folder: Path) -> Iterator[Reader]:
    """Before the first command. What the cluster had of ours comes back with the end."""
    _prepare(folder, wanted)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "KUBECONFIG": str(cluster.kubeconfig),
        "OPENAI_API_KEY": KEY,
    }
    with (
        _as_it_was(cluster, wanted),
        _provider(cluster, wanted) as recorded,
        terminal.opened(folder, environment, cluster.inside) as shell,
    ):
        yield Reader(cluster, wanted.release.version, shell, recorded)


def _prepare(folder: Path, wanted: Installation) -> None:
    """The project, the programs, the chart that `helm pull` would fetch, and the reader's own values."""
    for name in ("manifests", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    for tool in ("helm", "kubectl"):
        (folder / "bin" / tool).symlink_to(build.place(tool))
    source = folder / "chart" / "gateway-helm"
    shutil.copytree(envoy_gateway.chart(wanted.release), source)
    values, own = source / "values.yaml", envoy_gateway.own_values()
    values.write_text(yaml.safe_dump(_merged(yaml.safe_load(values.read_text()), yaml.safe_load(own.read_text()))))
    deployment = source / "templates" / "envoy-gateway-deployment.yaml"
    # As for pods of the scene: the tests wait for them. 1.9 has a startup probe of every second itself.
    probe = deployment.read_text().replace("initialDelaySeconds: 5", "initialDelaySeconds: 1")
    deployment.write_text(probe.replace("periodSeconds: 10", "periodSeconds: 1"))
    helm.run("package", str(source), "--version", wanted.release.version, "--destination", str(folder))
    (shown,) = (yaml.safe_load(block.text) for block in pages.blocks(INSTALL) if block.language == "yaml")
    images = {part: {"image": {"repository": name, "tag": wanted.tag}} for part, name in _IMAGES.items()}
    (folder / "my-values.yaml").write_text(yaml.safe_dump(_merged(shown, images)))


def _merged(first: Any, second: Mapping[str, Any]) -> dict[str, Any]:
    """As helm merges values: null takes away."""
    found = dict(first) if isinstance(first, dict) else {}
    for name, value in second.items():
        found[name] = _merged(found.get(name), value) if isinstance(value, dict) else value
    return {name: value for name, value in found.items() if value is not None}


@contextlib.contextmanager
def _as_it_was(cluster: Cluster, wanted: Installation) -> Iterator[None]:
    """The page takes everything of ours away, whoever made it: what was there is put back."""
    kubectl, kept = cluster.kubectl, list[dict[str, Any]]()
    there = kubectl("-n", scene.CONTROLLER, "get", "deployment", "ai-gateway-controller", "--ignore-not-found")
    if there:
        for which in (("-f", str(_EXAMPLE), "--ignore-not-found"), (_KINDS, "--all-namespaces")):
            text = kubectl("get", *which, "-o", "json")
            content = _object(text.encode()) if text else {"items": []}
            kept += content.get("items", [content])
    try:
        yield
    finally:
        if there:
            installation.install(cluster, wanted, lambda title, step: step())
        there_still = {
            "",
            *(each["metadata"]["name"] for each in kubectl.list("namespaces", "default") if not _going(each)),
        }
        kept = [each for each in kept if each["metadata"].get("namespace", "") in there_still and not _going(each)]
        if kept:
            kubectl.apply(*(_applied(each) for each in kept))


def _going(found: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in found["metadata"]


def _applied(found: Mapping[str, Any]) -> dict[str, Any]:
    """As its owner applied it."""
    metadata = {name: found["metadata"].get(name) for name in ("name", "namespace", "labels", "annotations")}
    content = {name: value for name, value in found.items() if name not in ("metadata", "status")}
    return {**content, "metadata": {name: value for name, value in metadata.items() if value is not None}}


@contextlib.contextmanager
def _provider(cluster: Cluster, wanted: Installation) -> Iterator[str]:
    """The one that records, in a namespace of its own; `host:port` of it on this host."""
    kubectl = cluster.kubectl
    values = {"envoy_image": "", "upstream_image": wanted.upstream, "service_type": cluster.gateway_service}
    found = [each for each in scene.objects(values) if each["kind"] in ("Deployment", "Service")]
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}})
    try:
        kubectl.apply(*({**each, "metadata": {**each["metadata"], "namespace": _NAMESPACE}} for each in found))
        kubectl.wait("condition=Available", "deployment/provider", _NAMESPACE)
        with cluster.reach(_NAMESPACE, "recorded", 80) as address:
            yield address
    finally:
        kubectl("delete", "namespace", _NAMESPACE, "--wait=false")
