"""A rule with more backends than one HTTPRoute rule holds: all of them serve, and failover stays."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conformance.upstream.http_server import Server, serve
from filters.contract import jsonlib
from tests.standalone import files
from tests.standalone.gateway import running
from tests.standalone.test_traffic import ask, down, openai

pytestmark = pytest.mark.envoy

BACKENDS = 20


def models(server: Server) -> Counter[str]:
    return Counter(jsonlib.decode(request.body, dict[str, Any])["model"] for request in server.requests)


async def test_every_backend_of_a_long_rule_serves(tmp_path: Path) -> None:
    async with serve(openai, record=True) as one:
        refs = [{"name": "one", "modelNameOverride": f"m{number}"} for number in range(BACKENDS)]
        text = files.text(files.gateway(), files.backend("one", "OpenAI", one.port), files.route({"m": refs}))
        with running(tmp_path / "run", text) as gateway:
            for _ in range(8 * BACKENDS):
                assert (await ask(gateway)).status_code == 200
        # That chance leaves out two of twenty in 160 requests is not to be seen in a lifetime of runs.
        assert len(models(one)) >= BACKENDS - 2


async def test_each_share_fails_over(tmp_path: Path) -> None:
    async with serve(down, record=True) as broken, serve(openai, record=True) as spare:
        refs: list[files.Document] = [{"name": "broken", "modelNameOverride": f"m{n}"} for n in range(BACKENDS)]
        refs.append({"name": "spare", "modelNameOverride": "spare", "priority": 1})
        text = files.text(
            files.gateway(),
            files.backend("broken", "OpenAI", broken.port),
            files.backend("spare", "OpenAI", spare.port),
            files.route({"m": refs}),
            files.retry(),
        )
        with running(tmp_path / "run", text) as gateway:
            assert {(await ask(gateway)).status_code for _ in range(20)} == {200}
        assert models(spare) == {"spare": 20}
        assert len(models(broken)) > 10
