"""Are the ports of the gateway free, or in use by the gateway itself?"""

from collections.abc import Sequence

from aigw.commands.checks import processes
from aigw.commands.checks.base import Context, Finding
from aigw.standalone import ports
from aigw.standalone.run import DEFAULT_PORT, EVERYWHERE, LOCAL


async def check(context: Context) -> Sequence[Finding]:
    """The listeners' ports, and the admin port."""
    served = context.verdict.served if context.verdict else None
    if served is not None:
        wanted = {listener.port: f"listener {listener.name}" for listener in served.world.gateway.spec.listeners}
        address = EVERYWHERE
    else:
        wanted, address = {DEFAULT_PORT: "gateway"}, LOCAL
    running = processes.instances()
    found = [_port(address, port, what, running) for port, what in sorted(wanted.items())]
    return (*found, _port(LOCAL, context.admin_port, "admin", running))


def _port(address: str, port: int, what: str, running: Sequence[processes.Instance]) -> Finding:
    try:
        ports.check_free(address, port, what=what, remedy="")
    except ports.PortInUse as exc:
        return _taken(port, what, running, exc)
    return Finding(severity="ok", title=f"port {port} ({what}) is free")


def _taken(port: int, what: str, running: Sequence[processes.Instance], exc: ports.PortInUse) -> Finding:
    users = processes.listeners(port)
    for instance in running:
        if users and all(processes.descends(user.pid, instance.pid) for user in users):
            return Finding(severity="ok", title=f"port {port} ({what}) is used by aigw run (process {instance.pid})")
    if "in use" not in str(exc):
        return Finding(
            severity="error",
            title=str(exc).rstrip("; "),
            meaning="aigw run cannot start",
            fix="choose a port above 1023, or give Python the right to listen there",
        )
    who = ", ".join(map(str, users)) or "a process of another user"
    return Finding(
        severity="error" if what != "admin" else "warning",
        title=f"port {port} ({what}) is in use by {who}",
        meaning="aigw run cannot start" if what != "admin" else "aigw run takes another one and prints it",
        fix="stop that process, or choose another port "
        + ("with --admin-port" if what == "admin" else "for the listener in the file (without a file: --port)"),
    )
