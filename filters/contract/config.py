"""The filter configuration: one immutable document, compiled from the resources, with a content hash.

Written by `extension_server.compile`, read by `filters.runtime`. It travels as JSON in a file (mode 0600: it holds
credentials) or in sections (`filters.contract.sections`) by the controller's push stream. The format is internal: both
sides are of one release.

Backends name their credential; the values are a table beside them, outside of the hash. So a Secret's new value changes
no rule, no route and no hash, and a filter always sends the newest (docs/adr/0014-credentials-beside-the-rules.md).

Structs are msgspec's, not pydantic's: the filter process decodes 2,000 rules in milliseconds and never loads pydantic
(docs/adr/0003-config-contract-msgspec.md).
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from filters.contract.schemas import SchemaName
from filters.contract.secret import Secret

Plan = Literal["single", "attempt"]
CostType = Literal[
    "OutputToken", "InputToken", "CachedInputToken", "CacheCreationInputToken", "TotalToken", "ReasoningToken", "CEL"
]

CONFIG_HEADER: Final = "x-ai-eg-config"
"""gRPC initial metadata of the listener-level ext_proc stream: hash of the configuration that the matched Envoy route
was compiled with. The filter serves the request with exactly that snapshot."""
LISTENER_HEADER: Final = "x-ai-eg-listener"
"""gRPC initial metadata: name of the RouteConfiguration (Envoy Gateway's), key of `FilterConfig.listeners`."""
LEVEL_HEADER: Final = "x-ai-eg-level"
"""gRPC initial metadata: `listener` or `upstream`."""

RULE_HEADER: Final = "x-ai-eg-rule"
MODEL_HEADER: Final = "x-ai-eg-model"
ORIGINAL_PATH_HEADER: Final = "x-ai-eg-original-path"
DROPPED_HEADER: Final = "x-aigw-dropped"
METADATA_NAMESPACE: Final = "io.envoy.ai_gateway"
STATIC_METADATA_NAMESPACE: Final = "aigateway.envoy.io"


class Schema(msgspec.Struct, frozen=True, omit_defaults=True):
    """The upstream's API: name, and the URL prefix (OpenAI, Anthropic) or version (the others) that goes with it."""

    name: SchemaName
    prefix: str = ""
    version: str = ""


class HeaderCredential(msgspec.Struct, frozen=True, tag="header", tag_field="kind"):
    """One header with the credential in it, ready to send (`authorization: Bearer …`, `x-api-key: …`, `api-key: …`)."""

    name: str
    value: Secret


class AwsCredential(msgspec.Struct, frozen=True, tag="aws", tag_field="kind", omit_defaults=True):
    """Static AWS keys; requests are signed with SigV4 for service `bedrock`."""

    region: str
    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


Credential = HeaderCredential | AwsCredential


def bedrock_host(region: str) -> str:
    """What a request is signed for, and says it is for, when the endpoints have no host name: the public one."""
    return f"bedrock-runtime.{region}.amazonaws.com"


class HeaderMutation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Names are lower case; `remove` first, then `set` (spec: observability chapter §13.5)."""

    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class BodyMutation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Top-level members of the translated JSON body; `set` values are JSON texts already (compile normalises them)."""

    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class Backend(msgspec.Struct, frozen=True, omit_defaults=True):
    """One backendRef of one rule, with all that is needed to talk to it."""

    name: str
    """`<routeNs>/<backend>/route/<route>/rule/<i>/ref/<j>`"""
    short_name: str
    """`<backendNs>/<backend>` of the AIServiceBackend"""
    schema: Schema
    host: str = ""
    """host name that the provider knows itself by (signing, `:authority`); empty when endpoints are bare IPs"""
    model_override: str = ""
    credential: str = ""
    """identity of the credential, key of `FilterConfig.credentials`; empty: the client's own goes through"""
    header_mutation: HeaderMutation = HeaderMutation()
    body_mutation: BodyMutation = BodyMutation()


class Cost(msgspec.Struct, frozen=True, omit_defaults=True):
    """One number to put into dynamic metadata at the end of a request."""

    metadata_key: str
    type: CostType
    cel: str = ""


class Share(msgspec.Struct, frozen=True):
    """A part of a rule's traffic that goes to Envoy routes of its own."""

    token: str
    weight: int


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule of an AIGatewayRoute: how it is served and by whom."""

    name: str
    """`<ns>/<route>/rule/<i>`"""
    route: str
    """`<ns>/<route>`"""
    token: str
    """unguessable value of RULE_HEADER that the generated Envoy routes of this rule match on"""
    plan: Plan
    backends: tuple[str, ...]
    """names; `single`: one, which stands for all"""
    costs: tuple[Cost, ...] = ()
    """the route's own, then the global ones whose keys the route does not set"""
    shares: tuple[Share, ...] = ()
    """of a rule with more backends than one Envoy rule holds: each request takes the token of one of these"""


class HeaderMatch(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    value: str
    regex: bool = False
    """Envoy's RE2 full match on the whole value"""


class Match(msgspec.Struct, frozen=True, omit_defaults=True):
    """One match of one rule. All `headers` must hold; `model` is the exact MODEL_HEADER match taken out of them."""

    rule: str
    """`Rule.name`"""
    model: str | None = None
    headers: tuple[HeaderMatch, ...] = ()


class Model(msgspec.Struct, frozen=True):
    """One entry of `/v1/models`."""

    id: str
    owned_by: str
    created: int
    """Unix seconds"""


class VirtualHost(msgspec.Struct, frozen=True, omit_defaults=True):
    domains: tuple[str, ...]
    """Envoy domains: exact, `*.suffix`, or `*`"""
    matches: tuple[Match, ...]
    """in the order in which Envoy tries them (Envoy Gateway's precedence)"""
    models: tuple[Model, ...] = ()


class Listener(msgspec.Struct, frozen=True):
    name: str
    """of the RouteConfiguration"""
    virtual_hosts: tuple[VirtualHost, ...]


class FilterConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that one Gateway's filters need."""

    gateway: str
    """`<ns>/<name>`"""
    listeners: tuple[Listener, ...] = ()
    rules: tuple[Rule, ...] = ()
    backends: tuple[Backend, ...] = ()
    root_prefix: str = "/"
    endpoint_prefixes: tuple[tuple[str, str], ...] = (
        ("openai", "/"),
        ("cohere", "/cohere"),
        ("anthropic", "/anthropic"),
    )
    credentials: Mapping[str, Credential] = msgspec.field(default_factory=dict)
    """identity → credential, of all backends. One that is missing fails closed"""


def _encode_hook(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def decode_hook(type_: type, value: object) -> object:
    if type_ is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError(type_.__name__)


encoder: Final = msgspec.json.Encoder(enc_hook=_encode_hook, order="deterministic")
"""for this module's structs; `Secret`s come out in clear"""
_decoder = msgspec.json.Decoder(FilterConfig, dec_hook=decode_hook)


def encode(config: FilterConfig) -> bytes:
    """The document as JSON **with the credentials in clear**. Same content, same bytes."""
    return encoder.encode(config)


def decode(document: bytes) -> FilterConfig:
    """Inverse of `encode`. Raises ValueError naming the member that does not fit."""
    try:
        return _decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ValueError(f"filter configuration: {exc}") from exc
