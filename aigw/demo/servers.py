"""Starts the demo's providers."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aigw.demo import anthropic, bedrock, openai
from conformance.upstream.http_server import serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where they listen on 127.0.0.1."""

    openai: int
    anthropic: int
    bedrock: int
    down: int


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Ports]:
    """All four, on free ports, until the block ends."""
    async with (
        serve(openai.handle) as openai_server,
        serve(anthropic.handle) as anthropic_server,
        serve(bedrock.handle) as bedrock_server,
        serve(openai.always_down) as down,
    ):
        yield Ports(
            openai=openai_server.port, anthropic=anthropic_server.port, bedrock=bedrock_server.port, down=down.port
        )
