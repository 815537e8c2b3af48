"""Directories of a run."""

import os
import stat
from pathlib import Path

import pytest

from aigw.standalone.state import Homes, StateError, run_directories, write_private


def test_homes_come_from_the_environment() -> None:
    homes = Homes.of({"HOME": "/home/u", "AIGW_STATE_HOME": "~/s", "AIGW_RUNTIME_DIR": "/r"})
    assert homes == Homes(Path("/home/u/s"), Path("/r"))
    assert Homes.of({"HOME": "/home/u"}).state == Path("/home/u/.local/state/aigw")
    assert str(os.getuid()) in str(Homes.of({}).runtime)


def test_a_run_has_private_directories_that_end_with_it(tmp_path: Path) -> None:
    homes = Homes(tmp_path / "state", tmp_path / "r")
    with run_directories(homes) as directories:
        for path in (directories.state, directories.runtime, homes.runtime, homes.state / "runs"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not directories.state.exists()
    assert not directories.runtime.exists()


def test_what_a_dead_run_left_is_removed_and_what_a_living_one_has_is_kept(tmp_path: Path) -> None:
    homes = Homes(tmp_path / "state", tmp_path / "r")
    dead = homes.runtime / "dead"
    dead.mkdir(parents=True)
    (dead / "lock").touch()
    (dead / "filter.json").write_text("secret")
    stranger = homes.runtime / "not ours"
    stranger.mkdir()
    with run_directories(homes) as living:
        assert not dead.exists()
        assert stranger.exists()
        with run_directories(homes):
            assert living.runtime.exists()
        assert living.runtime.exists()


def test_a_runtime_directory_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="AIGW_RUNTIME_DIR"), run_directories(Homes(tmp_path, tmp_path / ("d" * 100))):
        pass


def test_a_runtime_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "r"
    link.symlink_to(tmp_path)
    with pytest.raises(StateError, match="not a directory of this user"), run_directories(Homes(tmp_path / "s", link)):
        pass


def test_files_are_private_from_their_first_byte_and_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_private(path, b"one")
    with path.open("rb") as old:
        write_private(path, b"two")
        assert old.read() == b"one"
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["f"]
