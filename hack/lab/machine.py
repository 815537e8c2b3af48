"""The lab's machine: mount, network, pid and host name namespaces that one process holds.

Its addresses and packet filter rules exist only there, there is no route out, and ending that one process ends
everything in it, containers included: nothing has to be hunted down after a crash.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filters.contract import jsonlib
from hack.lab import control_groups
from hack.lab.folders import State
from hack.tools import build

ADDRESS: Final = "10.88.0.1"
"""of the node, on the bridge that its pods are on too"""
_SETTINGS: Final = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""what the kubelet sets for the whole host, and would leave so: in the lab it writes to files that lie over them"""
_PROJECT: Final = Path(__file__).parents[2]
_NAMESPACES: Final = ("mount", "net", "pid", "uts")
_holder = jsonlib.decoder(tuple[int, str | None])
"""pid and start time"""
_settings = jsonlib.decoder(dict[str, str])
_SET_UP: Final = f"""
set -e
mount --make-rshared /
hostname lab
ip link set lo up
ip link add lab0 type bridge
ip addr add {ADDRESS}/16 dev lab0
ip link set lab0 up
# Addresses of Services and load balancers: any route will do, kube-proxy rewrites them.
ip route add 10.96.0.0/15 dev lab0
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/netns
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
for setting in {" ".join(_SETTINGS)}; do
    mkdir -p "/run/settings/${{setting%/*}}"
    cat "/proc/sys/$setting" > "/run/settings/$setting"
    mount --bind "/run/settings/$setting" "/proc/sys/$setting"
done
"""


class NoMachine(RuntimeError):
    """It cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Machine:
    state: State

    @property
    def pid(self) -> int | None:
        """Of the process that holds the namespaces; None when the lab is down."""
        try:
            pid, started = _holder((self.state.root / "machine").read_bytes())
        except (OSError, ValueError):
            return None
        return pid if _started(pid) == started else None

    @property
    def control_group(self) -> str:
        """Of this lab alone."""
        return f"aigw-lab-{hashlib.sha256(os.fsencode(self.state.root)).hexdigest()[:8]}"

    def up(self, overlay: Path | None) -> None:
        """`overlay` is laid over /usr. No effect when it is up. Raises NoMachine."""
        if self.pid is not None:
            return
        if os.geteuid() != 0:
            raise NoMachine("the lab makes namespaces and cgroups: run it as root")
        self.state.root.mkdir(parents=True, exist_ok=True)
        control_groups.make(self.control_group)
        command = ["unshare", *(f"--{each}" for each in _NAMESPACES), "--fork", "--mount-proc", "--kill-child"]
        holder = subprocess.Popen(
            [*command, str(build.place("pause"))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        pid = _child(holder)
        (self.state.root / "machine").write_bytes(jsonlib.encode([pid, _started(pid)]))
        script = _SET_UP
        if overlay is not None:
            script += f"mount -t overlay overlay -o lowerdir={overlay}:/usr /usr\n"
        done = subprocess.run(self.command(["sh", "-c", script]), check=False, capture_output=True, text=True)
        if done.returncode:
            self.down()
            raise NoMachine(f"the machine's namespaces cannot be set up: {done.stderr.strip()}")

    @property
    def kubeconfig(self) -> Path:
        """of the cluster's administrator, for processes inside"""
        return self.state.certificates / "admin.kubeconfig"

    def command(self, command: Sequence[str], folder: Path = Path("/")) -> list[str]:
        """Runs `command` inside. Raises NoMachine when it is down."""
        pid = self.pid
        if pid is None:
            raise NoMachine("the lab is not up; `make lab-up` starts it")
        return ["nsenter", "-t", str(pid), "-m", "-n", "-p", "-u", f"--wd={folder}", "--", *command]

    def start(self, name: str, command: Sequence[str]) -> None:
        """A process inside that goes on when we end. Its output is in the log of that name."""
        self.start_outside(name, self.command(command), {})

    def start_outside(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """As `start`, on the host: it has to see itself that the lab ends."""
        self.state.logs.mkdir(parents=True, exist_ok=True)
        with open(self.state.logs / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                cwd=_PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        self.state.pids.mkdir(parents=True, exist_ok=True)
        (self.state.pids / name).write_bytes(jsonlib.encode([process.pid, _started(process.pid)]))

    def running(self) -> dict[str, int]:
        """Name → pid of what `start` started and still runs."""
        found = {}
        for file in sorted(self.state.pids.glob("*")):
            with contextlib.suppress(OSError, ValueError):
                pid, started = _holder(file.read_bytes())
                if _started(pid) == started:
                    found[file.name] = pid
        return found

    def ended(self) -> list[str]:
        """What `start` started and runs no more."""
        running = self.running()
        return [file.name for file in sorted(self.state.pids.glob("*")) if file.name not in running]

    def down(self) -> None:
        """Ends everything and puts back what the host had. Safe at any time, also after a crash."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            _wait_for_end(pid)
        for file in (self.state.root / "machine", *self.state.pids.glob("*")):
            file.unlink(missing_ok=True)
        control_groups.remove(self.control_group)


def _child(holder: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if holder.poll() is not None:
            break
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/exe").resolve() == build.place("pause").resolve():
                    return int(child)
        time.sleep(0.02)
    raise NoMachine("the kernel gives no namespaces (`unshare --mount --net --pid --uts --fork` failed)")


def _started(pid: int) -> str | None:
    """Start time in clock ticks: a pid alone may be somebody else's by now."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def _wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
