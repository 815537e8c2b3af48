"""The node's Debian packages, unpacked beside the system instead of installed into it.

The lab lays them over /usr in its own mount namespace, so programs find each other where they expect to, and nothing of
the host changes. A host that has all programs already needs none of this.
"""

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from hack.lab import folders

PACKAGES: Final = ("containerd", "runc", "containernetworking-plugins", "iptables", "conntrack", "ipset", "socat")
_PROGRAMS: Final = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "iptables", "conntrack", "ipset", "socat")
_IPTABLES: Final = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
PLUGINS: Final = Path("/usr/lib/cni")


class NoPackages(RuntimeError):
    """The text says what to install."""


def overlay() -> Path | None:
    """The folder to lay over /usr; None when the host has everything. Raises NoPackages."""
    if PLUGINS.joinpath("bridge").exists() and all(shutil.which(name) for name in _PROGRAMS):
        return None
    target = folders.cache() / "packages"
    target.mkdir(parents=True, exist_ok=True)
    with open(target / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "usr").exists():
            _unpack(target)
    return target / "usr"


def _unpack(target: Path) -> None:
    if shutil.which("apt-get") is None:
        raise NoPackages(f"install these with your system's package manager: {', '.join(PACKAGES)}")
    with tempfile.TemporaryDirectory(dir=target) as name:
        work = Path(name)
        (work / "archives" / "partial").mkdir(parents=True)
        (work / "root").mkdir()
        fetch = ["apt-get", "install", "--download-only", "--no-install-recommends", "--reinstall", "-y"]
        fetch += ["-o", f"Dir::Cache::archives={work / 'archives'}", "-o", "APT::Sandbox::User=root", *PACKAGES]
        if not _succeeds(fetch):
            _succeeds(["apt-get", "update"])
            if not _succeeds(fetch):
                raise NoPackages(f"{' '.join(fetch)} failed; are Debian's package sources configured?")
        for archive in sorted((work / "archives").glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(archive), str(work / "root")], check=True, capture_output=True)
        # What a package's scripts would do.
        for link in _IPTABLES:
            place = work / "root" / "usr" / "sbin" / link
            if not place.exists():
                place.symlink_to("xtables-nft-multi")
        (work / "root" / "usr").rename(target / "usr")


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
