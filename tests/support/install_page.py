"""The commands of docs/install.md, as a reader would run them: every block of `sh`, by section."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "install.md"
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, tuple[str, ...]]:
    """Title → its commands, each in one line. Sections without commands are not there."""
    found = {}
    for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        blocks = [re.sub(r" \\\n\s+", " ", block[1]) for block in _BLOCK.finditer(text)]
        commands = [line for block in blocks for line in block.replace("' \n  -d", "' -d").splitlines() if line]
        if commands:
            found[title] = tuple(commands)
    return found
