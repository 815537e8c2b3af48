"""Builds the Go programs that tests and the lab start, from pinned modules, once per machine.

    python -m hack.tools.build                      # what is built and where; exit code 3 if something is missing
    python -m hack.tools.build etcd kube-apiserver  # build what is missing
    python -m hack.tools.build --seconds 300 etcd   # give up after that long: exit code 3, nothing half built

There are no downloads of binaries: only the Go module proxy is asked, and go.sum says what it may answer. A binary lies
in a folder outside the tree whose name holds a hash of its module files and flags (`$XDG_CACHE_HOME/aigw/tools`), so a
change of either builds anew and everything else is found again. To add a program: its module, and a line in TOOLS.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODULES: Final = Path(__file__).parent
NOT_BUILT: Final = 3
"""exit code; 1 is a build that failed"""

_FLAGS: Final = ("-trimpath",)
_STRIPPED: Final = "-s -w"
_ENVIRONMENT: Final = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
_GO_FLAGS: Final = "-buildvcs=false -mod=readonly"

_KUBERNETES: Final = "v1.35.4"
_, _MINOR, _ = _KUBERNETES.split(".")
# Clients and the conformance suite ask for the version; without it Kubernetes says v0.0.0.
_KUBERNETES_VERSION: Final = " ".join(
    f"-X {name}={value}"
    for name, value in (
        ("k8s.io/component-base/version.gitVersion", _KUBERNETES),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", _MINOR),
        ("k8s.io/client-go/pkg/version.gitVersion", _KUBERNETES),
    )
)

_ENVOY_GATEWAY: Final = "github.com/envoyproxy/gateway/cmd/envoy-gateway"
_ENVOY_GATEWAY_VERSION: Final = "github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion"


@dataclass(frozen=True, slots=True)
class Tool:
    module: str
    """folder with its go.mod and go.sum"""
    package: str
    seconds: int
    """on two busy cores, for the message"""
    linker: str = ""
    test: bool = False
    """a program of tests: `go test -c`"""


TOOLS: Final[Mapping[str, Tool]] = {
    "etcd": Tool("etcd", "go.etcd.io/etcd/server/v3", 71),
    **{
        name: Tool("kubernetes", f"k8s.io/kubernetes/cmd/{name}", seconds, _KUBERNETES_VERSION)
        for name, seconds in (
            ("kube-apiserver", 602),
            ("kube-controller-manager", 209),
            ("kube-scheduler", 15),
            ("kubelet", 47),
            ("kube-proxy", 12),
            ("kubectl", 51),
        )
    },
    "helm": Tool("helm", "helm.sh/helm/v3/cmd/helm", 151, "-X helm.sh/helm/v3/internal/version.version=v3.22.0"),
    "cert-manager": Tool("cert-manager", ".", 195),
    "coredns": Tool("coredns", ".", 120),
    "pause": Tool("pause", ".", 5),
    "kind": Tool("kind", "sigs.k8s.io/kind", 10),
    "gateway-api-conformance": Tool("gateway-api", "sigs.k8s.io/gateway-api/conformance", 144, test=True),
    "gateway-api-echo": Tool("gateway-api", "sigs.k8s.io/gateway-api/conformance/echo-basic", 6),
    "envoy-gateway-1.8": Tool("envoy-gateway-1.8", _ENVOY_GATEWAY, 255, f"-X {_ENVOY_GATEWAY_VERSION}=v1.8.1"),
    "envoy-gateway-1.9": Tool("envoy-gateway-1.9", _ENVOY_GATEWAY, 371, f"-X {_ENVOY_GATEWAY_VERSION}=v1.9.1"),
}


class BuildFailed(RuntimeError):
    """The text says why, with the end of the compiler's output."""


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aigw" / "tools"


def place(name: str) -> Path:
    """Where the binary of this state of the tree is, built or not."""
    tool = TOOLS[name]
    digest = hashlib.sha256()
    folder = MODULES / tool.module
    for file in (folder / "go.mod", folder / "go.sum", *sorted(folder.glob("*.go"))):
        digest.update(file.read_bytes())
    digest.update(repr((_FLAGS, _STRIPPED, _GO_FLAGS, _ENVIRONMENT, tool.package, tool.linker)).encode())
    return cache() / f"{name}-{digest.hexdigest()[:16]}" / name


def missing(names: Sequence[str]) -> list[str]:
    return [name for name in names if not place(name).is_file()]


def build(name: str, deadline: float) -> bool:
    """Builds one program; False when it was not done by `deadline` (monotonic). Raises BuildFailed."""
    target, tool = place(name), TOOLS[name]
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise BuildFailed(f"{name} cannot be built: install Go {_go_version(tool)} or newer and put `go` on the PATH")
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.parent / "lock", "w") as lock:
        if not _locked(lock.fileno(), deadline):
            return False
        if target.is_file():
            return True
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / name
            verb = ("test", "-c") if tool.test else ("build",)
            command = [go, *verb, *_FLAGS, "-ldflags", f"{_STRIPPED} {tool.linker}".strip(), "-o", str(made)]
            if not _run([*command, tool.package], MODULES / tool.module, deadline):
                return False
            made.replace(target)
    for old in target.parent.parent.glob(f"{name}-{'[0-9a-f]' * 16}"):
        if old != target.parent:
            shutil.rmtree(old, ignore_errors=True)
    return True


def _locked(descriptor: int, deadline: float) -> bool:
    """Two builds of one program at a time would only be slower."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.5)


def _run(command: list[str], folder: Path, deadline: float) -> bool:
    flags = f"{_GO_FLAGS} {os.environ.get('GOFLAGS', '')}".strip()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **_ENVIRONMENT, "GOFLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    limit = deadline - time.monotonic()
    try:
        output, _ = process.communicate(timeout=None if limit == float("inf") else max(limit, 0))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode:
        raise BuildFailed(f"{' '.join(command)} (in {folder}) failed:\n{output[-4000:]}")
    return True


def _go_version(tool: Tool) -> str:
    lines = (MODULES / tool.module / "go.mod").read_text().splitlines()
    return next(line.removeprefix("go ") for line in lines if line.startswith("go "))


def main() -> int:
    """Exit code 1: a build failed. 3: something is not built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(TOOLS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long it may take")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.tools if name not in TOOLS]:
        parser.error(f"not a tool: {', '.join(unknown)} (choose from {', '.join(TOOLS)})")
    if not arguments.tools:
        return _list()
    deadline = time.monotonic() + arguments.seconds
    for name in missing(arguments.tools):
        print(f"building {name} (about {TOOLS[name].seconds} s on two cores)", flush=True)
        try:
            if build(name, deadline):
                continue
        except BuildFailed as exc:
            print(exc, file=sys.stderr)
            return 1
        print(f"{name} is not built: there was no time left", file=sys.stderr)
        return NOT_BUILT
    return 0


def _list() -> int:
    for name in TOOLS:
        print(f"{name:24} {place(name) if not missing([name]) else 'not built'}")
    return NOT_BUILT if missing([*TOOLS]) else 0


if __name__ == "__main__":
    sys.exit(main())
