"""Do the hosts of the backends resolve, and (when asked to) can they be connected to, with the right certificate?"""

import asyncio
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aigw.commands.checks.base import Context, Finding
from aigw.standalone.base_xds.world import World
from aigw.standalone.run import system_ca
from aigw.standalone.validate import Served
from extension_server.api import core
from extension_server.api import envoy_gateway as eg
from extension_server.api import gateway as gw

RESOLVE_LIMIT: Final = 5.0
CONNECT_LIMIT: Final = 5.0
"""Seconds; Envoy itself gives DNS 5 s and a connection 10 s."""
_EXPIRY_WARNING: Final = 14 * 24 * 3600
"""Seconds before a certificate's end from which it is worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One endpoint of one Backend."""

    backend: str
    host: str
    port: int
    tls: bool = False
    name: str = ""
    """that the certificate must be for; empty: any"""
    authorities: str | None = None
    """PEM; None: those of the machine"""
    verify: bool = True


async def names(context: Context) -> Sequence[Finding]:
    """Every host name of a Backend, at the same time, each within RESOLVE_LIMIT."""
    hosts: dict[str, list[str]] = {}
    for each in _destinations(context):
        if not is_address(each.host):
            hosts.setdefault(each.host, []).append(each.backend)
    found = await asyncio.gather(*(_resolve(host, backends) for host, backends in sorted(hosts.items())))
    return found or (Finding(severity="note", title="no backend has a host name to resolve"),)


async def connections(context: Context) -> Sequence[Finding]:
    """TCP and TLS to every endpoint; only with --connect."""
    if not context.connect:
        return (Finding(severity="note", title="not tried; give --connect to reach every provider by TCP and TLS"),)
    unique = {(each.host, each.port, each.name): each for each in _destinations(context)}
    found = await asyncio.gather(*(_connect(each) for _, each in sorted(unique.items())))
    return found or (Finding(severity="note", title="the file has no backend to connect to"),)


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _destinations(context: Context) -> Iterator[Destination]:
    served = context.verdict.served if context.verdict else None
    if served is None:
        return
    for backend in served.loaded.snapshot.all(eg.Backend):
        tls = _tls(served, backend)
        for endpoint in backend.spec.endpoints:
            host, port = "", 0
            if endpoint.fqdn is not None:
                host, port = endpoint.fqdn.hostname, endpoint.fqdn.port
            elif endpoint.ip is not None:
                host, port = endpoint.ip.address, endpoint.ip.port
            name = f"{backend.namespace}/{backend.name}"
            if host and tls is None:
                yield Destination(backend=name, host=host, port=port)
            elif host and tls is not None:
                yield Destination(
                    backend=name,
                    host=host,
                    port=port,
                    tls=True,
                    name=tls.name or host,
                    authorities=tls.authorities,
                    verify=tls.verify,
                )


@dataclass(frozen=True, slots=True)
class _Tls:
    name: str
    authorities: str | None
    verify: bool = True


def _tls(served: Served, backend: eg.Backend) -> _Tls | None:
    policy = served.world.tls_policy(backend)
    if policy is not None:
        validation = policy.spec.validation
        return _Tls(validation.hostname, _authorities(served.world, policy.namespace, validation.ca_certificate_refs))
    settings = backend.spec.tls
    if settings is None:
        return None
    trusted = _authorities(served.world, backend.namespace, settings.ca_certificate_refs)
    return _Tls(settings.sni or "", trusted, not settings.insecure_skip_verify)


def _authorities(world: World, namespace: str, references: Sequence[gw.LocalObjectReference]) -> str | None:
    texts = []
    for reference in references:
        if reference.kind == "ConfigMap":
            config = world.snapshot.get(core.ConfigMap, namespace, reference.name)
            texts.append(config.data.get("ca.crt", "") if config else "")
        else:
            secret = world.snapshot.get(core.Secret, namespace, reference.name)
            value = secret.value("ca.crt") if secret else None
            texts.append(value.reveal() if value else "")
    return "\n".join(texts) if texts else None


async def _resolve(host: str, backends: Sequence[str]) -> Finding:
    began = time.monotonic()
    used = f"used by Backend {', '.join(dict.fromkeys(backends))}"
    try:
        addresses = await resolve(host, RESOLVE_LIMIT)
    except TimeoutError:
        why = f"no answer within {RESOLVE_LIMIT:g} s"
    except OSError as exc:
        why = exc.strerror or str(exc)
    else:
        milliseconds = (time.monotonic() - began) * 1000
        return Finding(severity="ok", title=f"{host}: {', '.join(addresses[:3])} ({milliseconds:.0f} ms)")
    return Finding(
        severity="error",
        title=f"{host} does not resolve: {why} ({used})",
        meaning="requests for these backends are answered with 503 no_healthy_upstream",
        fix="correct the hostname of the Backend, or this machine's DNS (/etc/resolv.conf)",
    )


async def resolve(host: str, limit: float) -> list[str]:
    """Raises OSError; TimeoutError when the resolver takes longer. Its thread is left behind then: none can stop it,
    and it must not keep the command from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def tell(result: list[str] | OSError) -> None:
        if future.done():
            return
        if isinstance(result, OSError):
            future.set_exception(result)
        else:
            future.set_result(result)

    def ask() -> None:
        result: list[str] | OSError
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            result = list(dict.fromkeys(str(each[4][0]) for each in found))
        except OSError as exc:
            result = exc
        except UnicodeError:
            result = OSError(0, "not a host name")
        try:
            loop.call_soon_threadsafe(tell, result)
        except RuntimeError:
            return  # the command has ended

    threading.Thread(target=ask, daemon=True).start()
    async with asyncio.timeout(limit):
        return await future


async def _connect(to: Destination) -> Finding:
    where = f"{to.host}:{to.port}"
    try:
        async with asyncio.timeout(CONNECT_LIMIT):
            context = _context(to)
            _, writer = await asyncio.open_connection(
                to.host, to.port, ssl=context, server_hostname=(to.name or to.host) if context else None
            )
        certificate = writer.get_extra_info("peercert") or {}
        writer.transport.abort()
        return _connected(to, where, certificate)
    except ssl.SSLCertVerificationError as exc:
        return _failed(
            f"{where}: the certificate is refused: {exc.verify_message}",
            "make the name (sni, hostname of the BackendTLSPolicy) the one of the certificate, or trust its CA",
        )
    except ssl.SSLError as exc:
        return _failed(f"{where}: no TLS: {exc.reason or exc}", "does the port speak TLS? correct the port, or tls")
    except TimeoutError:
        return _failed(f"{where}: no connection within {CONNECT_LIMIT:g} s", "is a firewall or a proxy in the way?")
    except OSError as exc:
        return _failed(f"{where}: {exc.strerror or exc}", "correct the endpoint of the Backend, or start what is there")


def _context(to: Destination) -> ssl.SSLContext | None:
    if not to.tls:
        return None
    if to.authorities is not None:
        context = ssl.create_default_context(cadata=to.authorities)
    else:
        context = ssl.create_default_context(cafile=str(Path(system_ca())))
    if not to.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _connected(to: Destination, where: str, certificate: dict[str, object]) -> Finding:
    if not to.tls:
        return Finding(severity="ok", title=f"{where}: reachable (plain text)")
    ends = certificate.get("notAfter")
    if not isinstance(ends, str):
        return Finding(severity="ok", title=f"{where}: TLS works; the certificate is not verified, as the Backend says")
    moment = ssl.cert_time_to_seconds(ends)
    day = f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"
    if moment - time.time() < _EXPIRY_WARNING:
        return Finding(
            severity="warning",
            title=f"{where}: the certificate for {to.name} ends on {day}",
            meaning="from then on requests fail with 503",
            fix="renew it, or tell who runs that endpoint",
        )
    return Finding(severity="ok", title=f"{where}: TLS works, certificate for {to.name} until {day}")


def _failed(title: str, fix: str) -> Finding:
    return Finding(severity="error", title=title, meaning="requests for this backend are answered with 503", fix=fix)
