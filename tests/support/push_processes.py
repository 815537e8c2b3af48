"""Controller and filter as processes against a real API server, and what a filter sends upstream, for tests and bench.

The proxy is a Pod object without a node; its token is a real one, bound to it.
"""

import base64
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc

from conformance import children
from filters.contract.config import LEVEL_HEADER, LISTENER_HEADER
from filters.contract.push import AUDIENCE
from tests.support import ext_proc
from tests.support.apiserver import ApiServer
from tests.support.envoy import free_port
from tests.support.waiting import LIMIT, wait_until

SECRET = "self-signed-cert-for-mutating-webhook"
_PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
_LOADED = re.compile(r"^(\S+) .*configuration ([0-9a-f]{16}) loaded$", re.MULTILINE)


def proxy(api: ApiServer, namespace: str, gateway: tuple[str, str], name: str = "proxy") -> str:
    """A proxy's pod, with its service account. `gateway`: namespace, name. Returns a token that is bound to it."""
    labels = {
        "gateway.envoyproxy.io/owning-gateway-namespace": gateway[0],
        "gateway.envoyproxy.io/owning-gateway-name": gateway[1],
    }
    return pod(api, namespace, name, labels)


def pod(api: ApiServer, namespace: str, name: str, labels: Mapping[str, str]) -> str:
    """Any pod, and a token for it."""
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "proxy", "namespace": namespace}})
    api.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
            "spec": {"serviceAccountName": "proxy", "containers": [{"name": "envoy", "image": "envoy"}]},
        }
    )
    return token(api, namespace, name)


def token(api: ApiServer, namespace: str, pod_name: str | None, audience: str = AUDIENCE) -> str:
    """`pod_name` None: bound to no pod."""
    spec: dict[str, Any] = {"audiences": [audience], "expirationSeconds": 3600}
    if pod_name is not None:
        uid = api.get("v1", "Pod", pod_name, namespace)["metadata"]["uid"]
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod_name, "uid": uid}
    answer = api.http.post(
        f"/api/v1/namespaces/{namespace}/serviceaccounts/proxy/token",
        json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["status"]["token"])


class _Running:
    """A process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL: it has no time to say anything."""
        self.process.kill()
        self.process.wait(LIMIT)


class ControllerProcess(_Running):
    """Says where it listens in its log; `localhost` is a name in its certificate."""

    config_port = 0
    metrics_port = 0

    def ready(self) -> "ControllerProcess":
        wait_until(lambda: "pushing configuration on port" in self.log() or self.process.poll(), "the push listens")
        assert self.process.poll() is None, self.log()
        return self


@contextlib.contextmanager
def controller(
    api: ApiServer, namespace: str, directory: Path, *flags: str, port: int = 0
) -> Iterator[ControllerProcess]:
    """One that watches one namespace, which is its own."""
    config_port, metrics_port = port or free_port(), free_port()
    listens = (
        "--port",
        "127.0.0.1:0",
        "--metricsPort",
        str(metrics_port),
        "--webhookPort",
        "0",
        "--configPort",
        str(config_port),
    )
    command = [*children.guard(), sys.executable, "-m", "extension_server.main", *listens, "--serviceName", "localhost"]
    command += ["--enableLeaderElection=false"]  # else one that was killed is waited for
    environment = {**os.environ, "KUBECONFIG": str(api.kubeconfig), "POD_NAMESPACE": namespace}
    log = directory / f"controller-{time.monotonic_ns()}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--watchNamespaces", namespace, *flags], env=environment, stdout=stream, stderr=stream
        )
    running = ControllerProcess(process, log)
    running.config_port, running.metrics_port = config_port, metrics_port
    with _ended(process):
        yield running


class FilterProcess(_Running):
    def __init__(self, process: subprocess.Popen[bytes], log: Path, socket: Path, admin_port: int) -> None:
        super().__init__(process, log)
        self.socket = socket
        self.admin_port = admin_port

    def health(self) -> int:
        """Status of `/health`; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/health", timeout=LIMIT) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            return exc.code
        except OSError:
            return 0

    def loaded(self) -> list[tuple[float, str]]:
        """Unix time and hash of every configuration that it has begun to serve with."""
        return [(datetime.fromisoformat(time_).timestamp(), hash_) for time_, hash_ in _LOADED.findall(self.log())]

    def ask(self, model: str) -> tuple[int, str]:
        """One chat request: status 200 and the upstream's authorization header, or the status and body of the
        filter's own answer."""
        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            return Asking(channel).ask(model)


class Asking:
    """Requests over one connection, as Envoy sends them."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._call = channel.stream_stream(_PROCESS)

    def ask(self, model: str) -> tuple[int, str]:
        body = b'{"model": "%b", "messages": [{"role": "user", "content": "hello"}]}' % model.encode()
        headers = {
            ":method": "POST",
            ":path": "/v1/chat/completions",
            ":authority": "gateway.test",
            ":scheme": "http",
            "content-type": "application/json",
            "content-length": str(len(body)),
        }
        metadata = ((LEVEL_HEADER, "listener"), (LISTENER_HEADER, ""))
        messages = iter((ext_proc.request_headers(headers), ext_proc.request_body(body)))
        call = self._call(messages, metadata=metadata, timeout=LIMIT)
        try:
            for raw in call:
                answer = ext_proc.parse(raw)
                if answer.immediate_response is not None:
                    status = answer.immediate_response.status
                    return int(status.code) if status else 0, answer.immediate_response.body.decode()
                if answer.request_body is not None and answer.request_body.response is not None:
                    mutation = answer.request_body.response.header_mutation
                    found = {each.header.key: each.header.raw_value for each in mutation.set_headers if each.header}
                    return 200, found.get("authorization", b"").decode()
        finally:
            call.cancel()
        raise AssertionError("the filter ended the stream without an answer")


@contextlib.contextmanager
def filter_process(
    config_port: int, authorities: bytes, token_: str, state: Path, *flags: str
) -> Iterator[FilterProcess]:
    """A sidecar, with the arguments that the webhook gives it."""
    with tempfile.TemporaryDirectory(prefix="aigw-") as name:
        directory = Path(name)
        (directory / "ca.crt").write_bytes(authorities)
        (directory / "token").write_text(token_)
        socket, log, admin_port = directory / "run.sock", directory / "log", free_port()
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    *children.guard(),
                    *(sys.executable, "-m", "filters.main", "--socket", str(socket), "--no-control"),
                    *("--config-server", f"localhost:{config_port}", "--config-server-ca", str(directory / "ca.crt")),
                    *("--config-server-token", str(directory / "token"), "--state", str(state)),
                    *("--admin-host", "127.0.0.1", "--admin-port", str(admin_port), *flags),
                ],
                stderr=stream,
                stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )
        with _ended(process):
            yield FilterProcess(process, log, socket, admin_port)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        children.end(process)


def authorities(api: ApiServer, namespace: str) -> bytes:
    """That the controller's certificate is signed by, as the webhook gives them to sidecars."""
    secret = api.get("v1", "Secret", SECRET, namespace)
    return base64.b64decode(secret["data"]["ca.crt"])
