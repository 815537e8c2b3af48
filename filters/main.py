"""The filter process: `python -m filters.main --socket PATH [--config FILE]`.

Reads the arguments and wires the parts by hand; everything else is in `filters.process` (the process),
`filters.extproc` (the server) and what it serves. How a parent steers it: `filters.process.control`.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

import uvloop

from filters.contract.loglines import LEVELS, LogFormat
from filters.endpoints import registry as endpoint_registry
from filters.extproc.program import AiFilters
from filters.process import control, logs, supervisor, worker
from filters.process.tokens import Tokens
from filters.process.worker import Options
from filters.providers import registry as provider_registry
from filters.runtime.clock import Clock


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="filters.main", description="Envoy's companion: the AI filters over ext_proc."
    )
    parser.add_argument("--socket", required=True, help="unix socket for Envoy (with --workers: <socket>.<i>)")
    parser.add_argument("--config", help="configuration document to start with")
    parser.add_argument("--config-server", metavar="HOST:PORT", help="controller to get configurations from")
    parser.add_argument("--config-server-ca", type=Path, metavar="FILE", help="PEM of the controller's authorities")
    parser.add_argument("--config-server-token", type=Path, metavar="FILE", help="token to prove itself with")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where the last good configuration is kept")
    parser.add_argument("--workers", type=_positive, default=1, help="worker processes (default 1)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)  # set by the supervisor
    parser.add_argument("--admin-host", default="127.0.0.1", help="admin HTTP: address (default 127.0.0.1)")
    parser.add_argument("--admin-port", type=int, help="admin HTTP: port, 0 for a free one (default: no admin HTTP)")
    parser.add_argument("--log-level", choices=tuple(LEVELS), default="info")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--drain-seconds", type=float, default=10.0, help="how long requests in flight may take to end")
    parser.add_argument("--no-control", action="store_true", help="do not obey stdin, and do not end with it")
    arguments = parser.parse_args(argv)
    if arguments.config_server is not None:
        for name in ("config_server_ca", "config_server_token"):
            if getattr(arguments, name) is None:
                parser.error(f"--config-server needs --{name.replace('_', '-')}")
        if arguments.workers > 1 and arguments.state is None:
            parser.error("--config-server with --workers needs --state, to hand configurations to the workers")
    return arguments


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until stopped; returns the exit code (2: the configuration or the arguments were refused)."""
    return run(argv, _program, "filters.main")


def run(argv: Sequence[str] | None, program: Callable[[Options], worker.Program], module: str) -> int:
    """`main` for any program. `module` is what the workers of `--workers` run, with the same arguments."""
    arguments = _arguments(argv)
    options = Options(
        socket=arguments.socket,
        config=arguments.config,
        worker=arguments.worker or 0,
        workers=arguments.workers,
        admin_host=arguments.admin_host,
        admin_port=arguments.admin_port,
        drain_seconds=arguments.drain_seconds,
        controlled=not arguments.no_control,
    )
    if options.controlled and not control.is_steered():
        sys.stderr.write("filters.main: stdin is no pipe that a parent could steer by; give --no-control\n")
        return 2
    log_format = cast("LogFormat", arguments.log_format)
    if arguments.workers > 1 and arguments.worker is None:
        logs.set_up(arguments.log_level, log_format, "filter")
        shared = ["--log-level", arguments.log_level, "--log-format", log_format]
        return uvloop.run(supervisor.run(options, module, shared, _follow(arguments)))
    logs.set_up(arguments.log_level, log_format, f"filter-{options.worker}" if options.workers > 1 else "filter")
    # A worker among several is steered by the supervisor.
    follow = _follow(arguments) if arguments.worker is None else None
    return uvloop.run(worker.run(options, program(options), follow))


def _follow(arguments: argparse.Namespace) -> worker.Follow | None:
    if arguments.config_server is None:
        return None
    # gRPC's own lines are no JSON; what matters of them is in ours. It reads this when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Here, because a process that follows nobody need not hold gRPC in memory.
    from filters.push import follower

    settings = follower.Settings(
        server=arguments.config_server,
        authorities=arguments.config_server_ca,
        token=arguments.config_server_token,
        state=arguments.state,
        release=version("aigw"),
    )
    return lambda target: follower.Follower(settings, target)


def _program(options: Options, process: str = "") -> worker.Program:
    return AiFilters(
        providers=provider_registry.load(),
        endpoints=endpoint_registry.load(),
        clock=Clock(wall=time.time, monotonic=time.monotonic),
        new_token=Tokens(),
        process=process or worker.process_name(options.worker),
    )


if __name__ == "__main__":
    sys.exit(main())
