"""Recorded xDS of real Envoy Gateways, and compiled rules to patch it with."""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from extension_server.compile.result import Compiled, CompiledBackend, CompiledRule, ObjectRef
from extension_server.xds import pool
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import FilterConfig, Plan
from filters.contract.sections import split

RECORDED = Path(__file__).parent.parent / "unit" / "extension_server" / "xds" / "recorded"
ROUTE = ObjectRef("HTTPRoute", "default", "llm")


def _request_class() -> Any:
    """PostTranslateModifyRequest with resources as bytes: the same on the wire."""
    file = descriptor_pb2.FileDescriptorProto(name="request.proto", syntax="proto3")
    declared = file.message_type.add(name="Request")
    field = descriptor_pb2.FieldDescriptorProto
    for name, number in (("clusters", 2), ("listeners", 4), ("routes", 5)):
        declared.field.add(name=name, number=number, type=field.TYPE_BYTES, label=field.LABEL_REPEATED)
    private = descriptor_pool.DescriptorPool()
    private.Add(file)  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(private.FindMessageTypeByName("Request"))  # type: ignore[no-untyped-call]


def recorded(name: str, folder: Path = RECORDED) -> Resources:
    request = _request_class().FromString((folder / f"{name}.bin").read_bytes())
    return Resources(
        listeners=[pool.message_class(pool.LISTENER).FromString(each) for each in request.listeners],
        routes=[pool.message_class(pool.ROUTE_CONFIGURATION).FromString(each) for each in request.routes],
        clusters=[pool.message_class(pool.CLUSTER).FromString(each) for each in request.clusters],
    )


def backends(*priorities: int, first: int = 0) -> tuple[CompiledBackend, ...]:
    return tuple(
        CompiledBackend(
            ref=index,
            name=f"default/b{index}/route/llm/rule/0/ref/{index}",
            host=f"b{index}",
            priority=priority,
            weight=1,
        )
        for index, priority in enumerate(priorities, first)
    )


def mediation(
    *rules: tuple[CompiledBackend, ...],
    plan: Plan = "single",
    stream_idle_timeout: float | None = None,
    authority: str = "",
) -> Mediation:
    """HTTPRoute default/llm with these rules and the generated last one."""
    config = FilterConfig(gateway="default/gw")
    compiled = Compiled(
        gateway=ObjectRef("Gateway", "default", "gw"),
        objects=(),
        rules=tuple(
            CompiledRule(
                http_route=ROUTE,
                http_rule=index,
                route="default/llm",
                rule=index,
                token="t",
                plan=plan,
                reason="",
                backends=each,
                stream_idle_timeout=stream_idle_timeout,
                authority=authority,
            )
            for index, each in enumerate(rules)
        ),
        fallbacks=((ROUTE, len(rules)),),
        filter_config=config,
        sections=split(config),
        findings=(),
    )
    return Mediation(compiled, ("/run/filter.sock",))


def bytes_of(resources: Resources) -> list[bytes]:
    return [pool.serialized(each) for each in (*resources.listeners, *resources.routes, *resources.clusters)]


def managers(resources: Resources) -> dict[str, Any]:
    """Listener name → its first connection manager."""
    found = {}
    for listener in resources.listeners:
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for network_filter in chain.filters:
                if pool.type_name(network_filter.typed_config) == pool.HTTP_CONNECTION_MANAGER:
                    found[listener.name] = pool.unpacked(network_filter.typed_config)
    return found
