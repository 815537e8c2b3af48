"""Plan `attempt`: the upstream-level ext_proc filter, which translates anew for the host that Envoy chose.

Request headers only, on a cluster of its own. The exchange that it belongs to is found by the dynamic metadata that the
listener level set (docs/adr/0005): upstream filters see the downstream request's dynamic metadata, and Envoy 1.38.3
forwards it from there (tests/standalone, failover). Its answer replaces the body while headers are still open, for
which Envoy drops content-length; a header mutation right after it restores the length from metadata, lest every
provider get a chunked body.
"""

from typing import Final

from extension_server.xds import names, pool, processor
from extension_server.xds.endpoints import BACKEND_KEY, HOST_KEY
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources
from extension_server.xds.routes import ROUTE_NAME_KEY
from filters.contract.config import METADATA_NAMESPACE, STATIC_METADATA_NAMESPACE

LENGTH_FILTER: Final = "envoy.filters.http.header_mutation"
CODEC_FILTER: Final = "envoy.filters.http.upstream_codec"
STREAM_TIMEOUT: Final = 30.0
"""Seconds for the whole upstream-level conversation, which is one message each way; the same as the peer's."""

_HEADER_MUTATION: Final = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_UPSTREAM_CODEC: Final = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"

_NAMESPACE: Final = f"filter_metadata['{STATIC_METADATA_NAMESPACE}']"
ATTRIBUTES: Final = (
    f"xds.upstream_host_metadata.{_NAMESPACE}['{BACKEND_KEY}']",
    f"xds.cluster_metadata.{_NAMESPACE}['{BACKEND_KEY}']",
    f"xds.upstream_host_metadata.{_NAMESPACE}['{HOST_KEY}']",
    f"xds.route_metadata.{_NAMESPACE}['{ROUTE_NAME_KEY}']",
)

_CONFIGURATION: Final = {
    "grpc_service": {
        **processor.grpc_service(processor.ATTEMPT_CLUSTER, "upstream"),
        "timeout": pool.duration(STREAM_TIMEOUT),
    },
    "metadata_options": {
        "receiving_namespaces": {"untyped": processor.NAMESPACES},
        "forwarding_namespaces": {"untyped": [STATIC_METADATA_NAMESPACE]},
    },
    "request_attributes": ATTRIBUTES,
    "processing_mode": {
        "request_header_mode": "SEND",
        "request_body_mode": "NONE",
        "request_trailer_mode": "SKIP",
        "response_header_mode": "SKIP",
        "response_body_mode": "NONE",
        "response_trailer_mode": "SKIP",
    },
    "message_timeout": pool.duration(processor.MESSAGE_TIMEOUT),
    "mutation_rules": processor.MUTATION_RULES,
}


def patch(resources: Resources, mediation: Mediation) -> None:
    for cluster in resources.clusters:
        name = names.cluster(cluster.name)
        rule = mediation.rule(name.rule) if name is not None else None
        if rule is not None and rule.plan == "attempt":
            patch_cluster(cluster)


def patch_cluster(cluster: Message) -> None:
    """One cluster of a rule with this plan."""
    had_options = pool.HTTP_PROTOCOL_OPTIONS in cluster.typed_extension_protocol_options
    packed = cluster.typed_extension_protocol_options[pool.HTTP_PROTOCOL_OPTIONS]
    options = pool.unpacked(packed) if had_options else pool.message(pool.HTTP_PROTOCOL_OPTIONS)
    if options.WhichOneof("upstream_protocol_options") is None:
        options.explicit_http_config.http_protocol_options.SetInParent()
    existing = [*options.http_filters]
    if any(filter_.name == processor.FILTER for filter_ in existing):
        return
    # The codec is last and stays so; whatever else there is (credential injection) comes before us.
    before, codec = (existing[:-1], existing[-1:]) if existing else ([], [_codec()])
    del options.http_filters[:]
    options.http_filters.extend([*before, *_filters(), *codec])
    pool.replace(packed, options)


def _filters() -> list[Message]:
    length = {"key": "content-length", "value": f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:content_length)%"}
    return [
        pool.message(
            pool.HTTP_FILTER,
            name=processor.FILTER,
            typed_config=pool.packed(pool.EXTERNAL_PROCESSOR, **_CONFIGURATION),
        ),
        pool.message(
            pool.HTTP_FILTER,
            name=LENGTH_FILTER,
            typed_config=pool.packed(
                _HEADER_MUTATION,
                mutations={
                    "request_mutations": [{"append": {"header": length, "append_action": "ADD_IF_ABSENT"}}],
                },
            ),
        ),
    ]


def _codec() -> Message:
    return pool.message(pool.HTTP_FILTER, name=CODEC_FILTER, typed_config=pool.packed(_UPSTREAM_CODEC))
