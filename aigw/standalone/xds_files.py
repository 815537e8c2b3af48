"""The xDS files that Envoy watches: `cds.pb`, `lds.pb`, and one file per route configuration.

Each is a DiscoveryResponse whose version is the hash of its content; a file that would not change is not written.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from aigw.standalone.state import write_private
from extension_server.xds import pool
from extension_server.xds.pool import Message


class XdsFiles:
    """Writes into one directory, which exists."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cds = directory / "cds.pb"
        self.lds = directory / "lds.pb"
        self._versions: dict[Path, str] = {}

    def write_clusters(self, clusters: Iterable[Message]) -> str:
        """Returns the version that Envoy will report."""
        return self._write(self.cds, clusters)

    def write_listeners(self, listeners: Iterable[Message]) -> str:
        """The listeners' route configurations must have been written."""
        return self._write(self.lds, [self._with_files(listener) for listener in listeners])

    def write_routes(self, configurations: Iterable[Message]) -> dict[str, str]:
        """Returns the version of each configuration by its name."""
        return {
            configuration.name: self._write(self._routes_file(configuration.name), [configuration])
            for configuration in configurations
        }

    def _routes_file(self, name: str) -> Path:
        return self.directory / f"rds-{hashlib.sha256(name.encode()).hexdigest()[:16]}.pb"

    def _with_files(self, listener: Message) -> Message:
        """The listener with its route configurations read from files instead of from Envoy Gateway's stream."""
        copy = pool.message(pool.LISTENER)
        copy.CopyFrom(listener)
        for chain in (*copy.filter_chains, copy.default_filter_chain):
            for network_filter in chain.filters:
                manager = pool.unpacked(network_filter.typed_config)
                file = str(self._routes_file(manager.rds.route_config_name))
                manager.rds.config_source.path_config_source.path = file
                pool.replace(network_filter.typed_config, manager)
        if not listener.HasField("default_filter_chain"):
            copy.ClearField("default_filter_chain")
        return copy

    def _write(self, path: Path, resources: Iterable[Message]) -> str:
        packed = [pool.packed_message(resource) for resource in resources]
        version = hashlib.sha256(b"".join(each["value"] for each in packed)).hexdigest()[:16]
        if self._versions.get(path) != version:
            response = pool.message(pool.DISCOVERY_RESPONSE, version_info=version, resources=packed)
            write_private(path, pool.serialized(response))
            self._versions[path] = version
        return version
