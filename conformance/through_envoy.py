"""Runs cases through the real thing: `aigw run` with a generated file, a real Envoy, upstreams that replay.

One gateway serves every (case, plan) of a run. What the provider received, what the client received and what was
counted (the access log) is compared with the same expected files as in process.
"""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import msgspec

from conformance.case import Case, Plan
from conformance.gateway import free_port, running
from conformance.observation import Observation, SeenRequest, SeenResponse, differences
from conformance.resources import CASE_HEADER, COSTS, Run, document
from conformance.upstream.http_server import Request
from conformance.upstream.replay import Replay, replaying
from filters.auth.base import CREDENTIAL_HEADERS
from filters.contract.config import DROPPED_HEADER, MODEL_HEADER

ANSWER_LIMIT: Final = 20.0
_Line = dict[str, object]
_CLIENT_KEY: Final = "clients-own-key-must-stay-here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one case showed by one plan; no differences: it passed."""

    case: Case
    plan: Plan
    differences: tuple[str, ...]


async def run_all(cases: Iterable[Case]) -> list[Verdict]:
    """Every case that Envoy can show, by each of its plans. Raises GatewayFailed."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        access_log = Path(directory) / "access.jsonl"
        async with replayed(cases) as replays:
            if not replays.runs:
                return []
            port = free_port()
            file = Path(directory) / "gateway.yaml"
            file.touch(mode=0o600)
            file.write_text(document(replays.runs, port=port, access_log=str(access_log)))
            with running(str(file), port=port) as gateway:
                seen = await replays.observe(gateway.base_url, gateway.check)
        # Envoy writes its log in its own time, and all of it when it stops.
        return verdicts(seen, access_log)


@dataclass(frozen=True, slots=True)
class Replays:
    """Every run, and the upstream of each case."""

    runs: tuple[Run, ...]
    _of: Mapping[str, Replay]

    async def observe(self, base_url: str, check: Callable[[], object]) -> list["Seen"]:
        """Sends every request once. `check` is called after each: it raises when the gateway has ended."""
        async with httpx.AsyncClient(base_url=base_url, timeout=ANSWER_LIMIT, trust_env=False) as client:
            return [await _seen(check, client, run, self._of[run.case.name]) for run in self.runs]


@contextlib.asynccontextmanager
async def replayed(cases: Iterable[Case], host: str = "127.0.0.1") -> AsyncIterator[Replays]:
    """The upstreams listen on `host` until the block ends."""
    wanted = [(case, plan) for case in cases if "envoy" in case.via for plan in case.plans]
    async with contextlib.AsyncExitStack() as stack:
        replays: dict[str, Replay] = {}
        for case, _ in wanted:
            if case.name not in replays:
                replays[case.name] = await stack.enter_async_context(replaying(case, host))
        runs = (
            Run(case=case, plan=plan, number=number, port=replays[case.name].port)
            for number, (case, plan) in enumerate(wanted)
        )
        yield Replays(tuple(runs), replays)


def verdicts(seen: Iterable["Seen"], access_log: Path) -> list[Verdict]:
    """What was seen, and what the finished access log counts."""
    lines = _log_lines(access_log)
    return [
        Verdict(
            case=each.run.case,
            plan=each.run.plan,
            differences=(
                *each.differences,
                *_accounting_differences(each.run, each.response, lines.get(each.run.key)),
            ),
        )
        for each in seen
    ]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one request showed to the client and to the provider."""

    run: Run
    response: SeenResponse
    differences: tuple[str, ...]


async def _seen(check: Callable[[], object], client: httpx.AsyncClient, run: Run, replay: Replay) -> Seen:
    replay.take()
    response, broken = await _ask(client, run)
    check()
    received = replay.take()
    problems = [problem for request in received for problem in _leaks(request, run.case)]
    if len(received) > 1:
        problems.append(f"the provider received {len(received)} requests")
    if broken and (run.case.answer is None or run.case.answer.cut != "reset"):
        problems.append(f"the client's connection broke: {broken}")
    request = _seen_request(received[0], run.case) if received else None
    problems += differences(run.case, Observation(request=request, response=response, accounting=None))
    return Seen(run, response, tuple(problems))


async def _ask(client: httpx.AsyncClient, run: Run) -> tuple[SeenResponse, str]:
    """The client's view, and how the connection broke, if it did."""
    headers = {"authorization": f"Bearer {_CLIENT_KEY}"} if run.case.credential is not None else {}
    headers |= run.case.client.sent_headers() | {CASE_HEADER: run.key}
    body = bytearray()
    broken = ""
    status, seen = 0, dict[str, str | None]()
    try:
        async with client.stream("POST", run.case.client.path, content=run.case.client_body, headers=headers) as answer:
            status, seen = answer.status_code, dict(answer.headers)
            async for piece in answer.aiter_bytes():
                body += piece
    except httpx.HTTPError as exc:
        broken = f"{type(exc).__name__}: {exc}"
    return SeenResponse(status=status, headers=seen, body=bytes(body)), broken


def _seen_request(request: Request, case: Case) -> SeenRequest:
    return SeenRequest(
        method=request.method,
        path=request.target,
        headers=dict(request.headers.items),
        body=request.body,
        unchanged=request.body == case.client_body,
    )


def _leaks(request: Request, case: Case) -> Iterable[str]:
    """What must never reach a provider, whatever the case."""
    for name, value in request.headers.items:
        if name.startswith("x-ai-eg-") and name != MODEL_HEADER:
            yield f"internal header {name} reached the provider"
        if case.credential is not None and name in CREDENTIAL_HEADERS and _CLIENT_KEY in value:
            yield f"the client's {name} reached the provider"
    length = request.headers.get("content-length")
    if length and int(length) != len(request.body):
        yield f"content-length {length} for {len(request.body)} bytes"


def _accounting_differences(run: Run, response: SeenResponse, line: _Line | None) -> Iterable[str]:
    """Compares the access-log line with usage.json: token counts, the model, what was dropped."""
    path = run.case.directory / "usage.json"
    if not path.is_file():
        return
    expected = msgspec.json.decode(path.read_bytes())
    dropped = list(filter(None, (response.headers.get(DROPPED_HEADER) or "").split(", ")))
    if dropped != expected.get("dropped", []):
        yield f"usage.json.dropped: expected {expected.get('dropped', [])}, is {dropped}"
    if line is None:
        if run.case.answer is not None:
            yield "no access-log line"
        return
    for key in COSTS:
        count = _count(line.get(key))
        # A count that the provider did not give may be reported as 0.
        if (count or 0) != expected.get(key, 0):
            yield f"usage.json.{key}: expected {expected.get(key)}, the access log says {count}"
    model = line.get("model")
    if expected.get("model") and model not in (None, "", "-", expected["model"]):
        yield f"usage.json.model: expected {expected['model']!r}, the access log says {model!r}"


def _count(value: object) -> int | None:
    return None if value is None or value in ("", "-") else int(float(str(value)))


def _log_lines(path: Path) -> dict[str, _Line]:
    """Value of CASE_HEADER → access-log line."""
    if not path.is_file():
        return {}
    lines = (msgspec.json.decode(text, type=_Line) for text in path.read_bytes().splitlines())
    return {str(line.get("case")): line for line in lines}
