"""Every command and listing of README.md does what README.md says.

Commands are taken from its ```sh blocks. What would install or measure is asked of make and pip without doing it;
everything else is run, with free ports in place of the usual ones.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from filters.contract import jsonlib
from tests.standalone.gateway import Gateway, running
from tests.support.waiting import LIMIT, wait_until

pytestmark = pytest.mark.envoy

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [" ".join(line.split()) for line in lines]


def of(program: str) -> list[str]:
    """The commands that run `program`, whatever variables they set."""
    return [command for command in commands() if plain(command)[0] == program]


def plain(command: str) -> list[str]:
    """Words, without assignments in front."""
    words = shlex.split(command)
    while re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    return words


def variables(command: str) -> dict[str, str]:
    return dict(re.findall(r"(?:^| )([A-Z_]+)=(\S+)", command))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("readme") / "run") as gateway:
        yield gateway


def test_there_is_no_command_that_nobody_runs() -> None:
    assert {plain(command)[0] for command in commands()} == {"make", "curl", "pip", "aigw"}


@pytest.mark.parametrize("command", of("make"))
def test_make_knows_the_target(command: str) -> None:
    found = subprocess.run(["make", "-n", *plain(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=True)
    if plain(command)[1:] == ["run"]:
        assert re.search(r"aigw run +--port 1975$", found.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", of("pip"))
def test_pip_can_install_it(command: str) -> None:
    options = ["--dry-run", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", *plain(command), *options], cwd=ROOT, check=True)


@pytest.mark.parametrize("command", of("curl"))
def test_curl_gets_an_answer(gateway: Gateway, command: str) -> None:
    answer = curl(gateway, command)
    assert answer.status_code == 200
    if "chat/completions" in command:
        assert "42" in re.sub(r"[^0-9]", "", "".join(re.findall(r'"content":"([^"]*)"', answer.text)))


def curl(gateway: Gateway, command: str) -> httpx.Response:
    words = iter(plain(command)[1:])
    url, body = "", None
    headers: dict[str, str] = {}
    for word in words:
        match word:
            case "-N":
                pass
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                body = next(words)
            case _:
                assert not word.startswith("-"), word
                url = word.replace(":1975/", f":{gateway.port}/").replace(":1064/", f":{gateway.admin_port}/")
    method = "GET" if body is None else "POST"
    return httpx.request(method, url, content=body, headers=headers, timeout=LIMIT, trust_env=False)


def test_the_answer_is_the_one_that_is_shown(gateway: Gateway) -> None:
    (shown,) = blocks("json")
    answered = jsonlib.decode(curl(gateway, of("curl")[0]).content, dict[str, Any])
    assert {**answered, "created": 0} == {**jsonlib.decode(shown.encode(), dict[str, Any]), "created": 0}


def test_what_is_printed_at_the_start_is_what_is_shown(gateway: Gateway) -> None:
    def neutral(text: str) -> list[str]:
        text = text.replace(str(gateway.port), "1975").replace(str(gateway.admin_port), "1064")
        return re.sub(r"after [0-9.]+ s", "after 1.1 s", text).splitlines()

    (shown,) = (block for block in blocks("text") if block.startswith("aigw is ready"))
    lines = shown.splitlines()
    assert neutral(gateway.err())[: len(lines)] == lines


@pytest.mark.parametrize("program", blocks("python"))
def test_the_sdk_gets_an_answer(gateway: Gateway, program: str) -> None:
    program = program.replace("http://localhost:1975", gateway.url)
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=LIMIT)
    assert "6 x 7 = 42" in found.stdout


def test_the_listing_is_a_piece_of_the_example() -> None:
    (shown,) = blocks("yaml")
    assert shown in (ROOT / "examples" / "failover.yaml").read_text()


@pytest.mark.parametrize("command", [command for command in of("aigw") if plain(command)[1] == "validate"])
def test_a_file_can_be_checked(command: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", *plain(command)],
        cwd=ROOT,
        env={**os.environ, **variables(command)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.endswith(f" {plain(command)[2]}: ok\n")


@pytest.mark.parametrize("command", [command for command in of("aigw") if plain(command)[1] == "run"])
def test_a_file_can_be_run(tmp_path: Path, command: str) -> None:
    text = (ROOT / plain(command)[2]).read_text()
    assert "port: 1975" in text
    with running(tmp_path / "run", text.replace("port: 1975", "port: PORT"), more=variables(command)) as gateway:
        answer = httpx.get(f"{gateway.url}/v1/models", trust_env=False, timeout=LIMIT)
        assert [model["id"] for model in answer.json()["data"]] == ["chat"]


@pytest.mark.parametrize("command", [command for command in of("make") if "API_KEY" in command])
def test_a_key_in_the_environment_replaces_the_demo(tmp_path: Path, command: str) -> None:
    with running(tmp_path / "run", more=variables(command)) as gateway:
        assert "(from the environment)" in gateway.err()


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path / "run") as gateway:
        children = gateway.children()
        assert gateway.stop(signal.SIGINT) == 0
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), lambda: str(children))


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
