"""What `status` shows: to people, and to programs as JSON."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from filters.contract import jsonlib
from hack.lab import cluster
from hack.lab.machine import Machine


def show(machine: Machine) -> int:
    """Exit code 1 when it is down."""
    console = Console(soft_wrap=True)
    if machine.pid is None:
        console.print("the lab is down; `make lab-up` starts it")
        return 1
    running = Table("process", "pid", "memory", box=None, pad_edge=False)
    for name, pid in machine.running().items():
        running.add_row(name, str(pid), f"{_memory(pid)} MB")
    for name in machine.ended():
        running.add_row(name, "ended", f"see {machine.state.logs / name}.log")
    console.print(running)
    ways = Table("in the lab", "on this host", box=None, pad_edge=False)
    for name, place in cluster.forwards(machine.state).items():
        ways.add_row(name, place)
    console.print()
    console.print(ways)
    console.print()
    console.print(
        f"kubectl  hack/lab/kubectl get pods -A, or any other with KUBECONFIG={machine.state.host_kubeconfig}"
    )
    console.print("inside   make lab-exec COMMAND='helm list -A'")
    console.print(f"logs     {machine.state.logs}")
    return 1 if machine.ended() else 0


def document(machine: Machine) -> bytes:
    """JSON, as `conformance.cluster.lab` reads it."""
    up = machine.pid is not None and machine.state.ready.exists() and not machine.ended()
    forwards = cluster.forwards(machine.state) if up else {}
    files = {"kubeconfig": str(machine.state.host_kubeconfig), "kubectl": str(machine.state.programs / "kubectl")}
    return jsonlib.encode({"up": up, "forwards": forwards, **files})


def _memory(pid: int) -> int:
    """Megabytes of the process and its children: entering the lab leaves one process outside, its child inside."""
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
