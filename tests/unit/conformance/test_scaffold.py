"""Adding a provider is one file in filters/providers and one folder of cases: proved with a made-up provider."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import in_process, scaffold
from conformance.case import Case, load_all
from conformance.observation import differences
from filters import providers
from filters.providers import registry
from hack import generate_schemas

MADE_UP = "parrot"
SCHEMA = "Cohere"
"""a schema name of the CRD that no provider here serves for chat"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A made-up provider in a folder of its own, which the package of providers also looks into."""
    scaffold.write(MADE_UP, schema=SCHEMA, root=tmp_path)
    folder = str(tmp_path / "filters" / "providers")
    providers.__path__.append(folder)
    try:
        yield tmp_path
    finally:
        providers.__path__.remove(folder)
        sys.modules.pop(f"filters.providers.{MADE_UP}", None)
        if hasattr(providers, MADE_UP):
            delattr(providers, MADE_UP)


def cases_of(project: Path) -> list[Case]:
    return load_all(project / "conformance" / "cases")


def test_the_registry_finds_the_module_by_itself(project: Path) -> None:
    assert registry.load()[SCHEMA].schema == SCHEMA
    assert set(registry.load()) > {"OpenAI", "Anthropic", "AWSBedrock"}


def test_its_schema_becomes_a_value_of_the_api(project: Path) -> None:
    module = project / "filters" / "providers" / f"{MADE_UP}.py"
    module.write_text(module.read_text().replace(f'"{SCHEMA}"', '"Parrot"'))
    assert generate_schemas.render(registry.load()).endswith('    "AWSAnthropic",\n    "Parrot",\n]\n')


def test_its_cases_run_in_process_in_every_way(project: Path) -> None:
    cases = cases_of(project)
    for case in cases:
        assert in_process.write_fixtures(case)
    assert {case.name: differences(case, in_process.observe(case)) for case in cases} == {
        f"{MADE_UP}/chat_completions/{name}": [] for name in ("error", "stream-cut", "stream-text", "unary-text")
    }


def test_the_whole_way_from_the_clients_words_to_its_answer_is_there(project: Path) -> None:
    (case,) = (case for case in cases_of(project) if case.name.endswith("unary-text"))
    seen = in_process.observe(case)
    assert seen.request is not None
    assert (seen.request.path, seen.request.headers["authorization"]) == ("/v1/generate", "Bearer upstream-key")
    assert b'"turns":[{"speaker":"system","text":"Be brief."}' in seen.request.body
    assert b'"content":"Hello."' in seen.response.body
    assert seen.accounting is not None
    assert seen.accounting.usage is not None
    assert seen.accounting.usage.total == 11


def test_the_generated_module_is_clean(project: Path) -> None:
    module = project / "filters" / "providers" / f"{MADE_UP}.py"
    check = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", "pyproject.toml", "--no-cache", str(module)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--config", "pyproject.toml", "--no-cache", str(module)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize("name", ["Acme", "1acme", "ac-me", "", "acme__x"])
def test_a_name_that_is_no_module_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(scaffold.ScaffoldError, match="lower_snake_case"):
        scaffold.write(name, root=tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    scaffold.write("acme", root=tmp_path)
    with pytest.raises(scaffold.ScaffoldError, match="exists already"):
        scaffold.write("acme", root=tmp_path)


def test_a_new_schema_name_is_pointed_out() -> None:
    assert "make generate" in scaffold.next_steps("acme")
    assert "make generate" not in scaffold.next_steps("acme", "Anthropic")
