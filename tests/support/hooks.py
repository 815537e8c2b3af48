"""Recorded hook requests of real Envoy Gateways, AI routes that fit them, and what the hooks make of both.

python -m tests.support.hooks     # rewrites the expected differences (tests/data/hooks/*/*.diff)
"""

import base64
import difflib
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from extension_server.compile.gateway import compile_gateway
from extension_server.compile.result import Compiled, ObjectRef
from extension_server.hooks import messages, naming
from extension_server.hooks.messages import Method
from extension_server.hooks.observation import Observation
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from extension_server.xds import names, pool
from extension_server.xds.resources import Mediation, Resources, routes_of
from tests.support.manifests import snapshot

DATA = Path(__file__).parent.parent / "data" / "hooks"
GATEWAY = ObjectRef("Gateway", "default", "gw")
TYPES = {
    "clusters": pool.CLUSTER,
    "listeners": pool.LISTENER,
    "routes": pool.ROUTE_CONFIGURATION,
    "load_assignment": pool.CLUSTER_LOAD_ASSIGNMENT,
}


BROKEN = b"\x0a\xff"
"""a field that says it is longer than the message"""


@dataclass(frozen=True)
class Scenario:
    """One folder and one version of Envoy Gateway."""

    folder: Path
    version: str

    def __str__(self) -> str:
        return f"{self.folder.name}-{self.version}"

    @property
    def translation(self) -> bytes:
        return gzip.decompress((self.folder / f"{self.version}.translation.bin.gz").read_bytes())

    @property
    def endpoints(self) -> list[bytes]:
        return [gzip.decompress(each.read_bytes()) for each in sorted(self.folder.glob(f"{self.version}.endpoints-*"))]

    @property
    def expected(self) -> Path:
        return self.folder / f"{self.version}.diff"

    def compiled(self, **settings: Any) -> Compiled:
        text = (self.folder / "resources.yaml").read_text()
        return compile_gateway(snapshot(text), GATEWAY, token_key=b"key", **settings)

    def results(self, **settings: Any) -> CompiledResults:
        results = CompiledResults()
        results.put(self.compiled(**settings))
        return results


SCENARIOS = [
    Scenario(path.parent, path.name.removesuffix(".translation.bin.gz"))
    for path in sorted(DATA.glob("*/*.translation.bin.gz"))
]


def scenario(name: str, version: str = "1.8.1") -> Scenario:
    return Scenario(DATA / name, version)


def options_broken(cluster: Any) -> None:
    """Makes a cluster that cannot be patched for plan attempt."""
    cluster.typed_extension_protocol_options[pool.HTTP_PROTOCOL_OPTIONS].type_url = f"x/{pool.HTTP_PROTOCOL_OPTIONS}"
    cluster.typed_extension_protocol_options[pool.HTTP_PROTOCOL_OPTIONS].value = BROKEN


def filter_broken(listener: Any) -> None:
    """The connection manager is fine; a filter of ours that is there already is not."""
    for network_filter in listener.default_filter_chain.filters:
        manager = pool.unpacked(network_filter.typed_config)
        config = {
            "type_url": "x/envoy.extensions.filters.http.header_to_metadata.v3.Config",
            "value": BROKEN,
        }
        manager.http_filters.insert(
            0, pool.message(pool.HTTP_FILTER, name="envoy.filters.http.header_to_metadata", typed_config=config)
        )
        pool.replace(network_filter.typed_config, manager)


class Observed:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[Observation] = []
        self.away: list[ObjectRef] = []

    def turned_away(self, gateway: ObjectRef, again: float) -> None:
        self.away.append(gateway)

    def observe(self, observation: Observation) -> None:
        self.all.append(observation)

    @property
    def reasons(self) -> set[str]:
        return {finding.reason for each in self.all for finding in each.findings}


def answered(service: HookService, method: Method, data: bytes) -> Any:
    """The decoded answer. Fails for a refused request."""
    answer = service.answer(method, data)
    assert isinstance(answer, bytes), answer
    return messages.response(method).FromString(answer)


def again(answer: Any) -> bytes:
    """The request that would bring an answer of the Translation hook back."""
    request = messages.request("PostTranslateModify")()
    for field in messages.TRANSLATION:
        getattr(request, field).extend(getattr(answer, field))
    return bytes(request.SerializeToString())


def decoded(field: str, message: Any) -> list[Any]:
    """`clusters`, `listeners` or `routes` of a request or an answer, as Envoy's messages."""
    return [pool.message_class(TYPES[field]).FromString(raw) for raw in getattr(message, field)]


def statuses(answer: Any) -> dict[str, int]:
    """Route name → status of its direct response; 0: it leads to a cluster."""
    return {
        route.name: route.direct_response.status
        for configuration in decoded("routes", answer)
        for host in configuration.virtual_hosts
        for route in host.routes
    }


def named(resources: Resources, mediation: Mediation) -> None:
    """Gives clusters of AI rules the names that the hooks give them, message by message."""
    new_names = {}
    for cluster in resources.clusters:
        found = names.cluster(cluster.name)
        rule = mediation.rule(found.rule) if found is not None else None
        if rule is None:
            continue
        plain, name = cluster.name, naming.name_of(pool.serialized(cluster), cluster.name, rule.plan)
        if name == plain:
            continue
        new_names[plain] = cluster.name = name
        cluster.alt_stat_name = plain
        if cluster.HasField("load_assignment"):
            cluster.load_assignment.cluster_name = name
        else:
            cluster.eds_cluster_config.eds_config.initial_fetch_timeout.seconds = int(naming.EDS_WAIT)
    for route in (route for table in resources.routes for route in routes_of(table)):
        if mediation.rule(names.route(route.name)) is None or not route.HasField("route"):
            continue
        if route.route.cluster in new_names:
            route.route.cluster = new_names[route.route.cluster]
        for each in route.route.weighted_clusters.clusters:
            each.name = new_names.get(each.name, each.name)


def differences(scenario: Scenario) -> str:
    """What the hooks change, as a unified diff of YAML."""
    service = HookService(scenario.results())
    parts = []
    for index, data in enumerate(scenario.endpoints):
        before = messages.request("PostEndpointsModify").FromString(data)
        after = answered(service, "PostEndpointsModify", data)
        type_ = pool.message_class(TYPES["load_assignment"])
        pair = [type_.FromString(each.resource) for each in (before, after)]
        parts += _diff(f"endpoints-{index}", *([each] for each in pair))
    request = messages.request("PostTranslateModify").FromString(scenario.translation)
    answer = answered(service, "PostTranslateModify", scenario.translation)
    assert [*answer.secrets] == [*request.secrets]
    for field in ("clusters", "listeners", "routes"):
        parts += _diff(field, decoded(field, request), decoded(field, answer))
    # The hash stands for the filter's configuration, which has tests of its own.
    return "".join(parts).replace(scenario.compiled().config_hash, "HASH")


def _diff(name: str, before: list[Any], after: list[Any]) -> list[str]:
    texts = [yaml.safe_dump([readable(each) for each in side]).splitlines(keepends=True) for side in (before, after)]
    return [*difflib.unified_diff(*texts, fromfile=f"{name} of Envoy Gateway", tofile=f"{name} patched", n=2)]


def readable(message: Any) -> Any:
    """A message as plain data; typed configs opened, where their types are known."""
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Any":
        try:
            return {"@type": pool.type_name(message), **readable(pool.unpacked(message))}
        except KeyError:
            return {"@type": message.type_url, "value": base64.b64encode(message.value).decode()}
    if name == "google.protobuf.Struct":
        return {key: readable(value) for key, value in message.fields.items()}
    if name == "google.protobuf.Value":
        kind = message.WhichOneof("kind")
        if kind == "list_value":
            return [readable(each) for each in message.list_value.values]
        return readable(message.struct_value) if kind == "struct_value" else getattr(message, kind)
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return {str(key): _plain(of, each) for key, each in value.items()}
    return [_plain(field, each) for each in value] if field.is_repeated else _plain(field, value)


def _plain(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return readable(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name if value in field.enum_type.values_by_number else value
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


if __name__ == "__main__":
    for each in SCENARIOS:
        each.expected.write_text(differences(each))
