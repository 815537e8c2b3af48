"""The files that Envoy watches."""

from pathlib import Path

from aigw.standalone.xds_files import XdsFiles
from extension_server.xds import pool
from extension_server.xds.pool import Message
from tests.support.xds import recorded

NAME = "1.8-b04-fallback-priorities"


def response(path: Path) -> Message:
    return pool.message_class(pool.DISCOVERY_RESPONSE).FromString(path.read_bytes())


def test_listeners_read_their_routes_from_the_files_beside_them(tmp_path: Path) -> None:
    resources = recorded(NAME)
    files = XdsFiles(tmp_path)
    versions = files.write_routes(resources.routes)
    files.write_listeners([each for each in resources.listeners if each.name == "default/gw/http"])
    (listener,) = [pool.unpacked(each) for each in response(files.lds).resources]
    manager = pool.unpacked(listener.default_filter_chain.filters[0].typed_config)
    routes = response(Path(manager.rds.config_source.path_config_source.path))
    assert [pool.unpacked(each) for each in routes.resources] == resources.routes
    assert versions == {"default/gw/http": routes.version_info}
    original = pool.unpacked(resources.listeners[1].default_filter_chain.filters[0].typed_config)
    assert original.rds.config_source.HasField("ads"), "what was given is not changed"


def test_the_version_follows_from_the_content_and_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    files = XdsFiles(tmp_path)
    clusters = recorded(NAME).clusters
    version = files.write_clusters(clusters)
    written = files.cds.stat()
    assert files.write_clusters(clusters) == version
    assert files.cds.stat().st_ino == written.st_ino
    clusters[0].name = "other"
    assert files.write_clusters(clusters) != version
    assert files.cds.stat().st_ino != written.st_ino
