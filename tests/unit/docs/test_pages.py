"""Every command of the pages for clusters is run by a test, or stands among those that none runs, with its reason."""

import re
from pathlib import Path

import pytest
import yaml

from hack.lab.envoy_gateway import RELEASES, Release
from tests.support import pages
from tests.support.pages import INSTALL, OPERATIONS, ROOT

ELSEWHERE = ("storedVersions",)
"""what blocks have that another test takes from the page: tests/gateway/test_stored_versions.py"""


@pytest.mark.parametrize("page", [INSTALL, OPERATIONS], ids=lambda page: page.stem)
def test_commands_stand_in_blocks_that_tests_run(page: Path) -> None:
    # The ring with pods runs every block of `sh` of the install page, in the order of the page.
    for block in pages.blocks(page):
        if block.language != "sh":
            beginnings = {line.split()[0] for line in block.text.splitlines() if line.strip()}
            assert not beginnings & {*pages.PROGRAMS, "export"}, f"a block that no test runs:\n{block.text}"


def test_no_block_of_operations_is_run_by_nobody() -> None:
    shells = [block.text for block in pages.blocks(OPERATIONS) if block.language == "sh"]
    assert [text for text in shells if not any(mark in text for mark in ELSEWHERE)] == []


def test_each_reason_is_still_that_of_a_command() -> None:
    lines = [line for block in pages.blocks(INSTALL) for line in block.text.splitlines()]
    commands = [*lines, *pages.within_sentences(INSTALL), *pages.within_sentences(OPERATIONS)]
    reasons = {pages.reason(command) for command in commands} - {""}
    assert reasons == set(pages.NOT_RUN.values())


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_every_release_of_envoy_gateway_has_its_chart_and_values(release: Release) -> None:
    chart = f"gateway-helm-{release.version}.tgz"
    assert _exported(release.version) == [f"EG_CHART={chart}", f"EG_VALUES=manifests/{release.values}"]


def _exported(version: str) -> list[str]:
    commands = [command for block in pages.for_release(INSTALL, version) for command in block.commands]
    (found,) = (command for command in commands if command.startswith("export "))
    return found.split()[1:]


def test_images_are_built_under_the_names_that_the_chart_pulls() -> None:
    chart = ROOT / "manifests" / "charts" / "ai-gateway-helm"
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"]
    values = yaml.safe_load((chart / "values.yaml").read_text())
    commands = [command for block in pages.blocks(INSTALL) for command in block.commands]
    built = [command.split() for command in commands if command.startswith("docker build ")]
    named = {words[words.index("-t") + 1] for words in built}
    assert named == {f"{values[part]['image']['repository']}:{version}" for part in ("controller", "extProc")}
    for words in built:
        assert words[-1] == "."
        dockerfile = (ROOT / words[words.index("-f") + 1]).read_text()
        assert re.search(rf"^FROM \S+ AS {words[words.index('--target') + 1]}$", dockerfile, re.MULTILINE)
