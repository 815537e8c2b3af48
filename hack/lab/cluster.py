"""Starts, refreshes and ends one lab: machine, control plane, node, DNS, and what is installed in it."""

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from filters.contract import jsonlib
from hack.lab import control_plane, folders, images, installation, node, packages, shell
from hack.lab.certificates import Authority
from hack.lab.installation import Installation, Release
from hack.lab.machine import Machine
from hack.tools import build

_TOOLS: Final = (*control_plane.TOOLS, *node.TOOLS, "coredns", "pause", "helm")
_MANIFESTS: Final = Path(__file__).parent / "manifests"
_DNS_IMAGE: Final = "lab/coredns:1"
_EDGE_LIMIT: Final = 20.0
_decode_forwards = jsonlib.decoder(dict[str, str])


def tools(release: Release) -> list[str]:
    """Programs that a lab needs."""
    return [*_TOOLS, release.tool]


class Steps:
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


def up(machine: Machine, release: Release, *, bare: bool = False) -> None:
    """Starts what is not up; loads and installs what has changed since. `bare`: a cluster and nothing in it.

    Raises machine.NoMachine, packages.NoPackages, shell.Failed, build.BuildFailed.
    """
    steps, made = Steps(), list[Installation]()
    for name in build.missing(tools(release)):
        title = f"build {name} (about {build.TOOLS[name].seconds} s)"
        steps(title, functools.partial(build.build, name, float("inf")))
    steps("images", lambda: made.append(installation.prepare(release)))
    (wanted,) = made
    try:
        if not _is_up(machine):
            machine.down()
            _start(machine, steps)
        steps("load images", functools.partial(node.load, machine, wanted.archives))
        if not bare:
            installation.install(machine, wanted, steps)
    except BaseException:
        print(f"logs are in {machine.state.logs}", file=sys.stderr)
        raise
    print(f"up in {steps.total():.0f} s; `make lab-status` tells how to reach it")


def _is_up(machine: Machine) -> bool:
    """All of it: half a lab is started anew."""
    return machine.pid is not None and machine.state.ready.exists() and not machine.ended()


def _start(machine: Machine, steps: Steps) -> None:
    machine.state.ready.unlink(missing_ok=True)
    overlays = list[Path | None]()
    steps("node packages", lambda: overlays.append(packages.overlay()))
    steps("machine", functools.partial(machine.up, overlays[0]))
    steps("certificates", functools.partial(control_plane.prepare, machine))
    steps("control plane", functools.partial(control_plane.up, machine))
    steps("node", functools.partial(node.up, machine, _own_images()))
    steps("load balancer and ports of the host", functools.partial(_edge, machine))
    steps("cluster DNS", functools.partial(_dns, machine))
    _link_programs(machine.state)
    machine.state.ready.touch()


def _link_programs(state: folders.State) -> None:
    state.programs.mkdir(exist_ok=True)
    for name in ("kubectl", "helm"):
        link = state.programs / name
        link.unlink(missing_ok=True)
        link.symlink_to(build.place(name))


def _own_images() -> list[Path]:
    return [
        images.archive("pause", [images.program("pause", "/pause", [node.PAUSE])]),
        images.archive("coredns", [images.program("coredns", "/coredns", [_DNS_IMAGE], user="0:0")]),
    ]


def _edge(machine: Machine) -> None:
    state = machine.state
    state.forwards.unlink(missing_ok=True)
    machine.start_outside("edge", [sys.executable, "-m", "hack.lab.edge"], {"AIGW_LAB": str(state.root)})
    deadline = time.monotonic() + _EDGE_LIMIT
    while not state.forwards.exists():
        if "edge" not in machine.running() or time.monotonic() > deadline:
            raise shell.Failed("the load balancer does not start", state.logs / "edge.log")
        time.sleep(0.05)
    server = f"https://{forwards(state)['kube-apiserver']}"
    Authority(state.certificates).kubeconfig("admin", server, state.host_kubeconfig)


def forwards(state: folders.State) -> dict[str, str]:
    """`<namespace>/<service>:<port>` → address on the host."""
    if not state.forwards.exists():
        return {}
    return _decode_forwards(state.forwards.read_bytes())


def _dns(machine: Machine) -> None:
    shell.kubectl(machine, ["apply", "-f", str(_MANIFESTS / "coredns.yaml")])
    for state in ("create", "condition=Ready"):
        shell.kubectl(machine, ["wait", f"--for={state}", "node/lab", "--timeout=90s"])
    arguments = ["wait", "--for=condition=Available", "deployment/coredns", "--timeout=90s"]
    shell.kubectl(machine, ["-n", "kube-system", *arguments])


def execute(machine: Machine, command: list[str]) -> int:
    """Exit code of the command, which finds kubectl and helm on its PATH."""
    path = f"{machine.state.programs}:{os.environ.get('PATH', '')}"
    environment = {**os.environ, "KUBECONFIG": str(machine.kubeconfig), "PATH": path}
    return subprocess.run(machine.command(command, folder=Path.cwd()), check=False, env=environment).returncode
