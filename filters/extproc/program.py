"""What the filter process serves: configurations in, one exchange per stream. Wired by `filters.main`."""

from collections.abc import Callable, Iterable, Mapping

from filters.contract.config import CONFIG_HEADER, LEVEL_HEADER, LISTENER_HEADER
from filters.contract.sections import Sections
from filters.endpoints.base import Endpoint
from filters.extproc.attempt_exchange import AttemptExchange
from filters.extproc.exchange import Exchange
from filters.extproc.listener_exchange import ListenerExchange
from filters.extproc.live import LiveRequests
from filters.providers.base import Provider
from filters.runtime.clock import Clock
from filters.runtime.credentials import Credentials
from filters.runtime.snapshot import Builder
from filters.runtime.store import Prepared, SnapshotStore
from filters.telemetry import prometheus
from filters.telemetry.aggregate import Aggregate


class AiFilters:
    """The AI half of a worker. See `filters.process.worker.Program`."""

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        endpoints: Iterable[Endpoint],
        clock: Clock,
        new_token: Callable[[], str],
        process: str = "0",
    ) -> None:
        """`new_token` gives unguessable, URL-safe texts; `process` is the name by which others ask this process."""
        credentials = Credentials()
        self.store = SnapshotStore(
            Builder(providers=providers, endpoints=endpoints, credentials=credentials), credentials, now=clock.monotonic
        )
        self.aggregate = Aggregate()
        self._clock = clock
        self._live = LiveRequests(process, new_token)

    def prepare(self, document: bytes) -> Callable[[], str]:
        """See `filters.process.worker.Program`. Raises filters.runtime.errors.ConfigError (a ValueError)."""
        return self._activation(self.store.prepare(document))

    def prepare_sections(self, whole: Sections) -> Callable[[], str]:
        """See `filters.process.worker.Program`. Raises ConfigError."""
        return self._activation(self.store.prepare_sections(whole))

    def _activation(self, prepared: Prepared) -> Callable[[], str]:
        def activate() -> str:
            self.store.activate(prepared)
            return prepared.hash

        return activate

    def load(self, document: bytes) -> str:
        """Makes the configuration the newest; returns its hash. Raises ConfigError, and keeps what there was."""
        return self.prepare(document)()

    def exchange(self, metadata: Mapping[str, str]) -> Exchange:
        """`filters.extproc.exchange.ExchangeFactory`"""
        if metadata.get(LEVEL_HEADER) == "upstream":
            return AttemptExchange(self._live)
        return ListenerExchange(
            self.store.find(metadata.get(CONFIG_HEADER, "")),
            metadata.get(LISTENER_HEADER, ""),
            live=self._live,
            clock=self._clock,
            recorder=self.aggregate,
        )

    def metrics(self) -> bytes:
        """Prometheus text."""
        return prometheus.render(self.aggregate)

    @property
    def in_flight(self) -> int:
        """Requests that attempts may still ask for."""
        return len(self._live)
