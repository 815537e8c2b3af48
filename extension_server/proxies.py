"""Which of Envoy Gateway's proxies get the filter beside them, and what it is started with: what the admission webhook
and the rollouts ask, answered from what the controller knows."""

from collections.abc import Callable, Mapping

from extension_server.api import aigateway
from extension_server.api.aigateway import GatewayConfig
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import kind_of
from extension_server.controller.store import Store
from extension_server.controller.world import World
from extension_server.options import Options
from extension_server.sidecar import container
from extension_server.sidecar.container import Settings
from extension_server.webhook.admission import Known, NotKnown
from extension_server.webhook.live import LiveGateways


class Proxies:
    def __init__(
        self, options: Options, world: World, store: Store, live: LiveGateways, ready: Callable[[], bool]
    ) -> None:
        """`ready`: everything is known. `live` is asked what is not."""
        self._options = options
        self._world = world
        self._store = store
        self._live = live
        self._ready = ready
        self._native: bool | None = None

    def cluster_is(self, major: str, minor: str) -> None:
        """The API server's version."""
        self._native = container.native_sidecars(major, minor)

    def settings(self) -> Settings:
        """Raises NotKnown."""
        if self._native is None:
            raise NotKnown("the API server's version is not known yet")
        ext_proc = self._options.ext_proc
        return Settings(
            image=ext_proc.image,
            pull_policy=ext_proc.image_pull_policy,
            pull_secrets=ext_proc.image_pull_secrets,
            environment=ext_proc.extra_env_vars,
            log_level=ext_proc.log_level,
            log_format=ext_proc.log_format,
            config_address=self._options.config_address,
            native=self._native,
        )

    async def known(self, gateway: ObjectRef) -> Known:
        """Raises NotKnown."""
        if not self._ready() or self._world.compiled(gateway) is None:
            return await self._live.known(gateway)
        return Known(self._mediated(gateway), self._config(gateway))

    def wanted(self) -> Mapping[ObjectRef, str]:
        """Gateways with AI routes → hash of what the filter is started with. Raises NotKnown."""
        if not self._ready():
            raise NotKnown("the controller has just started")
        settings = self.settings()
        return {
            gateway: container.template_hash(settings, self._config(gateway))
            for gateway in self._world.gateways()
            if self._mediated(gateway)
        }

    def _mediated(self, gateway: ObjectRef) -> bool:
        return self._world.compiled(gateway) is not None and bool(self._world.routes_of(gateway))

    def _config(self, gateway: ObjectRef) -> GatewayConfig | None:
        held = self._store.held(gateway)
        annotations = held.object.metadata.annotations if held and held.object else {}
        name = annotations.get(aigateway.GATEWAY_CONFIG_ANNOTATION)
        found = self._store.held(ObjectRef(kind_of(GatewayConfig), gateway.namespace, name)) if name else None
        return found.object if found and isinstance(found.object, GatewayConfig) else None
