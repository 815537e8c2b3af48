"""The environment's API keys → a configuration, when `aigw run` gets no file; and the demo's, when there are no keys.

Both are YAML texts in the format of `aigw run FILE`, made from templates/: `aigw run` reads them like any file, people
can print and save them. Object names are API (xDS chapter §6.5). Keys stay variables (`${OPENAI_API_KEY}`) in the text.
Variables that are empty count as not set.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import jinja2

from aigw.standalone.resources import BadResources
from filters.contract import jsonlib

T = TypeVar("T")

PORT: Final = 1975
KEYS: Final = ("AZURE_OPENAI_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")
"""in order of precedence: the first one that is set decides the provider"""
_DEFAULT_PREFIX: Final = "v1"
_SCHEME_PORTS: Final = {"http": 80, "https": 443}
_POLICY_FIELDS: Final = {"APIKey": "apiKey", "AzureAPIKey": "azureAPIKey", "AnthropicAPIKey": "anthropicAPIKey"}


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    tls: bool
    path: str
    """without slashes around it"""

    @property
    def ip(self) -> bool:
        return _is_ip(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The one provider that all models go to."""

    name: str
    """of its AIServiceBackend and Backend"""
    schema: str
    key: str
    """the variable that holds the API key"""
    policy: str
    """type of the BackendSecurityPolicy"""
    address: Address
    prefix: str = ""
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """(header, variable)"""

    @property
    def policy_field(self) -> str:
        return _POLICY_FIELDS[self.policy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Where the access log goes: an OTLP collector, or standard output when `host` is empty."""

    backend: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    resources: tuple[tuple[str, str], ...] = ()

    @property
    def ip(self) -> bool:
        return _is_ip(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPorts:
    """Where the built-in providers listen on 127.0.0.1."""

    openai: int
    anthropic: int
    bedrock: int
    down: int
    """the one that always answers 503"""


def from_environment(environment: Mapping[str, str], *, port: int = PORT, debug: bool = False) -> str | None:
    """The configuration as YAML text; None when no key is set. Raises BadResources naming the variable."""
    key = next((name for name in KEYS if environment.get(name)), None)
    if key is None:
        return None
    errors: list[str] = []
    provider = _collect(errors, _PROVIDERS[key], environment)
    sink = _collect(errors, access_log_sink, environment)
    if errors:
        raise BadResources(errors)
    return _render("autoconfig.yaml.j2", port=port, debug=debug, provider=provider, sink=sink)


def demo(ports: DemoPorts, environment: Mapping[str, str], *, port: int = PORT, debug: bool = False) -> str:
    """The demo's configuration as YAML text. Raises BadResources for a bad access-log variable."""
    errors: list[str] = []
    sink = _collect(errors, access_log_sink, environment)
    if errors:
        raise BadResources(errors)
    providers = (
        ("demo-openai", "OpenAI", ports.openai),
        ("demo-anthropic", "Anthropic", ports.anthropic),
        ("demo-bedrock", "AWSBedrock", ports.bedrock),
        ("demo-down", "OpenAI", ports.down),
    )
    return _render("demo.yaml.j2", port=port, debug=debug, providers=providers, sink=sink)


# ---- providers


def _openai(environment: Mapping[str, str]) -> Provider:
    address = _address("OPENAI_BASE_URL", environment.get("OPENAI_BASE_URL") or "https://api.openai.com/v1")
    optional = (("OpenAI-Organization", "OPENAI_ORG_ID"), ("OpenAI-Project", "OPENAI_PROJECT_ID"))
    return Provider(
        name="openai",
        schema="OpenAI",
        key="OPENAI_API_KEY",
        policy="APIKey",
        address=address,
        prefix=_prefix(address),
        headers=tuple((header, variable) for header, variable in optional if environment.get(variable)),
    )


def _azure(environment: Mapping[str, str]) -> Provider:
    missing = [name for name in ("AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION") if not environment.get(name)]
    if missing:
        raise BadResources(f"{name}: must be set, because AZURE_OPENAI_API_KEY is" for name in missing)
    address = _address("AZURE_OPENAI_ENDPOINT", environment["AZURE_OPENAI_ENDPOINT"])
    if address.path:
        raise BadResources(
            ("AZURE_OPENAI_ENDPOINT: must not have a path, only the resource's URL (https://NAME.openai.azure.com)",)
        )
    return Provider(
        name="openai",
        schema="AzureOpenAI",
        key="AZURE_OPENAI_API_KEY",
        policy="AzureAPIKey",
        address=address,
        version=environment["OPENAI_API_VERSION"],
    )


def _anthropic(environment: Mapping[str, str]) -> Provider:
    address = _address("ANTHROPIC_BASE_URL", environment.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com/v1")
    return Provider(
        name="anthropic",
        schema="Anthropic",
        key="ANTHROPIC_API_KEY",
        policy="AnthropicAPIKey",
        address=address,
        prefix=_prefix(address),
    )


_PROVIDERS: Final = {"AZURE_OPENAI_API_KEY": _azure, "OPENAI_API_KEY": _openai, "ANTHROPIC_API_KEY": _anthropic}


def _prefix(address: Address) -> str:
    return "" if address.path == _DEFAULT_PREFIX else address.path


# ---- access log


def access_log_sink(environment: Mapping[str, str]) -> Sink | None:
    """Where OTEL_* variables want the access log; None for nowhere. Raises BadResources naming the variable."""
    endpoint = _first(environment, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = environment.get("OTEL_LOGS_EXPORTER") or ("otlp" if endpoint.value else "console")
    match exporter:
        case "none":
            return None
        case "console":
            return Sink()
        case "otlp":
            return _collector(endpoint, environment)
    raise BadResources(
        (f'OTEL_LOGS_EXPORTER: unsupported OTEL_LOGS_EXPORTER value "{exporter}" (allowed: otlp, console, none)',)
    )


@dataclass(frozen=True, slots=True)
class _Setting:
    """The variable that decides, and its value."""

    name: str
    value: str


def _first(environment: Mapping[str, str], special: str, general: str) -> _Setting:
    name = special if environment.get(special) else general
    return _Setting(name, environment.get(name) or "")


def _collector(endpoint: _Setting, environment: Mapping[str, str]) -> Sink:
    if not endpoint.value:
        raise BadResources(("OTEL_EXPORTER_OTLP_ENDPOINT: must be set, because OTEL_LOGS_EXPORTER is otlp",))
    protocol = _first(environment, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol.value not in ("", "grpc"):
        raise BadResources((f'{protocol.name}: OTEL logs support gRPC protocol only, got "{protocol.value}"',))
    url = endpoint.value if "://" in endpoint.value else f"http://{endpoint.value}"
    address = _address(endpoint.name, url)
    headers = _first(environment, "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
    resources = dict(_pairs(_Setting("OTEL_RESOURCE_ATTRIBUTES", environment.get("OTEL_RESOURCE_ATTRIBUTES") or "")))
    if environment.get("OTEL_SERVICE_NAME"):
        resources["service.name"] = environment["OTEL_SERVICE_NAME"]
    return Sink(
        backend="otel-logs" if endpoint.name == "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" else "otel",
        host=address.host,
        port=address.port,
        tls=address.tls,
        headers=_pairs(headers),
        resources=tuple(sorted(resources.items())),
    )


def _pairs(setting: _Setting) -> tuple[tuple[str, str], ...]:
    """`k=v,k=v` with values percent-encoded, as OpenTelemetry defines it."""
    pairs = []
    for part in filter(None, (part.strip() for part in setting.value.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            # The part may hold a secret: it is not repeated.
            raise BadResources((f"{setting.name}: must be a list of name=value separated by commas",))
        pairs.append((unquote(name.strip()), unquote(value.strip())))
    return tuple(pairs)


# ---- pieces


def _address(variable: str, url: str) -> Address:
    """Raises BadResources naming the variable."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise BadResources((f"{variable}: not a URL: {exc}",)) from exc
    problem = None
    if parts.scheme not in _SCHEME_PORTS:
        problem = "must start with http:// or https://"
    elif not host:
        problem = "has no host name"
    elif parts.username is not None or parts.password is not None:
        problem = "must not hold a user name or password"
    elif parts.query or parts.fragment:
        problem = "must not have a query or fragment"
    elif ":" in host and parts.scheme == "https":
        problem = "https needs a host name or an IPv4 address"
    elif port == 0:
        problem = "port must be between 1 and 65535"
    if problem is not None:
        raise BadResources((f"{variable}: {problem}",))
    return Address(
        host=host.lower().rstrip("."),
        port=port or _SCHEME_PORTS[parts.scheme],
        tls=parts.scheme == "https",
        path=parts.path.strip("/"),
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _collect(errors: list[str], make: Callable[[Mapping[str, str]], T], environment: Mapping[str, str]) -> T | None:
    """`make(environment)`, or None with what is wrong added to `errors`, so that everything is reported at once."""
    try:
        return make(environment)
    except BadResources as exc:
        errors += exc.messages
        return None


def _quoted(value: str) -> str:
    """As a YAML scalar that means exactly `value`: JSON is YAML, and `$` must not begin a variable."""
    return jsonlib.encode(value.replace("$", "$$")).decode()


def _variable(name: str) -> str:
    """As a scalar that stands for a variable's value."""
    return f'"${{{name}}}"'


@cache
def _templates() -> jinja2.Environment:
    # Not HTML: values go through the filter `yaml`.
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.PackageLoader("aigw.standalone", "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"yaml": _quoted, "variable": _variable}
    return environment


def _render(template: str, **values: object) -> str:
    return _templates().get_template(template).render(values)
