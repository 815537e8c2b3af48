"""Writes `extension_server/xds/descriptors.binpb.xz`: Envoy's message types, as far as we read or write them.

    python hack/generate_descriptors.py          # `make generate`: needs the package registry
    python hack/generate_descriptors.py --check  # `make check-generated`: no network, a few milliseconds

The types come from a pinned xds-protos, installed into a throw-away environment: beside us it would overwrite files of
opentelemetry-proto and googleapis-common-protos. What is kept is the transitive closure of ROOTS without options
(validation rules and annotations are of no use at run time, and are a third of the bytes).

`descriptors.lock` records the inputs (this script) and the output, so that a stale file is found without generating it.
"""

import argparse
import hashlib
import lzma
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = "xds-protos==1.85.0"
FOLDER: Final = Path(__file__).parent.parent / "extension_server" / "xds"
OUTPUT: Final = FOLDER / "descriptors.binpb.xz"
LOCK: Final = FOLDER / "descriptors.lock"

ROOTS: Final = (
    "envoy/config/accesslog/v3/accesslog.proto",
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/extensions/access_loggers/file/v3/file.proto",
    "envoy/extensions/access_loggers/filters/cel/v3/cel.proto",
    "envoy/extensions/access_loggers/open_telemetry/v3/logs_service.proto",
    "envoy/extensions/clusters/dns/v3/dns_cluster.proto",
    "envoy/extensions/filters/http/api_key_auth/v3/api_key_auth.proto",
    "envoy/extensions/filters/http/buffer/v3/buffer.proto",
    "envoy/extensions/filters/http/ext_proc/v3/ext_proc.proto",
    "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata.proto",
    "envoy/extensions/filters/http/jwt_authn/v3/config.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.proto",
    "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/service/discovery/v3/discovery.proto",
    "envoy/type/matcher/v3/http_inputs.proto",
)


def main() -> int:
    """Exit code 1: the generated file is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare with descriptors.lock")
    parser.add_argument("--extract", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.extract:
        Path(arguments.extract).write_bytes(_extract())
        return 0
    if arguments.check:
        return _check()
    with tempfile.TemporaryDirectory() as name:
        OUTPUT.write_bytes(lzma.compress(_generate(Path(name)), preset=9 | lzma.PRESET_EXTREME))
    LOCK.write_text(_lock())
    return 0


def _check() -> int:
    if LOCK.is_file() and OUTPUT.is_file() and LOCK.read_text() == _lock():
        return 0
    print(f"{OUTPUT.name} is stale: run `make generate`", file=sys.stderr)
    return 1


def _lock() -> str:
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in (Path(__file__), OUTPUT)
    )


def _generate(folder: Path) -> bytes:
    """Runs `_extract` in an environment of its own."""
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE], check=True)
    result = folder / "descriptors.binpb"
    subprocess.run([python, __file__, "--extract", result], check=True)
    return result.read_bytes()


def _extract() -> bytes:
    """A serialized FileDescriptorSet, every file after those that it imports. Runs where xds-protos is installed."""
    import importlib

    from google.protobuf import descriptor_pb2, descriptor_pool

    for root in ROOTS:
        importlib.import_module(root.removesuffix(".proto").replace("/", ".") + "_pb2")
    pool = descriptor_pool.Default()
    done: dict[str, Any] = {}
    result = descriptor_pb2.FileDescriptorSet()

    def visit(name: str) -> None:
        if name in done:
            return
        source = pool.FindFileByName(name)
        file = descriptor_pb2.FileDescriptorProto()
        source.CopyToProto(file)
        done[name] = file
        used: set[str] = set()
        _strip(file, used)
        homes = {_home(pool, type_name) for type_name in used}
        wanted = sorted(homes - {name})
        del file.dependency[:], file.public_dependency[:], file.weak_dependency[:]
        file.dependency.extend(wanted)
        for dependency in wanted:
            visit(dependency)
        result.file.append(file)

    for root in ROOTS:
        visit(root)
    return bytes(result.SerializeToString(deterministic=True))


def _home(pool: Any, type_name: str) -> str:
    """The file that declares a message or enum."""
    return str(pool.FindFileContainingSymbol(type_name.lstrip(".")).name)


def _strip(owner: Any, used: set[str]) -> None:
    """Drops options from a file or message and collects the names of the types that its fields have."""
    if not getattr(owner.options, "map_entry", False):
        owner.ClearField("options")
    owner.ClearField("extension")
    for field in getattr(owner, "field", ()):
        field.ClearField("options")
        if field.type_name:
            used.add(field.type_name)
    for oneof in getattr(owner, "oneof_decl", ()):
        oneof.ClearField("options")
    for enum in owner.enum_type:
        enum.ClearField("options")
        for value in enum.value:
            value.ClearField("options")
    if hasattr(owner, "service"):
        del owner.service[:]
    for message in (*getattr(owner, "message_type", ()), *getattr(owner, "nested_type", ())):
        _strip(message, used)


if __name__ == "__main__":
    sys.exit(main())
