"""Runs a command in network and mount namespaces of its own.

    python -m tests.support.isolation COMMAND...

Every port is free there and nothing outside is reachable. `/etc` is a copy that can be written, so that names can be
given addresses and directories be there which pods have. It all ends with the command. Needs root: exit code 3 says
that it could not be done, and why.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ISOLATED: Final = "AIGW_TESTS_ISOLATED"
"""environment variable: set inside"""
NOT_POSSIBLE: Final = 3
_MOUNT, _NETWORK, _IPC = 0x00020000, 0x40000000, 0x08000000
SOCKETS: Final = "/etc/ai-gateway-extproc-uds"
ADDRESS: Final = "10.99.0.1"
"""of everything: Envoy Gateway takes no loopback address for a backend"""
_HOSTS: Final = """\
127.0.0.1 localhost
127.0.0.1 envoy-gateway.envoy-gateway-system.svc.cluster.local
127.0.0.1 ai-gateway-controller.envoy-ai-gateway-system.svc.cluster.local
127.0.0.1 ai-gateway-controller.envoy-ai-gateway-system.svc
10.99.0.1 provider.example other-provider.example
"""


def isolated() -> bool:
    return os.environ.get(ISOLATED) == "1"


def main(command: list[str]) -> int:
    if not command:
        sys.stderr.write("isolation: give a command\n")
        return 2
    if ctypes.CDLL(None, use_errno=True).unshare(_MOUNT | _NETWORK | _IPC):
        sys.stderr.write(f"isolation: no namespaces ({os.strerror(ctypes.get_errno())}); run as root\n")
        return NOT_POSSIBLE
    with tempfile.TemporaryDirectory(prefix="isolation-", ignore_cleanup_errors=True) as name:
        try:
            _set_up(Path(name))
        except subprocess.CalledProcessError as exc:
            sys.stderr.write(f"isolation: {' '.join(exc.cmd)} failed: {exc.stderr.decode().strip()}\n")
            return NOT_POSSIBLE
        try:
            return subprocess.run(command, check=False, env={**os.environ, ISOLATED: "1"}).returncode
        finally:
            # Else the folder cannot be removed: it is what the layers are mounted from.
            subprocess.run(["umount", "--lazy", "/etc", name], check=False, capture_output=True)


def _set_up(folder: Path) -> None:
    _run("mount", "--make-rprivate", "/")
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
    _run("mount", "-t", "tmpfs", "tmpfs", str(folder))
    for part in ("upper", "work"):
        (folder / part).mkdir()
    layers = f"lowerdir=/etc,upperdir={folder / 'upper'},workdir={folder / 'work'}"
    _run("mount", "-t", "overlay", "overlay", "-o", layers, "/etc")
    Path("/etc/hosts").write_text(_HOSTS)
    Path("/etc/resolv.conf").unlink(missing_ok=True)
    Path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    Path(SOCKETS).mkdir()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
