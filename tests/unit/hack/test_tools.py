"""Where built programs are looked for."""

from pathlib import Path

import pytest

from hack.tools import build


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the module files, and a cache of its own."""
    for tool in build.TOOLS.values():
        folder = tmp_path / tool.module
        folder.mkdir(exist_ok=True)
        for name in ("go.mod", "go.sum"):
            (folder / name).write_bytes((build.MODULES / tool.module / name).read_bytes())
    monkeypatch.setattr(build, "MODULES", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_change_of_the_module_asks_for_another_binary(modules: Path) -> None:
    before = {name: build.place(name) for name in build.TOOLS}
    with (modules / "etcd" / "go.sum").open("a") as file:
        file.write("\n")
    after = {name: build.place(name) for name in build.TOOLS}
    assert [name for name in build.TOOLS if before[name] != after[name]] == ["etcd"]
    assert before["etcd"].is_relative_to(modules / "cache" / "aigw" / "tools")


def test_programs_are_missing_until_they_are_built(modules: Path) -> None:
    assert build.missing(["etcd", "kube-apiserver"]) == ["etcd", "kube-apiserver"]
    build.place("etcd").parent.mkdir(parents=True)
    build.place("etcd").touch()
    assert build.missing(["etcd", "kube-apiserver"]) == ["kube-apiserver"]


def test_without_go_the_message_says_which_to_install(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda *_, **__: None)
    with pytest.raises(build.BuildFailed, match=r"install Go 1\.\d+(\.\d+)? or newer"):
        build.build("etcd", deadline=0)
