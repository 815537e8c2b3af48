"""Writes the metadata of the project, name and version, as an installation would: `metadata.py PYPROJECT FOLDER`."""

import sys
import tomllib
from pathlib import Path


def main(pyproject: str, folder: str) -> None:
    project = tomllib.loads(Path(pyproject).read_text())["project"]
    name, version = project["name"], project["version"]
    target = Path(folder, f"{name}-{version}.dist-info")
    target.mkdir()
    (target / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
