"""Where built programs are looked for."""

import time
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


@pytest.fixture
def go(modules: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the compiler; tests write what it does. `$out` is where the binary belongs."""
    script = modules / "go"
    monkeypatch.setattr(build.shutil, "which", lambda *_, **__: str(script))
    return script


def write(script: Path, body: str) -> None:
    script.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nout=$2\n{body}\n')
    script.chmod(0o755)


def test_a_program_is_built_once_and_what_an_older_state_had_goes(go: Path, modules: Path) -> None:
    write(go, 'echo "$CGO_ENABLED $GOFLAGS" > "$out"; pwd >> "$out"')
    old = build.place("etcd")
    assert build.build("etcd", deadline=time.monotonic() + 60)
    assert old.read_text() == f"0 -buildvcs=false -mod=readonly\n{modules}/etcd\n"
    write(go, "exit 1")
    assert build.build("etcd", deadline=time.monotonic() + 60)
    with (modules / "etcd" / "go.mod").open("a") as file:
        file.write("\n")
    write(go, 'touch "$out"')
    assert build.build("etcd", deadline=time.monotonic() + 60)
    assert (build.place("etcd").is_file(), old.parent.exists()) == (True, False)


def test_a_build_that_fails_says_why_and_leaves_nothing(go: Path) -> None:
    write(go, 'touch "$out"; echo "undefined: x" >&2; exit 2')
    with pytest.raises(build.BuildFailed, match="undefined: x"):
        build.build("etcd", deadline=time.monotonic() + 60)
    assert [path.name for path in build.place("etcd").parent.iterdir()] == ["lock"]


def test_a_build_without_time_is_given_up_with_everything_that_it_started(go: Path, modules: Path) -> None:
    write(go, f'sleep 60 & echo $! > {modules}/child; touch "$out"; wait')
    assert not build.build("etcd", deadline=time.monotonic() + 0.5)
    assert build.missing(["etcd"]) == ["etcd"]
    state = Path(f"/proc/{(modules / 'child').read_text().strip()}/stat")
    # gone, or a zombie that nobody has asked for yet
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["etcd"], 0, "building etcd (about 71 s on two cores)"),
        ([], build.NOT_BUILT, "etcd                     not built"),
        (["--seconds", "0", "etcd"], build.NOT_BUILT, "etcd is not built: there was no time left"),
    ],
)
def test_the_command_tells_by_its_code_what_is_built(
    go: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    write(go, 'touch "$out"' if code == 0 else "sleep 60")
    monkeypatch.setattr(build.sys, "argv", ["build", *arguments])
    assert build.main() == code
    captured = capsys.readouterr()
    assert says in captured.out + captured.err


def test_a_misspelt_program_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(build.sys, "argv", ["build", "etdc"])
    with pytest.raises(SystemExit):
        build.main()
    assert "not a tool: etdc (choose from etcd, " in capsys.readouterr().err
