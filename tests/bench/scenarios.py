"""What `make bench` measures: the rows of its table, as data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

Kind = Literal["bare", "pass", "anthropic", "bedrock", "attempt", "failover"]
KINDS: Final[dict[Kind, str]] = {
    "bare": "bare Envoy",
    "pass": "pass-through",
    "anthropic": "OpenAI to Anthropic",
    "bedrock": "OpenAI to Bedrock",
    "attempt": "failover, first provider answers",
    "failover": "failover, first provider says 503",
}
SIZES: Final = (1, 6, 64, 600)
CONNECTIONS: Final = (1, 32)
RATES: Final = {1: 1500, 6: 1500, 64: 600, 600: 100}
"""KB → requests per second of the rows that ask at the same pace of every system. What a request costs depends on how
many come at once (each system call, wake-up and gRPC frame serves several under load), so a bare Envoy that is asked
20,000 times per second is no measure for a gateway that is asked 4,000 times."""
STREAM_CONNECTIONS: Final = 8
"""with a chunk every 2 ms on each: 4,000 chunks/s, which two cores can serve without anything piling up"""
BIG: Final = 6_000
"""KB of the largest body"""
LONG: Final = 5_000
"""chunks of the longest stream"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One backend of a rule: its schema, and what the upstream answers (a key of `answers`)."""

    schema: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row."""

    group: Literal["unary", "paced", "stream", "bytes", "chunks", "routes"]
    kind: Kind
    kilobytes: int
    connections: int
    chunks: int = 0
    gzip: bool = False
    routes: int = 1
    rate: int = 0
    """requests per second over all connections; 0: each connection asks as soon as it has its answer"""

    @property
    def name(self) -> str:
        parts: list[str] = [self.group, self.kind, f"{self.kilobytes}KB", f"{self.connections}c"]
        if self.chunks:
            parts.append(f"{self.chunks}ch" + ("-gzip" if self.gzip else ""))
        if self.routes > 1:
            parts.append(f"{self.routes}routes")
        return "/".join(parts)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """In the order of their priorities."""
        suffix = ""
        if self.chunks:
            suffix = f"-{self.chunks}" + ("-gzip" if self.gzip else "") + ("-fast" if self.group == "chunks" else "")
        openai = Backend(schema="OpenAI", answer=f"openai{suffix}")
        anthropic = Backend(schema="Anthropic", answer=f"anthropic{suffix}")
        return {
            "bare": (openai,),
            "pass": (openai,),
            "anthropic": (anthropic,),
            "bedrock": (Backend(schema="AWSBedrock", answer=f"bedrock{suffix}"),),
            "attempt": (openai, anthropic),
            "failover": (Backend(schema="OpenAI", answer="unavailable"), anthropic),
        }[self.kind]

    @property
    def model(self) -> str:
        """The rule: scenarios that differ only in body and connections share one."""
        return f"bench-{self.kind}" + self.backends[-1].answer.removeprefix(self.backends[-1].answer.partition("-")[0])

    def body(self) -> bytes:
        return chat_request(self.model, self.kilobytes * 1000, stream=self.chunks > 0)


def chat_request(model: str, size: int, *, stream: bool) -> bytes:
    """A conversation of about `size` bytes, in turns of about 400 bytes (2,000 in long ones)."""
    turn = "What the model said before, and what the person asked for then: more of the same. " * (
        5 if size < 100_000 else 25
    )
    messages = [{"role": "system", "content": "You are a bench. Be quick."}]
    length = 120
    while length + len(turn) + 40 < size:
        messages.append({"role": "assistant" if len(messages) % 2 == 0 else "user", "content": turn})
        length += len(turn) + 34
    role = "assistant" if len(messages) % 2 == 0 else "user"
    messages.append({"role": role, "content": "x" * max(1, size - length - 34)})
    if role == "assistant":
        messages.append({"role": "user", "content": "Go on."})
    body: dict[str, object] = {"model": model, "messages": messages, "max_tokens": 100}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


def full() -> list[Scenario]:
    """Every row of `make bench`, without those that need another configuration (`routes`)."""
    return [*_unary(SIZES, CONNECTIONS), *_paced(), *_streams((50, 500)), *_scaling()]


def quick() -> list[Scenario]:
    """The rows that the targets are about."""
    unary = [
        Scenario(group="unary", kind=kind, kilobytes=6, connections=32)
        for kind in ("bare", "pass", "anthropic", "bedrock", "attempt")
    ]
    unary += [
        Scenario(group="paced", kind=kind, kilobytes=6, connections=32, rate=RATES[6])
        for kind in ("bare", "pass", "anthropic", "bedrock", "attempt")
    ]
    streams = [
        Scenario(group="stream", kind=kind, kilobytes=1, connections=STREAM_CONNECTIONS, chunks=500)
        for kind in ("bare", "pass", "anthropic", "bedrock")
    ]
    return [*unary, *streams]


def _unary(sizes: tuple[int, ...], connections: tuple[int, ...]) -> Iterator[Scenario]:
    for count in connections:
        for size in sizes:
            for kind in KINDS:
                yield Scenario(group="unary", kind=kind, kilobytes=size, connections=count)


def _paced() -> Iterator[Scenario]:
    for size, rate in RATES.items():
        for kind in KINDS:
            yield Scenario(group="paced", kind=kind, kilobytes=size, connections=32, rate=rate)


def _streams(lengths: tuple[int, ...]) -> Iterator[Scenario]:
    for gzip in (False, True):
        for chunks in lengths:
            for kind in ("bare", "pass", "anthropic", "bedrock"):
                if not (gzip and kind == "bedrock"):  # Bedrock does not compress its streams
                    yield Scenario(
                        group="stream",
                        kind=kind,
                        kilobytes=1,
                        connections=STREAM_CONNECTIONS,
                        chunks=chunks,
                        gzip=gzip,
                    )


def _scaling() -> Iterator[Scenario]:
    for kind in ("bare", "pass", "anthropic", "bedrock"):
        for size in (600, BIG):
            yield Scenario(group="bytes", kind=kind, kilobytes=size, connections=1)
    for gzip in (False, True):
        for kind in ("bare", "pass", "anthropic"):
            for chunks in (500, LONG):
                yield Scenario(group="chunks", kind=kind, kilobytes=1, connections=2, chunks=chunks, gzip=gzip)


def routes(kinds: Sequence[Kind] = ("pass", "bedrock")) -> list[Scenario]:
    """Rows that are measured with few and with many rules."""
    return [
        Scenario(group="routes", kind=kind, kilobytes=1, connections=32, routes=count)
        for kind in kinds
        for count in (1, 2000)
    ]
