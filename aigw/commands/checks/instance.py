"""The running gateway: does it answer, does it serve this file, has Envoy taken what it was given?"""

import re
from collections.abc import Sequence
from typing import Final

import httpx
import msgspec

from aigw.commands.checks import processes
from aigw.commands.checks.base import Context, Finding
from aigw.standalone.envoy import admin_get
from filters.contract import config
from filters.contract.config import FilterConfig, Rule

LIMIT: Final = 5.0
_REJECTED: Final = "/stats?filter=(update_rejected|update_failure)$"
_LOG: Final = "look at what aigw run wrote to standard error"


async def check(context: Context) -> Sequence[Finding]:
    """What answers on the admin port, and what belongs to it."""
    found = next((each for each in processes.instances() if each.admin_port == context.admin_port), None)
    if found is None and not context.admin_port_given:
        others = [str(each.admin_port) for each in processes.instances()]
        more = f"; there is one with --admin-port {', '.join(others)}" if others else ""
        return (Finding(severity="note", title=f"no gateway runs with admin port {context.admin_port}{more}"),)
    findings = [await _health(context.admin_port)]
    if found is None:
        return findings
    return (*findings, *_configuration(context, found), *await _envoy(found))


async def _health(port: int) -> Finding:
    url = f"http://127.0.0.1:{port}/health"
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=LIMIT) as client:
            answer = await client.get(url)
    except httpx.HTTPError as exc:
        return Finding(
            severity="error",
            title=f"{url} does not answer: {str(exc) or type(exc).__name__}",
            meaning="no gateway runs there, or its filter is down: clients get no answer, or 500",
            fix=f"start aigw run, or give the port that it printed as --admin-port; {_LOG}",
        )
    if answer.status_code == 200:
        return Finding(severity="ok", title=f"{url} answers: the filter has a configuration")
    return Finding(
        severity="error",
        title=f"{url} answers {answer.status_code}: {answer.text.strip()[:100]}",
        meaning="the filter has no configuration: clients get 503 no_configuration",
        fix=_LOG,
    )


def _configuration(context: Context, instance: processes.Instance) -> Sequence[Finding]:
    try:
        path = max(instance.runtime.glob("filter-*.json"), key=lambda each: each.stat().st_mtime)
        running = config.decode(path.read_bytes())
    except (OSError, ValueError) as exc:
        why = f"the running configuration cannot be read: {getattr(exc, 'strerror', None) or exc}"
        fix = "run aigw doctor as the user of aigw run, and with its AIGW_RUNTIME_DIR"
        return (Finding(severity="warning", title=why, fix=fix),)
    hash_ = path.stem.removeprefix("filter-")
    served = context.verdict.served if context.verdict and not context.verdict.errors else None
    if served is None:
        return (Finding(severity="note", title=f"configuration {hash_} runs; no valid file to compare it with"),)
    name = context.source.name if context.source else ""
    differences = differing(served.world.compiled.filter_config, running)
    if not differences:
        return (Finding(severity="ok", title=f"configuration {hash_} runs, and is what {name} says"),)
    if without_credentials(served.world.compiled.filter_config) == without_credentials(running):
        return (
            Finding(
                severity="warning",
                title=f"configuration {hash_} runs; other credentials than here: {', '.join(differences)}",
                meaning="the gateway sends the keys of its own environment or of an earlier state of the files",
                fix="run aigw doctor with the same environment variables; else start aigw run again",
            ),
        )
    return (
        Finding(
            severity="error",
            title=f"configuration {hash_} runs, which is not what {name} says: {', '.join(differences)}",
            meaning="clients are served by an earlier or another file",
            fix=f"does aigw run follow {name}, and did it refuse the last change? {_LOG}",
        ),
    )


def differing(wanted: FilterConfig, running: FilterConfig) -> list[str]:
    """What is not the same, by name; tokens, which each run draws anew, and times of listing do not count."""
    left, right = _normal(wanted), _normal(running)
    found: list[str] = []
    for kind in ("rules", "backends", "listeners"):
        ours = {each.name: each for each in getattr(left, kind)}
        theirs = {each.name: each for each in getattr(right, kind)}
        names = sorted({*ours, *theirs})
        found += (f"{kind[:-1]} {name}" for name in names if ours.get(name) != theirs.get(name))
    identities = sorted({*left.credentials, *right.credentials})
    found += (f"credential {each}" for each in identities if left.credentials.get(each) != right.credentials.get(each))
    same = left.root_prefix == right.root_prefix and left.endpoint_prefixes == right.endpoint_prefixes
    found += [] if same else ["prefixes of the endpoints"]
    found += [] if left.gateway == right.gateway else [f"gateway {left.gateway}"]
    return found


def without_credentials(one: FilterConfig) -> FilterConfig:
    """To be compared; which credential a backend has stays, the value does not."""
    return msgspec.structs.replace(_normal(one), credentials={})


def _normal(one: FilterConfig) -> FilterConfig:
    return msgspec.structs.replace(
        one,
        rules=tuple(_tokenless(rule) for rule in one.rules),
        listeners=tuple(
            msgspec.structs.replace(
                listener,
                virtual_hosts=tuple(
                    msgspec.structs.replace(
                        host, models=tuple(msgspec.structs.replace(model, created=0) for model in host.models)
                    )
                    for host in listener.virtual_hosts
                ),
            )
            for listener in one.listeners
        ),
    )


def _tokenless(rule: Rule) -> Rule:
    shares = tuple(msgspec.structs.replace(share, token="") for share in rule.shares)
    return msgspec.structs.replace(rule, token="", shares=shares)


async def _envoy(instance: processes.Instance) -> Sequence[Finding]:
    socket = instance.runtime / "envoy.sock"
    try:
        ready = (await admin_get(socket, "/ready")).strip()
        rejected = _rejections(await admin_get(socket, _REJECTED))
    except OSError as exc:
        return (
            Finding(
                severity="error",
                title=f"Envoy does not answer on {socket}: {exc.strerror or exc}",
                meaning="clients cannot connect, or Envoy is still starting",
                fix=_LOG,
            ),
        )
    if rejected:
        return (
            Finding(
                severity="warning",
                title=f"Envoy is {ready}, and has refused updates: {', '.join(rejected)}",
                meaning="it served on with what it had; a later update may have been taken",
                fix=_LOG,
            ),
        )
    return (Finding(severity="ok", title=f"Envoy is {ready} and has refused no update"),)


def _rejections(stats: str) -> list[str]:
    """`name: count` of those that are not zero."""
    found = re.findall(r"^(\S+): (\d+)$", stats, re.MULTILINE)
    return [f"{name} {count}" for name, count in found if count != "0"]
