"""The last good configuration on disk: whole, private, and passed over when it is not what it says."""

import logging
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from filters.contract import push
from filters.push.state import StateFolder
from tests.unit.filters.contract.test_push import same, state


def test_the_newest_state_is_read_back(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "made" / "here")
    assert folder.read() is None
    for numbers in ([1], [1, 2], [1, 2, 3]):
        file = folder.write(state(numbers))
    found = folder.read()
    assert found is not None
    assert found[0] == file
    assert same(found[1], state([1, 2, 3]))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(list(file.parent.iterdir())) == 2


def test_the_same_state_again_is_the_newest(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.write(state([1]))
    folder.write(state([2]))
    again = folder.write(state([1]))
    found = folder.read()
    assert found is not None
    assert found[0] == again


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-40], "not an update"),
        (lambda data: b"", "not an update"),
        (lambda data: data.replace(b"token", b"tokem", 1), "damaged"),
        (
            lambda data: push.encode(msgspec.structs.replace(push.decode_update(data), contract=99)),
            "has contract 99",
        ),
    ],
)
def test_a_file_that_is_not_right_is_one_line_in_the_log(
    tmp_path: Path, damage: Callable[[bytes], bytes], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = StateFolder(tmp_path)
    file = folder.write(state([1]))
    file.write_bytes(damage(file.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert folder.read() is None
    (record,) = caplog.records
    assert str(file) in record.getMessage()
    assert reason in record.getMessage()


def test_an_older_good_file_serves_when_the_newest_is_broken(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    good = folder.write(state([1]))
    folder.write(state([2])).write_bytes(b"broken")
    found = folder.read()
    assert found is not None
    assert found[0] == good
    folder.discard(good)
    assert folder.read() is None
