"""Who of several processes that listen on one port gets the new connections: what a Service's endpoints decide.

Linux hands the connections of a port to all sockets that share it (SO_REUSEPORT), or to the one that a filter program
picks. The program is put on a listening socket that belongs to another process, which needs root.
"""

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PIDFD_GETFD: Final = 438
"""number of the system call, the same on every architecture"""
_ATTACH: Final = 51
"""SO_ATTACH_REUSEPORT_CBPF"""
_RETURN: Final = 0x06
"""BPF_RET | BPF_K"""


def prefer(pid: int, port: int, position: int) -> None:
    """New connections to `port` go to its listener number `position`, in the order in which they began to listen; to
    any of them once there is no such one. `pid` is a process that listens on it. Raises OSError, LookupError."""
    with _listener(pid, port) as found:
        # struct sock_filter: code, jt, jf, k.
        program = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, position))
        # struct sock_fprog: number of instructions and their address.
        found.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("@HP", 1, ctypes.addressof(program)))


@contextlib.contextmanager
def _listener(pid: int, port: int) -> Iterator[socket.socket]:
    process = os.pidfd_open(pid)
    try:
        for name in sorted(Path(f"/proc/{pid}/fd").iterdir()):
            if not os.readlink(name).startswith("socket:"):
                continue
            with socket.socket(fileno=_taken(process, int(name.name))) as each:
                if each.family in (socket.AF_INET, socket.AF_INET6) and _listens(each, port):
                    yield each
                    return
    finally:
        os.close(process)
    raise LookupError(f"process {pid} does not listen on port {port}")


def _listens(each: socket.socket, port: int) -> bool:
    accepts = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(accepts) and each.getsockname()[1] == port


def _taken(process: int, descriptor: int) -> int:
    """A descriptor of our own for a socket of that process."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    found = int(call(_PIDFD_GETFD, process, descriptor, 0))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
