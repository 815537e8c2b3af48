"""The lab's machine, as far as it goes without being root."""

import os
from pathlib import Path

import pytest

from hack.lab import control_groups, folders
from hack.lab.folders import State
from hack.lab.machine import Machine, NoMachine


def test_each_state_folder_is_a_lab_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("AIGW_LAB", raising=False)
    usual = folders.state()
    assert usual.root == tmp_path / "aigw" / "lab"
    monkeypatch.setenv("AIGW_LAB", str(tmp_path / "other"))
    assert folders.state().root == tmp_path / "other"
    assert Machine(usual).control_group != Machine(folders.state()).control_group


def test_a_lab_that_nobody_started_is_down(tmp_path: Path) -> None:
    machine = Machine(State(tmp_path))
    assert machine.pid is None
    assert machine.running() == {}
    with pytest.raises(NoMachine, match="make lab-up"):
        machine.command(["true"])


def test_a_pid_that_is_another_process_by_now_is_nothing_of_the_lab(tmp_path: Path) -> None:
    state = State(tmp_path)
    (tmp_path / "machine").write_text(f'[{os.getpid()},"1"]')
    state.pids.mkdir()
    (state.pids / "kubelet").write_text(f'[{os.getpid()},"1"]')
    assert Machine(state).pid is None
    assert Machine(state).running() == {}
    assert Machine(state).ended() == ["kubelet"]


def test_who_is_not_root_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NoMachine, match="root"):
        Machine(State(tmp_path)).up(None)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(control_groups, "_ROOT", tmp_path)
    return tmp_path


def test_in_version_2_there_is_one_control_group(groups: Path) -> None:
    (groups / "cgroup.procs").touch()
    control_groups.make("lab")
    (groups / "lab" / "kubepods" / "pod1").mkdir(parents=True)
    control_groups.remove("lab")
    assert [each.name for each in groups.iterdir()] == ["cgroup.procs"]


def test_in_version_1_there_is_one_in_each_hierarchy(groups: Path) -> None:
    for name in ("cpu", "memory"):
        (groups / name).mkdir()
        (groups / name / "cgroup.procs").touch()
    (groups / "cpu,cpuacct").symlink_to("cpu")
    control_groups.make("lab")
    assert sorted(str(each.relative_to(groups)) for each in groups.glob("*/lab")) == [
        "cpu,cpuacct/lab",
        "cpu/lab",
        "memory/lab",
    ]
    control_groups.remove("lab")
    assert [*groups.glob("*/lab")] == []


def test_removing_what_is_not_there_is_no_error(groups: Path) -> None:
    (groups / "cgroup.procs").touch()
    control_groups.remove("lab")
