"""What flags and environment of the controller process say. Pure: texts in, `Options` out; `main` wires by them.

Names, defaults and error texts are those of the API chapter §3.2, so that charts and scripts written for them work
unchanged; one dash or two. Flags of things that this release does not serve are taken and checked too
(`Options.ignored` names those that were given).
"""

import argparse
import contextlib
import io
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, cast

from pydantic import TypeAdapter, ValidationError

from extension_server.api.container import EnvVar
from filters.contract.config import FilterConfig
from filters.contract.loglines import LogFormat

PROGRAM: Final = "aigw-controller"
CONTROLLER_NAME: Final = "gateway.envoyproxy.io/gatewayclass-controller"
LEVELS: Final = ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")
"""zap's. This process logs nothing above `error`."""
PULL_POLICIES: Final = ("Always", "Never", "IfNotPresent")
HEADER_ATTRIBUTES: Final = (("agent-session-id", "session.id"),)
"""of spans and access logs, unless something else is said (xDS chapter §1.10)"""
RATE_LIMIT_PORT: Final = 8081

Pairs = tuple[tuple[str, str], ...]

_SLOG: Final = {"debug": -4, "info": 0, "warn": 4, "error": 8}
_SLOG_TEXT: Final = re.compile(r"(debug|info|warn|error)([+-][0-9]{1,9})?", re.IGNORECASE)
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class BadFlags(ValueError):
    """The text names the flag."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtProc:
    """The sidecar that is put beside each Envoy of Envoy Gateway's."""

    image: str
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...]
    extra_env_vars: tuple[EnvVar, ...]
    log_level: str
    """debug, info, warn or error"""
    log_format: LogFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Of the webhook and of the push."""

    secret_name: str
    ca_name: str
    certificate_name: str
    key_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    namespace: str
    """the controller's own (`POD_NAMESPACE`): its Lease, its key and its certificates are there"""
    identity: str
    service_name: str
    """of the Service that Envoy Gateway, the API server and the sidecars reach this process by"""
    hooks: Address
    webhook_port: int
    config_port: int
    config_address: str
    """`host:port` of the push, as the sidecars dial it"""
    metrics_port: int
    envoy_gateway_namespace: str
    gateway_controller_name: str
    watch_namespaces: tuple[str, ...]
    leader_election: bool
    cache_sync_timeout: float
    """seconds"""
    shutdown_delay: float
    """seconds after SIGTERM in which hooks and webhook still take calls"""
    log_level: str
    log_format: LogFormat
    root_prefix: str
    endpoint_prefixes: Pairs
    log_attributes: Pairs
    """request header → key in access logs"""
    ext_proc: ExtProc
    certificates: Certificates
    ignored: tuple[str, ...]
    """one sentence per flag that was given and has no effect, or not all of it"""


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Raises BadFlags; SystemExit for `--help` and flags that do not exist."""
    found = _parser().parse_args([_two_dashes(each) for each in arguments])
    namespace = environment.get("POD_NAMESPACE", "")
    if not namespace:
        raise BadFlags("environment variable POD_NAMESPACE is not set; give it the controller's own namespace")
    base = _header_attributes("request", found.requestHeaderAttributes or "")
    _header_attributes("tracing", found.spanRequestHeaderAttributes or "")
    _header_attributes("metrics", found.metricsRequestHeaderAttributes or "")
    own = found.logRequestHeaderAttributes
    log = HEADER_ATTRIBUTES if own is None else _header_attributes("access log", own)
    _positive("mcp session encryption iterations", found.mcpSessionEncryptionIterations)
    if found.mcpFallbackSessionEncryptionSeed:
        _positive("mcp fallback session encryption iterations", found.mcpFallbackSessionEncryptionIterations)
    _host_and_port(found.quotaRateLimitServiceAddr)
    if not found.rootPrefix.startswith("/"):
        raise BadFlags(f'invalid root prefix: "{found.rootPrefix}", must begin with "/"')
    config_port = _port("configPort", found.configPort)
    return Options(
        namespace=namespace,
        identity=f"{environment.get('POD_NAME') or socket.gethostname()}_{secrets.token_hex(8)}",
        service_name=found.serviceName,
        hooks=_address(found.port),
        webhook_port=_port("webhookPort", found.webhookPort),
        config_port=config_port,
        config_address=_config_address(found.configAddress)
        or f"{found.serviceName}.{namespace}.svc.cluster.local:{config_port}",
        metrics_port=_port("metricsPort", found.metricsPort),
        envoy_gateway_namespace=found.envoyGatewayNamespace,
        gateway_controller_name=found.gatewayControllerName,
        watch_namespaces=_names(found.watchNamespaces, ","),
        leader_election=found.enableLeaderElection,
        cache_sync_timeout=_duration("cacheSyncTimeout", found.cacheSyncTimeout),
        shutdown_delay=_duration("shutdownDelay", found.shutdownDelay),
        log_level=_log_level(found.logLevel),
        log_format=_log_format(found.logFormat),
        root_prefix=found.rootPrefix,
        endpoint_prefixes=_endpoint_prefixes(found.endpointPrefixes),
        log_attributes=tuple({**dict(base), **dict(log)}.items()),
        ext_proc=ExtProc(
            image=found.extProcImage,
            image_pull_policy=_pull_policy(found.extProcImagePullPolicy),
            image_pull_secrets=_names(found.extProcImagePullSecrets, ";"),
            extra_env_vars=_env_vars(found.extProcExtraEnvVars),
            log_level=_slog_level(found.extProcLogLevel),
            log_format=_log_format(found.extProcLogFormat, "external processor: "),
        ),
        certificates=Certificates(
            secret_name=found.tlsCertSecretName,
            ca_name=found.caBundleName,
            certificate_name=found.tlsCertName,
            key_name=found.tlsKeyName,
        ),
        ignored=tuple(_ignored(found)),
    )


def without_effect(arguments: Sequence[str]) -> tuple[str, ...]:
    """What `Options.ignored` says, of any command line: nothing for one that cannot be read."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            found, _ = _parser().parse_known_args([_two_dashes(each) for each in arguments])
    except SystemExit:
        return ()
    return tuple(_ignored(found))


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    default: str | int | bool | None
    says: str
    ignored: str = ""
    """why it has no effect; empty: it has"""
    partly: str = ""
    """on what it should have an effect, and has none"""


_COMPATIBLE: Final = "taken for compatibility, there is no such limit"
_NO_MCP: Final = "kind MCPRoute is not served by this release"
_NO_QUOTA: Final = "kind QuotaPolicy is not served by this release"

FLAGS: Final = (
    Flag("port", ":1063", "address of the extension hooks"),
    Flag("webhookPort", 9443, "port of the admission webhook (HTTPS)"),
    Flag("configPort", 18003, "port that filters get their configuration from (gRPC over TLS)"),
    Flag("configAddress", "", "host:port of it as sidecars dial it (default: the Service's name and configPort)"),
    Flag("metricsPort", 8080, "port of /metrics, /healthz and /readyz (HTTP)"),
    Flag("serviceName", "ai-gateway-controller", "name of the controller's Service; certificates are made for it"),
    Flag("envoyGatewayNamespace", "envoy-gateway-system", "namespace of Envoy Gateway"),
    Flag("gatewayControllerName", CONTROLLER_NAME, "spec.controllerName of the GatewayClasses that it serves"),
    Flag("watchNamespaces", "", "namespaces to watch, with commas; empty: all"),
    Flag("enableLeaderElection", True, "one replica of several writes; true or false"),
    Flag("cacheSyncTimeout", "2m", "how long the process may take to know everything before it says that it is ready"),
    Flag("shutdownDelay", "0s", "how long hooks and webhook take calls after SIGTERM; the rest ends at once"),
    Flag("logLevel", "info", "debug, info, warn or error"),
    Flag("logFormat", "text", "text or json"),
    Flag("rootPrefix", "/", "path prefix of all AI routes"),
    Flag("endpointPrefixes", "", "openai:<prefix>,cohere:<prefix>,anthropic:<prefix>"),
    Flag(
        "requestHeaderAttributes",
        None,
        "header:attribute,… for access logs",
        partly="spans and metrics, which have no attributes of headers yet",
    ),
    Flag("logRequestHeaderAttributes", None, "the same, for access logs"),
    Flag("spanRequestHeaderAttributes", None, "the same, for spans", "spans have no attributes of headers yet"),
    Flag("metricsRequestHeaderAttributes", None, "the same, for metrics", "metrics have no labels of headers yet"),
    Flag("extProcImage", "aigw/ai-gateway-extproc:latest", "image of the sidecar"),
    Flag("extProcImagePullPolicy", "IfNotPresent", "Always, Never or IfNotPresent"),
    Flag("extProcImagePullSecrets", "", "names, with semicolons"),
    Flag(
        "extProcExtraEnvVars",
        "",
        'environment of the sidecar: NAME=value;NAME=value, or as in containers: [{"name": …}]',
    ),
    Flag("extProcLogLevel", "info", "debug, info, warn or error"),
    Flag("extProcLogFormat", "text", "text or json"),
    Flag("extProcEnableRedaction", False, "taken for compatibility", "the filter never logs what users send"),
    Flag("extProcMaxRecvMsgSize", 512 * 1024 * 1024, "taken for compatibility", _COMPATIBLE),
    Flag("maxRecvMsgSize", 4 * 1024 * 1024, "taken for compatibility", _COMPATIBLE),
    Flag("tlsCertSecretName", "self-signed-cert-for-mutating-webhook", "Secret with the certificates"),
    Flag("tlsCertDir", "/certs", "taken for compatibility", "certificates are read from the Secret tlsCertSecretName"),
    Flag("caBundleName", "ca.crt", "key of the certificate authority in it"),
    Flag("tlsCertName", "tls.crt", "key of the certificate"),
    Flag("tlsKeyName", "tls.key", "key of the private key"),
    Flag("mcpSessionEncryptionSeed", "default-insecure-seed", "taken for compatibility", _NO_MCP),
    Flag("mcpSessionEncryptionIterations", 100_000, "taken for compatibility", _NO_MCP),
    Flag("mcpFallbackSessionEncryptionSeed", "", "taken for compatibility", _NO_MCP),
    Flag("mcpFallbackSessionEncryptionIterations", 100_000, "taken for compatibility", _NO_MCP),
    Flag(
        "quotaRateLimitServiceAddr",
        "envoy-ai-gateway-ratelimit.envoy-gateway-system",
        "taken for compatibility",
        _NO_QUOTA,
    ),
    Flag("quotaRateLimitTimeout", 5, "taken for compatibility", _NO_QUOTA),
    Flag("quotaRateLimitFailureModeDeny", False, "taken for compatibility", _NO_QUOTA),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, allow_abbrev=False)
    for flag in FLAGS:
        text = flag.says if flag.default in (None, "") else f"{flag.says} (default {_shown(flag.default)})"
        if isinstance(flag.default, bool):
            parser.add_argument(
                f"--{flag.name}", type=_truth, nargs="?", const=True, default=flag.default, metavar="BOOL", help=text
            )
        else:
            of = int if isinstance(flag.default, int) else str
            parser.add_argument(f"--{flag.name}", type=of, default=flag.default, metavar="VALUE", help=text)
    return parser


def _shown(default: str | int | bool | None) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _ignored(found: argparse.Namespace) -> Iterator[str]:
    """One sentence per reason."""
    given: dict[str, list[str]] = {}
    for flag in FLAGS:
        why = f"no effect, {flag.ignored}" if flag.ignored else f"no effect on {flag.partly}"
        if (flag.ignored or flag.partly) and getattr(found, flag.name) != flag.default:
            given.setdefault(why, []).append(f"--{flag.name}")
    for why, names in given.items():
        yield f"{', '.join(names)}: {why}"


def _two_dashes(argument: str) -> str:
    return f"-{argument}" if argument.startswith("-") and not argument.startswith("--") else argument


def _truth(text: str) -> bool:
    try:
        return {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not true or false") from None


# ---- one value each


def _names(text: str, separator: str) -> tuple[str, ...]:
    names = (each.strip() for each in text.split(separator))
    return tuple(dict.fromkeys(name for name in names if name))


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not _is_port(port, least=0):
        raise BadFlags(f'invalid port: "{text}", must be like ":1063"')
    return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104  a pod has one address, and others call it


def _port(name: str, number: int) -> int:
    if not 0 <= number <= 65535:
        raise BadFlags(f'invalid {name}: "{number}", must be between 0 and 65535')
    return number


def _is_port(text: str, *, least: int = 1) -> bool:
    return text.isascii() and text.isdecimal() and least <= int(text) <= 65535


def _config_address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if text and not (host and _is_port(port)):
        raise BadFlags(f'invalid configAddress: "{text}", must be host:port')
    return text


def _host_and_port(text: str) -> None:
    """The quota rate limit service: a host, a bare IPv6 address, or either with a port."""
    bare_v6 = text.count(":") > 1 and not text.startswith("[")
    host, _, port = (text, "", str(RATE_LIMIT_PORT)) if bare_v6 or ":" not in text else text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, port = text, str(RATE_LIMIT_PORT)
    if not host.strip("[]"):
        raise BadFlags(f'invalid quotaRateLimitServiceAddr "{text}": the host is empty')
    if not _is_port(port):
        raise BadFlags(f'invalid quotaRateLimitServiceAddr "{text}": "{port}" is not a port')


def _log_level(text: str) -> str:
    if text.lower() not in LEVELS:
        raise BadFlags(f'invalid log level: "{text}"')
    return text.lower()


def _slog_level(text: str) -> str:
    """`info+1` is between info and warn: everything from warn on is above it."""
    parts = _SLOG_TEXT.fullmatch(text)
    if parts is None:
        raise BadFlags(f'invalid external processor log level: "{text}"')
    number = _SLOG[parts[1].lower()] + int(parts[2] or 0)
    return next((name for name, least in _SLOG.items() if number <= least), "error")


def _log_format(text: str, who: str = "") -> LogFormat:
    if text not in ("text", "json"):
        raise BadFlags(f'{who}invalid log format: "{text}", must be "text" or "json"')
    return cast("LogFormat", text)


def _pull_policy(text: str) -> str:
    if text not in PULL_POLICIES:
        raise BadFlags(f'invalid external processor pull policy: "{text}"')
    return text


def _positive(what: str, number: int) -> None:
    if number <= 0:
        raise BadFlags(f"{what} must be positive: {number}")


def _duration(name: str, text: str) -> float:
    """As Go writes them: `2m`, `1m30s`, `500ms`."""
    parts = [*_DURATION.finditer(text)]
    if not parts or "".join(part[0] for part in parts) != text:
        raise BadFlags(f'invalid {name}: "{text}", must be like "2m" or "1m30s"')
    return sum(float(part[1]) * _SECONDS[part[2]] for part in parts)


def _header_attributes(what: str, text: str) -> Pairs:
    if not text:
        return ()
    found: dict[str, str] = {}
    for position, pair in _pairs(text, ","):
        where = f"at position {position}"
        fail = _failing(f"invalid {what} header attributes: ")
        if not pair:
            fail(f"empty header-attribute pair {where}")
        header, colon, attribute = pair.partition(":")
        if not colon:
            fail(f'invalid header-attribute pair {where}: "{pair}" (expected format: header:attribute)')
        if not header.strip() or not attribute.strip():
            fail(f'empty header or attribute {where}: "{pair}"')
        found[header.strip().lower()] = attribute.strip()
    return tuple(found.items())


def _endpoint_prefixes(text: str) -> Pairs:
    found = dict(FilterConfig(gateway="").endpoint_prefixes)
    fail = _failing("invalid endpoint prefixes: ")
    for position, pair in _pairs(text, ",") if text else ():
        if not pair:
            fail(f"empty endpointPrefixes pair at position {position}")
        key, colon, prefix = (part.strip() for part in pair.partition(":"))
        if not colon:
            fail(f'invalid endpointPrefixes pair at position {position}: "{pair}" (expected format: key:value)')
        if key not in found:
            fail(f'unknown endpointPrefixes key "{key}" at position {position} (allowed: openai, cohere, anthropic)')
        # An empty value is the root: what the filter knows as "/".
        found[key] = "/" + prefix.strip("/")
    return tuple(found.items())


def _env_vars(text: str) -> tuple[EnvVar, ...]:
    """Either form; only JSON has values from elsewhere (`valueFrom`), and values with semicolons."""
    fail = _failing("invalid extProc extra env vars: ")
    if text.lstrip().startswith("["):
        try:
            return TypeAdapter(tuple[EnvVar, ...]).validate_json(text)
        except ValidationError as exc:
            first = exc.errors()[0]
            fail(f"{'.'.join(str(each) for each in first['loc'])}: {first['msg']}".removeprefix(": "))
    found = []
    for position, pair in _pairs(text, ";", strip=False):
        if not pair.strip():
            continue
        name, equals, value = pair.partition("=")
        if not equals:
            fail(f'invalid env var pair at position {position}: "{pair.strip()}" (expected format: KEY=value)')
        if not name.strip():
            fail(f'empty env var name at position {position}: "{pair}"')
        found.append(EnvVar(name=name.strip(), value=value))
    return tuple(found)


def _pairs(text: str, separator: str, *, strip: bool = True) -> Iterator[tuple[int, str]]:
    """Positions count from 1."""
    for position, pair in enumerate(text.split(separator), start=1):
        yield position, pair.strip() if strip else pair


def _failing(prefix: str) -> Callable[[str], NoReturn]:
    def fail(text: str) -> NoReturn:
        raise BadFlags(prefix + text)

    return fail
