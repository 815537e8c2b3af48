"""A real Kubernetes cluster on this machine, without a container engine or an image registry.

    python -m hack.lab up [--envoy-gateway 1.9] [--bare]   control plane, node, Envoy Gateway; twice is once
    python -m hack.lab status                              what runs, how to reach it
    python -m hack.lab exec COMMAND...                     a command inside (kubectl and helm are on its PATH)
    python -m hack.lab down                                ends everything, also after a crash

docs/lab.md tells more. Exit codes: 0 done, 1 a step failed (its text says which), 2 wrong arguments.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from filters.contract import jsonlib
from hack.lab import control_plane, envoy_gateway, folders, images, node, packages, shell
from hack.lab.certificates import Authority
from hack.lab.envoy_gateway import RELEASES, Release
from hack.lab.machine import Machine, NoMachine
from hack.lab.packages import NoPackages
from hack.tools import build

_TOOLS: Final = (*control_plane.TOOLS, *node.TOOLS, "coredns", "pause", "helm")
_MANIFESTS: Final = Path(__file__).parent / "manifests"
CONTROLLER_IMAGE: Final = "aigw/ai-gateway-controller:dev"
FILTER_IMAGE: Final = "aigw/ai-gateway-extproc:dev"
_EDGE_LIMIT: Final = 20.0


def tools(release: Release) -> list[str]:
    """Programs that a lab needs."""
    return [*_TOOLS, release.tool]


class _Steps:
    """Prints each step with its time."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, title: str, step: Callable[[], object]) -> None:
        print(f"  {title:<44}", end="", flush=True)
        began = time.monotonic()
        try:
            step()
        except BaseException:
            print("failed", flush=True)
            raise
        print(f"{time.monotonic() - began:6.1f} s", flush=True)

    def total(self) -> float:
        return time.monotonic() - self._start


def up(machine: Machine, release: Release, *, bare: bool = False, values: list[Path] | None = None) -> None:
    """`bare`: no Envoy Gateway. Raises NoMachine, NoPackages, shell.Failed, build.BuildFailed."""
    if machine.pid is not None and "kubelet" in machine.running():
        print("the lab is up already (`make lab-status`)")
        return
    steps, archives = _Steps(), list[Path]()
    machine.down()
    for name in build.missing(tools(release)):
        steps(f"build {name}", lambda name=name: build.build(name, float("inf")))  # type: ignore[misc]
    overlay: list[Path | None] = []
    steps("node packages", lambda: overlay.append(packages.overlay()))
    steps("images", lambda: archives.extend(_images(release)))
    steps("machine", lambda: machine.up(overlay[0]))
    try:
        steps("certificates", lambda: control_plane.prepare(machine))
        steps("control plane", lambda: control_plane.up(machine))
        steps("node", lambda: node.up(machine, archives))
        steps("load balancer", lambda: _edge(machine))
        steps("Gateway API and Envoy Gateway CRDs", lambda: _definitions(machine, release))
        steps("cluster DNS", lambda: _dns(machine))
        if not bare:
            own = values if values is not None else _values(release)
            steps(f"Envoy Gateway {release.version}", lambda: envoy_gateway.install(machine, release, own))
    except BaseException:
        print(f"logs are in {machine.state.logs}", file=sys.stderr)
        raise
    print(f"up in {steps.total():.0f} s; `make lab-status` tells how to reach it")


def _images(release: Release) -> list[Path]:
    default = envoy_gateway.default_envoy_image(release)
    made = [
        images.program("pause", "/pause", [node.PAUSE]),
        images.program("coredns", "/coredns", ["lab/coredns:1"], user="0:0"),
        images.program(release.tool, "/usr/local/bin/envoy-gateway", [envoy_gateway.IMAGE]),
        images.envoy([envoy_gateway.ENVOY_IMAGE, *([default] if default else [])]),
        images.python([CONTROLLER_IMAGE], "extension_server.main"),
        images.python([FILTER_IMAGE], "filters.main"),
    ]
    return [images.archive(each) for each in made]


def _values(release: Release) -> list[Path]:
    name = "envoy-gateway-values.yaml" if release.version.startswith("v1.8") else "envoy-gateway-values-1.9.yaml"
    return [build.MODULES.parents[1] / "manifests" / name]


def _edge(machine: Machine) -> None:
    state = machine.state
    state.forwards.unlink(missing_ok=True)
    with open(state.logs / "edge.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hack.lab.edge"],
            cwd=build.MODULES.parents[1],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "AIGW_LAB": str(state.root)},
        )
    deadline = time.monotonic() + _EDGE_LIMIT
    while not state.forwards.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise shell.Failed("the load balancer does not start", state.logs / "edge.log")
        time.sleep(0.05)
    server = f"https://{forwards(state)['kube-apiserver']}"
    Authority(state.certificates).kubeconfig("admin", server, state.host_kubeconfig)


def forwards(state: folders.State) -> dict[str, str]:
    """`<namespace>/<service>:<port>` → address on the host."""
    if not state.forwards.exists():
        return {}
    return jsonlib.decoder(dict[str, str])(state.forwards.read_bytes())


def _definitions(machine: Machine, release: Release) -> None:
    arguments = ["apply", "--server-side", "--force-conflicts"]
    for file in envoy_gateway.definitions(release):
        arguments += ["-f", str(file)]
    shell.kubectl(machine, arguments)
    shell.kubectl(machine, ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])


def _dns(machine: Machine) -> None:
    shell.kubectl(machine, ["apply", "-f", str(_MANIFESTS / "coredns.yaml")])
    shell.kubectl(machine, ["wait", "--for=condition=Ready", "node/lab", "--timeout=90s"])
    arguments = ["wait", "--for=condition=Available", "deployment/coredns", "--timeout=90s"]
    shell.kubectl(machine, ["-n", "kube-system", *arguments])


def status(machine: Machine) -> int:
    """Prints; exit code 1 when it is down."""
    console = Console()
    if machine.pid is None:
        console.print("the lab is down; `make lab-up` starts it")
        return 1
    table = Table("process", "pid", "memory", title="lab", title_justify="left", box=None)
    for name, pid in machine.running().items():
        table.add_row(name, str(pid), f"{_memory(pid)} MB")
    console.print(table)
    ways = Table("in the lab", "on this host", box=None)
    for name, place in forwards(machine.state).items():
        ways.add_row(name, place)
    console.print(ways)
    console.print(f"kubectl: export KUBECONFIG={machine.state.host_kubeconfig}", soft_wrap=True)
    console.print("or:      make lab-exec COMMAND='kubectl get pods -A'", soft_wrap=True)
    console.print(f"logs:    {machine.state.logs}", soft_wrap=True)
    return 0


def _memory(pid: int) -> int:
    """Of the process that nsenter became, or its child's: -p makes one."""
    total = 0
    for each in [pid, *_children(pid)]:
        try:
            fields = Path(f"/proc/{each}/status").read_text().split("VmRSS:")
        except OSError:
            continue
        total += int(fields[1].split()[0]) // 1024 if len(fields) > 1 else 0
    return total


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def execute(machine: Machine, command: list[str]) -> int:
    """Exit code of the command."""
    links = machine.state.root / "bin"
    links.mkdir(exist_ok=True)
    for name in ("kubectl", "helm", "etcd"):
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(build.place(name))
    environment = {
        **os.environ,
        "KUBECONFIG": str(machine.state.kubeconfig),
        "PATH": f"{links}:{os.environ.get('PATH', '')}",
    }
    inside = machine.command(command)
    inside[inside.index("--wd=/")] = f"--wd={Path.cwd()}"
    return subprocess.run(inside, check=False, env=environment).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up")
    start.add_argument("--envoy-gateway", choices=sorted(RELEASES), default="1.8")
    start.add_argument("--bare", action="store_true", help="no Envoy Gateway")
    commands.add_parser("status")
    commands.add_parser("down")
    inside = commands.add_parser("exec")
    inside.add_argument("arguments", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    machine = Machine(folders.state())
    try:
        match arguments.command:
            case "up":
                with machine.state.locked():
                    up(machine, RELEASES[arguments.envoy_gateway], bare=arguments.bare)
            case "status":
                return status(machine)
            case "exec":
                return execute(machine, arguments.arguments)
            case _:
                with machine.state.locked():
                    machine.down()
                print("the lab is down")
    except (NoMachine, NoPackages, shell.Failed, build.BuildFailed) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
