"""What the command line calls: reads the inputs, runs a command's core, prints its result, returns the exit code.

Exit codes (docs/commands.md): 0 fine; 1 the question is answered, and the answer is bad (validate: a file is not valid;
explain: the request reaches no provider, or something in the file is not served; translate: something is left out;
doctor: an error); 2 this cannot be worked with (usage, a file that cannot be read, or without a Gateway).
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeVar

from rich.console import Console

from aigw.commands import doctor as doctors
from aigw.commands import explain as explaining
from aigw.commands import inputs, output
from aigw.commands import translate as translating
from aigw.commands import validate as validating
from aigw.commands.checks.base import Context
from aigw.commands.cluster import reading
from aigw.commands.cluster.checks import CLUSTER
from aigw.commands.cluster.state import Settings
from aigw.commands.doctor import Report
from aigw.commands.inputs import UnusableInput
from aigw.commands.screens import base
from aigw.commands.screens import doctor as doctor_screen
from aigw.commands.screens import explain as explain_screen
from aigw.commands.screens import translate as translate_text
from aigw.commands.screens import validate as validate_screen
from aigw.standalone.run import DEFAULT_ADMIN_PORT
from aigw.standalone.validate import validate_text
from extension_server.controller.client import ApiError, KubernetesApi, NoCluster

T = TypeVar("T")
Environment = Mapping[str, str]
Format = Literal["text", "json"]
FINE: Final = 0
BAD: Final = 1
UNUSABLE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The request that `explain` follows, as the command line says it; all of it missing: every rule."""

    model: str | None = None
    host: str | None = None
    path: str | None = None
    headers: tuple[str, ...] = ()
    """each `name: value`"""
    body: str | None = None
    """a path, or `-`"""

    @property
    def nothing(self) -> bool:
        return self == Ask()


def validate(paths: Sequence[str], environment: Environment, *, kubernetes: bool, form: Format) -> int:
    files, code = [], FINE
    for path in dict.fromkeys(paths):
        try:
            files.append(validating.validate(inputs.read(path), environment, kubernetes=kubernetes))
        except UnusableInput as exc:
            files.append(validating.unreadable(path, exc.messages))
            code = UNUSABLE
    result = validating.joined(files)
    _show("validate", result, form, validate_screen.draw)
    return code or (BAD if result.verdict == "error" else FINE)


def translate(
    path: str,
    environment: Environment,
    *,
    sections: Sequence[translating.Section],
    gateway: str,
    form: Literal["yaml", "json"],
) -> int:
    """`sections`: none is all of them. `gateway`: which one of several; empty: the only one."""

    def work() -> int:
        found = inputs.judged(inputs.read(path), environment, gateway)
        result = translating.translate(found, environment, sections=sections or translating.SECTIONS)
        if form == "json":
            _write(output.document("translate", result) + "\n")
        else:
            for line in translate_text.complaints(result):
                print(line, file=sys.stderr)
            _write(translate_text.text(result))
        return BAD if result.verdict == "error" else FINE

    return _guarded(work)


def explain(path: str, environment: Environment, *, ask: Ask, gateway: str, form: Format) -> int:
    """`gateway`: which one of several; empty: the only one."""

    def work() -> int:
        question = _question(path, ask)
        found = inputs.judged(inputs.read(path), environment, gateway)
        result = explaining.explain(found, environment, question)
        _show("explain", result, form, explain_screen.draw)
        return FINE if result.served and result.verdict != "error" else BAD

    return _guarded(work)


def _question(path: str, ask: Ask) -> explaining.Question | None:
    if ask.nothing:
        return None
    if ask.body == path == inputs.STDIN:
        raise UnusableInput("--body: standard input is the resource file already; give one of them as a file")
    return explaining.Question(
        model=ask.model,
        host=ask.host,
        path=ask.path,
        headers=tuple(explaining.header(text) for text in ask.headers),
        body=None if ask.body is None else _body(ask.body),
    )


def _body(path: str) -> bytes:
    if path == inputs.STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise UnusableInput(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def doctor(path: str | None, environment: Environment, *, admin_port: int | None, connect: bool, form: Format) -> int:
    def work() -> int:
        source = None if path is None else inputs.read(path)
        verdict = None if source is None else validate_text(source.text, source.name, environment)
        context = Context(
            source=source,
            verdict=verdict,
            environment=environment,
            admin_port=admin_port or DEFAULT_ADMIN_PORT,
            admin_port_given=admin_port is not None,
            connect=connect,
        )
        report = asyncio.run(doctors.examine(context, doctors.STANDALONE, subject=source.name if source else ""))
        return _diagnosed(report, form)

    return _guarded(work)


def doctor_of_cluster(*, namespace: str, envoy_gateway_namespace: str, kubeconfig: str | None, form: Format) -> int:
    """`kubeconfig`: None is the one that kubectl would take, or the pod's own account."""

    settings = Settings(namespace=namespace, envoy_gateway_namespace=envoy_gateway_namespace)

    async def work() -> Report:
        configuration = await KubernetesApi.configuration(None if kubeconfig is None else Path(kubeconfig))
        async with KubernetesApi(configuration) as api:
            server = str(configuration.host)
            cluster = await reading.read(api, settings, server=server, now=datetime.now(UTC))
            return await doctors.examine(cluster, CLUSTER, subject=server)

    def told() -> int:
        try:
            report = asyncio.run(work())
        except NoCluster as exc:
            raise UnusableInput(f"{exc}; name one with --kubeconfig, or set KUBECONFIG") from exc
        except ApiError as exc:
            raise UnusableInput(str(exc)) from exc
        return _diagnosed(report, form)

    return _guarded(told)


def _diagnosed(report: Report, form: Format) -> int:
    _show("doctor", report, form, doctor_screen.draw)
    return BAD if report.verdict == "error" else FINE


def _guarded(work: Callable[[], int]) -> int:
    try:
        return work()
    except UnusableInput as exc:
        _warn(exc.warnings)
        for message in exc.messages:
            print(f"aigw: {message}", file=sys.stderr)
        return UNUSABLE


def _show(command: str, result: T, form: Format, draw: Callable[[Console, T], None]) -> None:
    if form == "json":
        _write(output.document(command, result) + "\n")
    else:
        base.show(draw, result)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
