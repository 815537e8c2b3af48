"""Files of Go modules, checked against their sums: charts and definitions that others publish with their code."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from filters.contract import jsonlib


class NotThere(RuntimeError):
    """The module could not be had."""


@cache
def folder(module: str, checksum: str) -> Path:
    """`module`: path@version. Raises NotThere."""
    try:
        output = subprocess.run(
            ["go", "mod", "download", "-json", module], capture_output=True, check=True, cwd="/", timeout=120
        ).stdout
    except (OSError, subprocess.SubprocessError) as exc:
        raise NotThere(f"{module}: {exc}") from exc
    found = jsonlib.decoder(dict[str, Any])(output)
    if found.get("Sum") != checksum:
        raise NotThere(f"{module} has sum {found.get('Sum')}, not {checksum}")
    return Path(found["Dir"])
