"""The controller process: extension hooks for Envoy Gateway, and the reconciler behind them.

    python -m extension_server.main --port :1063 --watchNamespaces team-a,team-b

Wiring only; flags are in `options`. The hooks are served before anything else is done, so that Envoy Gateway never
waits for us; then come the watches, then, on the leader, the writes. SIGTERM ends the process in order: no more writes,
the Lease given back, hooks and new pods answered for `shutdownDelay`, then what is in flight. Exit codes: 0 ended by a
signal, 1 something failed (the log says what), 2 wrong flags.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from extension_server import logs, memory, options
from extension_server.admin import AdminServer
from extension_server.compile.result import Compiled, ObjectRef
from extension_server.compile.route import Settings
from extension_server.controller import token_key
from extension_server.controller.client import Api, ApiError, KubernetesApi, NoCluster, backed_off
from extension_server.controller.leader import Elector
from extension_server.controller.measured import MeasuredApi
from extension_server.controller.ports import ConfigSink, ReportedFilters
from extension_server.controller.reconcile import Controller
from extension_server.controller.store import Store
from extension_server.controller.token_key import BadTokenKey
from extension_server.controller.workloads import Workloads
from extension_server.controller.world import World
from extension_server.hooks.server import HookServer
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from extension_server.metrics import Gauge, Metrics
from extension_server.observer import Observer
from extension_server.options import Address, BadFlags, Options
from extension_server.proxies import Proxies
from extension_server.push.feed import Feed
from extension_server.push.identity import Identities
from extension_server.push.presence import Presence
from extension_server.push.server import PushServer
from extension_server.readiness import Readiness
from extension_server.webhook.admission import Admission
from extension_server.webhook.certificates import Names, service_names
from extension_server.webhook.keeper import Keeper
from extension_server.webhook.live import LiveGateways
from extension_server.webhook.server import WebhookServer

T = TypeVar("T")

WEBHOOK: Final = "envoy-ai-gateway-gateway-pod-mutator"
"""Name of the MutatingWebhookConfiguration, before the controller's namespace."""

_log = logging.getLogger("extension_server.main")  # as a program, this is `__main__`


@dataclass(frozen=True, slots=True)
class Process:
    """What runs, for tests."""

    controller: Controller
    reports: ReportedFilters
    hooks_port: int
    webhook_port: int
    metrics_port: int


async def run(
    options: Options,
    api: Api,
    *,
    sinks: Sequence[ConfigSink] = (),
    started: Callable[[Process], None] | None = None,
) -> None:
    """Until cancelled. `sinks` get the configurations besides the hooks. Raises OSError when a port is taken, and
    ApiError or BadTokenKey for what waiting does not mend."""
    metrics = Metrics()
    readiness = Readiness(options.cache_sync_timeout)
    observer = Observer()
    results = CompiledResults(log_attributes=options.log_attributes, warm=False, runs=observer.runs)
    hooks = HookServer(HookService(results, observer), metrics.hook_called)
    admin = AdminServer(metrics, readiness.why_not)
    async with contextlib.AsyncExitStack() as stack:
        port = await hooks.start(str(options.hooks))
        stack.push_async_callback(hooks.stop)
        metrics_port = await admin.start(options.hooks.host, options.metrics_port)
        stack.push_async_callback(admin.stop)
        _log.info("extension hooks on port %d, metrics and probes on port %d", port, metrics_port)

        # What is known. From here on, the API server is waited for.
        reports = ReportedFilters()
        measured = MeasuredApi(api, metrics.requested)
        world, store = World(await _settings(options, measured)), Store(options.gateway_controller_name)
        live = LiveGateways(measured, options.gateway_controller_name, options.watch_namespaces)
        proxies = Proxies(options, world, store, live, lambda: controller.ready.is_set())
        proxies.cluster_is(*await _once(measured.server_version))

        # Certificates, the filter beside every proxy, and the way to it.
        keeper = _keeper(options, measured, lambda: controller.leading)
        readiness.certified = keeper.ready
        workloads = Workloads(
            measured,
            proxies.wanted,
            lambda: keeper.authorities() if keeper.ready.is_set() else None,
            _now,
            namespaces=_proxy_namespaces(options),
            registered=lambda: keeper.registered,
        )
        keeper.subscribe_registration(workloads.wake)
        feed = Feed()
        push = PushServer(feed, Identities(measured, options.envoy_gateway_namespace), Presence(reports))
        push.accept(False)

        # From the watches to all of them.
        controller = Controller(
            measured,
            world,
            store,
            (results, feed, _Wake(workloads), *sinks),
            reports,
            _now,
            namespaces=options.watch_namespaces,
            elector=Elector(measured, options.namespace, options.identity, _now) if options.leader_election else None,
            measure=metrics.reconciled,
            duties=(workloads.run, lambda: _while_leading(push)),
        )
        readiness.controller = controller
        observer.start(controller)
        metrics.watch(_gauges(controller, reports, keeper))
        keeper.subscribe(lambda _: workloads.wake())
        keeper.subscribe(lambda bundle: push.use(bundle.certificate, bundle.key))

        # The filter into new pods: on every replica.
        admission = Admission(
            settings=proxies.settings,
            gateway=proxies.known,
            ca=keeper.authorities,
            proxies_namespace=options.envoy_gateway_namespace,
        )
        webhook = WebhookServer(admission, keeper.context)
        webhook_port = await webhook.start(options.hooks.host, options.webhook_port)
        stack.push_async_callback(webhook.stop)
        # Calls still come to a replica that is told to end, until every node knows that it is no longer to be called.
        stack.push_async_callback(asyncio.sleep, options.shutdown_delay)

        if started is not None:
            started(Process(controller, reports, port, webhook_port, metrics_port))
        async with asyncio.TaskGroup() as group:
            group.create_task(keeper.run())
            group.create_task(push.serve(str(Address(options.hooks.host, options.config_port))))
            group.create_task(controller.run())
            group.create_task(_when_warm(controller, results, hooks))


async def _when_warm(controller: Controller, results: CompiledResults, hooks: HookServer) -> None:
    await controller.ready.wait()
    results.warmed()
    hooks.warmed()
    # What is there at the start mostly stays: looking through it for garbage takes 2 s at 10,000 routes, in which no
    # hook is answered.
    gc.freeze()


async def _while_leading(push: PushServer) -> None:
    """Filters follow the replica that writes the status."""
    push.accept(True)
    try:
        await asyncio.Event().wait()
    finally:
        push.accept(False)


class _Wake:
    """What proxies must be started with may have changed with the routes of a Gateway."""

    def __init__(self, workloads: Workloads) -> None:
        self._workloads = workloads

    def put(self, compiled: Compiled) -> None:
        self._workloads.wake()

    def remove(self, gateway: ObjectRef) -> None:
        self._workloads.wake()


def _keeper(options: Options, api: Api, leads: Callable[[], bool]) -> Keeper:
    certificates = options.certificates
    return Keeper(
        api,
        options.namespace,
        certificates.secret_name,
        f"{WEBHOOK}.{options.namespace}",
        service_names(options.service_name, options.namespace),
        _now,
        names=Names(
            authority=certificates.ca_name, certificate=certificates.certificate_name, key=certificates.key_name
        ),
        leads=leads,
    )


def _proxy_namespaces(options: Options) -> tuple[str, ...]:
    """Where proxies may be: with Envoy Gateway, or with their Gateway."""
    watched = options.watch_namespaces
    return tuple(dict.fromkeys((options.envoy_gateway_namespace, *watched))) if watched else ()


def _gauges(controller: Controller, reports: ReportedFilters, keeper: Keeper) -> Sequence[Gauge]:
    def expiry() -> float | None:
        return keeper.bundle().expires().timestamp() if keeper.ready.is_set() else None

    return (
        Gauge("aigw_ready", "1 when everything that was there at the start is compiled", controller.ready.is_set),
        Gauge("aigw_leader", "1 when this replica writes", lambda: controller.leading),
        Gauge(
            "aigw_connected_filters",
            "Filters that this replica pushes configuration to",
            lambda: {
                f"{gateway.namespace}/{gateway.name}": len(reports.running(gateway) or ())
                for gateway in controller.gateways
            },
            label="gateway",
        ),
        Gauge("aigw_certificate_expiry_timestamp_seconds", "When the certificate of webhook and push ends", expiry),
    )


async def _settings(options: Options, api: Api) -> Settings:
    return Settings(
        token_key=await _once(lambda: token_key.get_or_create(api, options.namespace)),
        root_prefix=options.root_prefix,
        endpoint_prefixes=options.endpoint_prefixes,
    )


async def _once(ask: Callable[[], Awaitable[T]]) -> T:
    """Waits for an API server that is away. Raises ApiError when it says no, and what `ask` raises besides."""
    attempt = 0
    while True:
        try:
            return await ask()
        except ApiError as exc:
            if exc.status and not exc.status >= 500:
                raise
            _log.warning("the API server cannot be reached yet: %s", exc)
        await backed_off(attempt, longest=5.0, jitter=0)
        attempt += 1


def _now() -> datetime:
    return datetime.now(UTC)


async def _serve(found: Options) -> int:
    """The process until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    async with KubernetesApi(await KubernetesApi.configuration()) as api:
        task = asyncio.create_task(run(found, api))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    try:
        found = options.read(sys.argv[1:] if arguments is None else arguments, os.environ)
    except BadFlags as exc:
        sys.stderr.write(f"{options.PROGRAM}: {exc}\n")
        return 2
    memory.keep_large_blocks()
    memory.collect_rarely()
    logs.set_up(found.log_level, found.log_format)
    for sentence in found.ignored:
        _log.warning("%s", sentence)
    try:
        return asyncio.run(_serve(found))
    except (NoCluster, OSError, ApiError, BadTokenKey) as exc:
        _log.error("%s", exc)
        return 1
    except Exception:
        _log.exception("the controller failed")
        return 1


if __name__ == "__main__":
    sys.exit(main())
