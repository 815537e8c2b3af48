"""Is a port free? Asked before anything starts, so that a start fails with one clear sentence."""

import errno
import socket


class PortInUse(OSError):
    """The text names the port and what to do."""


def check_free(address: str, port: int, *, what: str, remedy: str) -> None:
    """Raises PortInUse when `address:port` cannot be listened on. `what` is to listen there; `remedy` is what to do."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As Envoy does: connections of an earlier run that wait for their end are no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise PortInUse(f"port {port} ({what}) is in use: {remedy}") from exc
            raise PortInUse(f"port {port} ({what}) cannot be used: {exc.strerror}; {remedy}") from exc


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
