"""The controller process: extension hooks for Envoy Gateway, and the reconciler behind them.

    python -m extension_server.main --port :1063 --watchNamespaces team-a,team-b

Flags are those of the API chapter §3.2 that apply here, with one or two dashes. The hooks are served before anything
else is done, so that Envoy Gateway never waits for us; then come the watches, then, on the leader, the writes. SIGTERM
ends the process in order: no more writes, the Lease given back, hooks in flight answered. Exit codes: 0 ended by a
signal, 1 something failed (the log says what), 2 wrong flags.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from extension_server.compile.route import Settings
from extension_server.controller import token_key
from extension_server.controller.client import Api, ApiError, KubernetesApi, NoCluster, backed_off
from extension_server.controller.leader import Elector
from extension_server.controller.ports import ConfigSink, ReportedFilters
from extension_server.controller.reconcile import Controller
from extension_server.controller.store import Store
from extension_server.controller.token_key import BadTokenKey
from extension_server.controller.world import World
from extension_server.hooks.observation import Observation
from extension_server.hooks.server import HookServer
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults

CONTROLLER_NAME: Final = "gateway.envoyproxy.io/gatewayclass-controller"
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

_log = logging.getLogger(__name__)


class BadFlags(ValueError):
    """The text names the flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What flags and environment say."""

    namespace: str
    """the controller's own (`POD_NAMESPACE`): its Lease and its key are there"""
    identity: str
    host: str
    port: int
    root_prefix: str
    watch_namespaces: tuple[str, ...]
    leader_election: bool
    log_level: str
    gateway_controller_name: str


@dataclass(frozen=True, slots=True)
class Process:
    """What runs, for whoever wires more to it, and for tests."""

    controller: Controller
    reports: ReportedFilters
    hooks_port: int


class _Observer:
    """Tells the controller what the hooks see, once there is one."""

    def __init__(self) -> None:
        self.controller: Controller | None = None

    def observe(self, observation: Observation) -> None:
        if self.controller is not None:
            # Without a compiled result, nobody can tell which filter is before and which behind ours.
            seen = observation.user_filters if observation.config_hash else None
            self.controller.observed(observation.gateway, seen, observation.findings)


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Raises BadFlags; SystemExit for `--help` and flags that do not exist."""
    parser = _parser()
    found = parser.parse_args([_two_dashes(each) for each in arguments])
    namespace = environment.get("POD_NAMESPACE", "")
    if not namespace:
        raise BadFlags("environment variable POD_NAMESPACE is not set; give it the controller's own namespace")
    host, colon, port = found.port.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadFlags(f'invalid port: "{found.port}", must be like ":1063"')
    if found.logLevel.lower() not in LEVELS:
        raise BadFlags(f'invalid log level: "{found.logLevel}"')
    if not found.rootPrefix.startswith("/"):
        raise BadFlags(f'invalid root prefix: "{found.rootPrefix}", must begin with "/"')
    return Options(
        namespace=namespace,
        identity=f"{environment.get('POD_NAME') or socket.gethostname()}_{secrets.token_hex(8)}",
        host=host.strip("[]") or "0.0.0.0",  # noqa: S104  a pod has one address, and Envoy Gateway calls it
        port=int(port),
        root_prefix=found.rootPrefix,
        watch_namespaces=_names(found.watchNamespaces),
        leader_election=found.enableLeaderElection,
        log_level=found.logLevel.lower(),
        gateway_controller_name=found.gatewayControllerName,
    )


def _names(text: str) -> tuple[str, ...]:
    names = (each.strip() for each in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aigw-controller", allow_abbrev=False)
    parser.add_argument("--port", default=":1063", help="address of the extension hooks (default %(default)s)")
    parser.add_argument("--rootPrefix", default="/", help="path prefix of all AI routes (default %(default)s)")
    parser.add_argument("--watchNamespaces", default="", help="comma list; empty: all")
    parser.add_argument(
        "--enableLeaderElection", type=_truth, nargs="?", const=True, default=True, help="default %(default)s"
    )
    parser.add_argument("--logLevel", default="info", help="debug, info, warn or error (default %(default)s)")
    parser.add_argument(
        "--gatewayControllerName",
        default=CONTROLLER_NAME,
        help="spec.controllerName of the GatewayClasses that Envoy Gateway serves (default %(default)s)",
    )
    parser.add_argument(
        "--maxRecvMsgSize", type=int, default=0, help="accepted for compatibility: hook calls of any size are taken"
    )
    return parser


def _two_dashes(argument: str) -> str:
    return f"-{argument}" if argument.startswith("-") and not argument.startswith("--") else argument


def _truth(text: str) -> bool:
    try:
        return {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not true or false") from None


async def run(
    options: Options,
    api: Api,
    *,
    sinks: Sequence[ConfigSink] = (),
    started: Callable[[Process], None] | None = None,
) -> None:
    """Until cancelled. `sinks` get the configurations besides the hooks. Raises OSError when the port is taken, and
    ApiError or BadTokenKey for what waiting does not mend."""
    observer = _Observer()
    results = CompiledResults()
    hooks = HookServer(HookService(results, observer))
    port = await hooks.start(f"{options.host}:{options.port}")
    _log.info("extension hooks on port %d", port)
    try:
        reports = ReportedFilters()
        controller = Controller(
            api,
            World(Settings(token_key=await _token_key(options, api), root_prefix=options.root_prefix)),
            Store(options.gateway_controller_name),
            (results, *sinks),
            reports,
            _now,
            namespaces=options.watch_namespaces,
            elector=Elector(api, options.namespace, options.identity, _now) if options.leader_election else None,
        )
        observer.controller = controller
        if started is not None:
            started(Process(controller, reports, port))
        async with asyncio.TaskGroup() as group:
            group.create_task(controller.run())
            group.create_task(_freeze(controller))
    finally:
        await hooks.stop()


async def _freeze(controller: Controller) -> None:
    """What is there at the start mostly stays: looking through it for garbage takes 2 s at 10,000 routes, in which no
    hook is answered."""
    await controller.ready.wait()
    gc.freeze()


async def _token_key(options: Options, api: Api) -> bytes:
    """Waits for an API server that is away. Raises ApiError when it says no, BadTokenKey."""
    attempt = 0
    while True:
        try:
            return await token_key.get_or_create(api, options.namespace)
        except ApiError as exc:
            if exc.status and not exc.status >= 500:
                raise
            _log.warning("the API server cannot be reached yet: %s", exc)
        await backed_off(attempt, longest=5.0, jitter=0)
        attempt += 1


def _now() -> datetime:
    return datetime.now(UTC)


async def _serve(options: Options) -> int:
    """The process until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    async with KubernetesApi(await KubernetesApi.configuration()) as api:
        task = asyncio.create_task(run(options, api))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    try:
        options = read_options(sys.argv[1:] if arguments is None else arguments, os.environ)
    except BadFlags as exc:
        sys.stderr.write(f"aigw-controller: {exc}\n")
        return 2
    logging.basicConfig(
        level=LEVELS[options.log_level], format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        return asyncio.run(_serve(options))
    except (NoCluster, OSError, ApiError, BadTokenKey) as exc:
        _log.error("%s", exc)
        return 1
    except Exception:
        _log.exception("the controller failed")
        return 1


if __name__ == "__main__":
    sys.exit(main())
