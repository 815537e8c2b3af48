"""A real Envoy with standalone's base xDS and our patches, and a filter whose life is the test's affair.

gateway = Patched(directory, text)           # `text`: resources, with PORT for the listener's
with gateway.envoy(socket) as envoy:         # there may be a filter on `socket`, or none
    with gateway.filter(): ...               # the real one, on a socket of its own
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from aigw.standalone import resources as files_of_resources
from aigw.standalone import verdicts
from aigw.standalone.base_xds import build, tls
from aigw.standalone.base_xds.world import World
from aigw.standalone.default_log import default_access_log
from aigw.standalone.xds_files import XdsFiles
from extension_server.compile.gateway import compile_gateway
from extension_server.xds import patches, route_table
from extension_server.xds.resources import Mediation, Resources
from tests.support.envoy import RunningEnvoy, free_port, running_envoy
from tests.support.filter_process import FilterProcess, running_filter


class Patched:
    def __init__(self, directory: Path, text: str, *, user_filters: Collection[str] = ()) -> None:
        """`user_filters`: listeners that compile takes for such with a filter of the user's."""
        self.port = free_port()
        self._directory = directory
        self._loaded = files_of_resources.read(text.replace("PORT", str(self.port)), "file", {})
        gateway = verdicts.the_gateway(self._loaded)
        self.compiled = compile_gateway(
            self._loaded.snapshot, gateway, token_key=b"k" * 32, user_filters=set(user_filters)
        )
        self._document = directory / "filter.json"
        self._document.write_bytes(self.compiled.document)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def filter(self, *arguments: str) -> Iterator[FilterProcess]:
        with running_filter("--config", str(self._document), *arguments, module="filters.main") as process:
            yield process

    @contextlib.contextmanager
    def envoy(self, socket: str, change: Callable[[Resources], None] = lambda _: None) -> Iterator[RunningEnvoy]:
        """`change` is done to the base xDS before our patches."""
        resources = build.build(
            World(self._loaded.snapshot, self.compiled),
            tls.Files(self._directory, self._directory),
            default_log=default_access_log(),
            address="127.0.0.1",
        )
        change(resources)
        patches.apply(resources, Mediation(self.compiled, (socket,)))
        route_table.fold(resources)
        written = XdsFiles(self._directory)
        written.write_clusters(resources.clusters)
        written.write_routes(resources.routes)
        written.write_listeners(resources.listeners)
        with running_envoy(_bootstrap(written)) as envoy:
            yield envoy


def _bootstrap(written: XdsFiles) -> dict[str, Any]:
    def from_file(path: Path) -> dict[str, Any]:
        return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}

    return {
        "node": {"id": "test", "cluster": "test"},
        "dynamic_resources": {"cds_config": from_file(written.cds), "lds_config": from_file(written.lds)},
    }
