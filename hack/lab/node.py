"""The one node: containerd, runc, a CNI bridge, kubelet and kube-proxy, on control groups v1 or v2."""

import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import grpc
import jinja2

from hack.lab import packages, shell
from hack.lab.machine import ADDRESS, Machine
from hack.tools import build

TOOLS: Final = ("kubelet", "kube-proxy")
PAUSE: Final = "lab/pause:1"
DNS: Final = "10.96.0.10"
_LIMIT: Final = 60.0
_TEMPLATES: Final = Path(__file__).parent / "node_files"


def up(machine: Machine, images: Iterable[Path]) -> None:
    """Raises shell.Failed. `images`: archives to load."""
    state = machine.state
    for folder in (state.root / "kubelet", state.root / "cni", state.root / "pod-logs", state.containerd / "state"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    _render(machine)
    machine.start("containerd", ["containerd", "--config", str(state.root / "containerd.toml")])
    deadline = time.monotonic() + _LIMIT
    while not _answers(state.containerd / "socket"):
        if "containerd" not in machine.running() or time.monotonic() > deadline:
            raise shell.Failed("containerd does not start", state.logs / "containerd.log")
        time.sleep(0.1)
    load(machine, images)
    machine.start(
        "kubelet",
        [
            str(build.place("kubelet")),
            f"--config={state.root / 'kubelet.yaml'}",
            f"--kubeconfig={state.certificates / 'kubelet.kubeconfig'}",
            "--hostname-override=lab",
            f"--node-ip={ADDRESS}",
            f"--root-dir={state.root / 'kubelet'}",
            f"--cert-dir={state.root / 'kubelet' / 'pki'}",
        ],
    )
    machine.start("kube-proxy", [str(build.place("kube-proxy")), f"--config={state.root / 'kube-proxy.yaml'}"])


def _answers(socket: Path) -> bool:
    """Whether containerd serves the kubelet, which ends when it does not: that part of it is up some time after the
    rest."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        try:
            channel.unary_unary("/runtime.v1.RuntimeService/Version")(b"", timeout=_LIMIT)
        except grpc.RpcError:
            return False
    return True


def load(machine: Machine, images: Iterable[Path]) -> None:
    """Unpacks image archives that the node does not have yet. Raises shell.Failed."""
    known = machine.state.containerd / "images"
    have = set(known.read_text().splitlines()) if known.exists() else set()
    for image in images:
        if image.name in have:
            continue
        done = subprocess.run(
            _ctr(machine, ["images", "import", str(image)]), check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise shell.Failed(f"image {image.name} cannot be loaded: {done.stderr.strip()}")
        with open(known, "a") as file:
            file.write(f"{image.name}\n")


def _ctr(machine: Machine, arguments: list[str]) -> list[str]:
    return machine.command(["ctr", "-a", str(machine.state.containerd / "socket"), "-n", "k8s.io", *arguments])


def _render(machine: Machine) -> None:
    state = machine.state
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    (state.root / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    values = {
        "root": state.root,
        "certificates": state.certificates,
        "containerd": state.containerd,
        "address": ADDRESS,
        "control_group": machine.control_group,
        "dns": DNS,
        "pause": PAUSE,
        "plugins": packages.PLUGINS,
    }
    targets = {"bridge.conflist": state.root / "cni" / "10-lab.conflist"}
    for name in environment.list_templates():
        target = targets.get(name, state.root / name)
        target.write_text(environment.get_template(name).render(values))
