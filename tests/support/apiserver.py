"""Starts a real etcd and kube-apiserver on free loopback ports, and stops them.

    with running_apiserver() as api:          # 3 to 8 s
        api.install(CRDS)                     # CustomResourceDefinitions, until they are served
        api.create(document)                  # raises Refused with the API server's words
        api.kubeconfig                        # a file for clients, kubernetes-asyncio and Envoy Gateway

Needs the binaries of `make tools` (`missing()` says which are not built). There are no controllers and no nodes:
objects are validated, stored and watched, nothing else happens to them. Both processes end with the test process,
however it ends.
"""

import contextlib
import secrets
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from conformance import children
from filters.contract import jsonlib
from hack.tools import build
from tests.support.envoy import free_port

TOOLS = ("etcd", "kube-apiserver")
CRDS = Path(__file__).parents[2] / "manifests" / "crds"
START_LIMIT = 60.0
"""Seconds until an API server that is not ready counts as broken; it takes 3 to 8 here, more on busy cores."""
STOP_LIMIT = 15.0
_ATTEMPTS = 3
"""somebody else may take a free port before it is listened on"""


def missing() -> list[str]:
    """The binaries that are not built."""
    return build.missing(TOOLS)


class ApiServerFailed(AssertionError):
    """It did not come up; the text is the end of a log."""


class Refused(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        """`Invalid`, `NotFound`, `AlreadyExists`, `Conflict`, `BadRequest` (an unknown field), …"""
        self.message = message


@dataclass(frozen=True, slots=True)
class Answer:
    """An object that the API server gave back, with the warnings that it said about the request."""

    object: dict[str, Any]
    warnings: tuple[str, ...] = ()


class ApiServer:
    """One that is ready. Its methods act as cluster administrator."""

    def __init__(self, port: int, token: str, directory: Path, processes: tuple[subprocess.Popen[bytes], ...]) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self.token = token
        self.directory = directory
        self.processes = processes
        self.certificate = directory / "certificates" / "apiserver.crt"
        """of the server; also what clients have to trust"""
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(self._kubeconfig())
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}
        self.http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=str(self.certificate)),
            timeout=30,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def _kubeconfig(self) -> str:
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "admin", "user": {"token": self.token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin", "namespace": "default"}}],
            }
        )

    def log(self, name: str = "kube-apiserver") -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    # ---- objects

    def create(self, document: Mapping[str, Any], *, dry_run: bool = False, unknown_fields: str = "Strict") -> Answer:
        """Raises Refused. `unknown_fields`: `Strict` (as kubectl), `Warn`, `Ignore`."""
        return self._write("POST", self.path(document), document, dry_run, {"fieldValidation": unknown_fields})

    def apply(self, document: Mapping[str, Any], *, manager: str = "tests", dry_run: bool = False) -> Answer:
        """Server-side apply, taking over fields of others. Raises Refused."""
        path = f"{self.path(document)}/{document['metadata']['name']}"
        options = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        return self._write("PATCH", path, document, dry_run, options)

    def get(self, api_version: str, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """Raises Refused."""
        wanted = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
        return self._answer(self.http.get(f"{self.path(wanted)}/{name}")).object

    def delete(self, document: Mapping[str, Any]) -> None:
        """Raises Refused."""
        self._answer(self.http.delete(f"{self.path(document)}/{document['metadata']['name']}"))

    def _write(
        self, method: str, path: str, document: Mapping[str, Any], dry_run: bool, options: dict[str, str]
    ) -> Answer:
        if dry_run:
            options["dryRun"] = "All"
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        response = self.http.request(
            method, path, params=options, content=jsonlib.encode(dict(document)), headers={"content-type": kind}
        )
        return self._answer(response)

    @staticmethod
    def _answer(response: httpx.Response) -> Answer:
        body = response.json()
        if response.is_success:
            return Answer(body, tuple(response.headers.get_list("warning")))
        raise Refused(response.status_code, body.get("reason", ""), body.get("message", response.text))

    def path(self, document: Mapping[str, Any]) -> str:
        """The collection that the object belongs to. Raises LookupError for kinds that are not served."""
        version, kind = document["apiVersion"], document["kind"]
        if (version, kind) not in self._paths:
            root = f"/apis/{version}" if "/" in version else f"/api/{version}"
            response = self.http.get(root)
            for each in response.json().get("resources", ()) if response.is_success else ():
                if "/" not in each["name"]:
                    self._paths[version, each["kind"]] = (f"{root}/{{}}{each['name']}", each["namespaced"])
        if (version, kind) not in self._paths:
            raise LookupError(f"{version} {kind} is not served")
        path, namespaced = self._paths[version, kind]
        namespace = document["metadata"].get("namespace") or "default"
        return path.format(f"namespaces/{namespace}/" if namespaced else "")

    # ---- definitions

    def install(self, *sources: Path) -> None:
        """Applies the CustomResourceDefinitions in these files and folders, and waits until they are served."""
        documents = [each for source in sources for each in _documents(source)]
        for document in documents:
            self.apply(document, manager="install")
        deadline = time.monotonic() + START_LIMIT
        waiting = {each["metadata"]["name"] for each in documents}
        while waiting:
            found = self.http.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").json()["items"]
            waiting -= {each["metadata"]["name"] for each in found if _established(each)}
            if waiting and time.monotonic() > deadline:
                raise ApiServerFailed(f"not established after {START_LIMIT} s: {sorted(waiting)}")
            time.sleep(0.05)
        # A definition is established before its paths are served.
        for document in documents:
            for version in document["spec"]["versions"]:
                if version["served"]:
                    self._wait_for(f"/apis/{document['spec']['group']}/{version['name']}", document, deadline)

    def _wait_for(self, path: str, document: Mapping[str, Any], deadline: float) -> None:
        plural = document["spec"]["names"]["plural"]
        while True:
            response = self.http.get(f"{path}/{plural}")
            if response.is_success:
                return
            if time.monotonic() > deadline:
                raise ApiServerFailed(f"{path}/{plural} is not served: {response.text}")
            time.sleep(0.05)


def _documents(source: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(source.glob("*.yaml")) if source.is_dir() else [source]:
        yield from (each for each in yaml.load_all(file.read_text(), yaml.CSafeLoader) if each)


def _established(definition: Mapping[str, Any]) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()  # null until somebody looked at it
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


# ---- processes


@contextlib.contextmanager
def running_apiserver(*, crds: Iterable[Path] = ()) -> Iterator[ApiServer]:
    """Yields when `/readyz` answers 200 and `crds` are served. Raises ApiServerFailed with the end of a log."""
    if names := missing():
        raise ApiServerFailed(f"{', '.join(names)} not built: run `make tools`")
    with tempfile.TemporaryDirectory(prefix="apiserver-", ignore_cleanup_errors=True) as name, _started(name) as api:
        api.install(*crds)
        yield api


@contextlib.contextmanager
def _started(name: str) -> Iterator[ApiServer]:
    for attempt in range(_ATTEMPTS):
        directory = Path(name) / str(attempt)
        directory.mkdir()
        with contextlib.ExitStack() as stack:
            try:
                api = _start(directory, stack)
            except ApiServerFailed as exc:
                if "address already in use" in str(exc) and attempt + 1 < _ATTEMPTS:
                    continue
                raise
            yield api
            return


def _start(directory: Path, stack: contextlib.ExitStack) -> ApiServer:
    etcd_port, peer_port, port = free_port(), free_port(), free_port()
    token = secrets.token_hex(16)
    (directory / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    key = directory / "service-accounts.key"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)],
        check=True,
        capture_output=True,
    )
    etcd = f"http://127.0.0.1:{etcd_port}"
    peer = f"http://127.0.0.1:{peer_port}"
    store = _process(
        directory,
        stack,
        "etcd",
        *("--data-dir", str(directory / "data"), "--unsafe-no-fsync", "--log-level", "warn"),
        *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
    )
    server = _process(
        directory,
        stack,
        "kube-apiserver",
        *("--etcd-servers", etcd, "--storage-media-type", "application/json"),
        *("--secure-port", str(port), "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"),
        *("--cert-dir", str(directory / "certificates"), "--token-auth-file", str(directory / "tokens.csv")),
        *("--service-account-key-file", str(key), "--service-account-signing-key-file", str(key)),
        *("--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/16"),
        *("--authorization-mode", "RBAC", "--allow-privileged=true", "--profiling=false"),
        *("--endpoint-reconciler-type", "none", "--enable-priority-and-fairness=false"),
        # There is no controller that makes the default service account.
        *("--disable-admission-plugins", "ServiceAccount"),
    )
    _wait_until_ready(directory, port, token, (store, server))
    return stack.enter_context(ApiServer(port, token, directory, (store, server)))


def _process(directory: Path, stack: contextlib.ExitStack, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*children.guard(), str(build.place(name)), *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    stack.callback(_stop, process)
    return process


def _wait_until_ready(directory: Path, port: int, token: str, processes: tuple[subprocess.Popen[bytes], ...]) -> None:
    deadline = time.monotonic() + START_LIMIT
    certificate = directory / "certificates" / "apiserver.crt"
    while time.monotonic() < deadline:
        for name, process in zip(TOOLS, processes, strict=True):
            if process.poll() is not None:
                raise ApiServerFailed(f"{name}: {(directory / f'{name}.log').read_text(errors='replace')[-4000:]}")
        with contextlib.suppress(httpx.TransportError, OSError):
            trust = ssl.create_default_context(cafile=str(certificate))
            headers = {"authorization": f"Bearer {token}"}
            if httpx.get(f"https://127.0.0.1:{port}/readyz", verify=trust, headers=headers, timeout=5).is_success:
                return
        time.sleep(0.1)
    logs = (f"{name}: {(directory / f'{name}.log').read_text(errors='replace')[-4000:]}" for name in TOOLS)
    raise ApiServerFailed(f"not ready after {START_LIMIT} s\n" + "\n".join(logs))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """At once: nothing of it is wanted again."""
    process.kill()
    process.wait(STOP_LIMIT)
