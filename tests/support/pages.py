"""Commands of the pages for people who run the gateway in a cluster: blocks to paste, and commands within sentences.

Knows no cluster. The rings run them (tests/gateway, tests/e2e); what no test runs stands in `NOT_RUN`, with its reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
INSTALL: Final = ROOT / "docs" / "install.md"
OPERATIONS: Final = ROOT / "docs" / "operations.md"
PROGRAMS: Final = frozenset({"aigw", "curl", "docker", "helm", "kind", "kubectl", "make", "pip", "python"})
NOT_RUN: Final = {
    "docker build ": "needs a container engine; tests/unit/docs holds its words against the Dockerfile and the charts",
    "helm pull ": "fetches from another project; the same chart is packed from its source",
    "kind load docker-image ": "the ring loads its images by `Cluster.load`",
    "make lab-up": "this is the cluster of the ring",
    "make lab-exec ": "the way of people to where the shell of the test is",
    "make setup": "this is the environment that the tests run in",
    "pip install .": "tests/standalone asks pip whether it could",
    "aigw run": "the name of a command of another page",
    "kubectl -n envoy-ai-gateway-system get issuers,certificates": "cert-manager is in tests/gateway/test_webhook.py",
    "kubectl describe": "of whatever is wrong: the sentence goes on",
    "kubectl -n envoy-gateway-system logs POD -c ai-gateway-extproc --previous": "is there after a container has died",
}
"""Command → why no test runs it. One that ends in a space is the beginning of commands."""
_PART: Final = re.compile(r"^```(\w*)\n(.*?)^```$|^## (.+?)$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`([^`\n]+)`")
_CONTINUED: Final = re.compile(r" \\\n\s*|(?<=\|)\n\s*")


@dataclass(frozen=True, slots=True)
class Block:
    section: str
    """empty before the first"""
    language: str
    text: str

    @property
    def commands(self) -> tuple[str, ...]:
        """Each in one line."""
        return tuple(line for line in _CONTINUED.sub(" ", self.text).splitlines() if line)

    @property
    def runnable(self) -> str:
        """What tests run of it, as it is written."""
        return "".join(line for line in self.text.splitlines(keepends=True) if not reason(line))


def blocks(page: Path) -> Iterator[Block]:
    """In the order of the page."""
    section = ""
    for part in _PART.finditer(page.read_text()):
        if part[3]:
            section = part[3]
        else:
            yield Block(section, part[1], part[2])


def for_release(page: Path, version: str) -> tuple[Block, ...]:
    """The blocks of `sh`, without those that are for another release of Envoy Gateway than `version`, as `v1.8.1`."""
    named = re.compile(r"\bv1\.\d+\.\d+\b")
    return tuple(each for each in blocks(page) if each.language == "sh" and {*named.findall(each.text)} <= {version})


def within_sentences(page: Path) -> tuple[str, ...]:
    """Commands in the text between the blocks, each once."""
    text = _PART.sub("", page.read_text())
    found = (code for code in _CODE.findall(text) if code.partition(" ")[0] in PROGRAMS and " " in code)
    return tuple(dict.fromkeys(found))


def reason(command: str) -> str:
    """Why no test runs it; empty when one does."""
    for known, why in NOT_RUN.items():
        if command == known or (known.endswith(" ") and command.startswith(known)):
            return why
    return ""
