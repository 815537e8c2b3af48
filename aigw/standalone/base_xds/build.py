"""All of base xDS in one call."""

from aigw.standalone.base_xds import access_log, clusters, listeners, routes, security, tls
from aigw.standalone.base_xds.world import World
from extension_server.api import envoy_gateway as eg
from extension_server.xds.resources import Resources


def build(world: World, files: tls.Files, *, default_log: eg.AccessLog, address: str) -> Resources:
    """Listeners are on `address`; `default_log` is for a Gateway whose EnvoyProxy says nothing about access logs.

    Raises world.NotServable naming the object and the field.
    """
    return Resources(
        listeners=listeners.build(world, files, default_log, address),
        routes=routes.build(world),
        clusters=[
            *clusters.build(world, files),
            *security.jwks_clusters(world, files),
            *access_log.build_clusters(world, files),
        ],
    )
