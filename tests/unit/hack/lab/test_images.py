"""Images without a container engine: what an archive holds, and when it is written again."""

import hashlib
import importlib.util
import os
import py_compile
import tarfile
from pathlib import Path
from typing import Any

import pytest

from filters.contract import jsonlib
from hack.lab import images
from hack.lab.images import Image, Layer


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def read(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        member = tar.extractfile(name)
        assert member is not None
        return member.read()


def document(archive: Path, name: str) -> Any:
    return jsonlib.decode(read(archive, name), Any)


def test_an_archive_names_its_images_and_the_digests_of_their_layers() -> None:
    shared, own = Layer({"/etc/motd": b"hello"}), Layer({"/opt/a/b": b"b"})
    made = [
        Image(("one:1", "two:1"), (shared,), ("/bin/one",)),
        Image(("three:1",), (shared, own), ("/bin/three",), "0:0", ("A=b",)),
    ]
    archive = images.archive("test", made)
    manifest = document(archive, "manifest.json")
    assert [each["RepoTags"] for each in manifest] == [["one:1", "two:1"], ["three:1"]]
    assert manifest[0]["Layers"] == manifest[1]["Layers"][:1]
    for each in manifest:
        config = document(archive, each["Config"])
        digests = [f"sha256:{hashlib.sha256(read(archive, layer)).hexdigest()}" for layer in each["Layers"]]
        assert config["rootfs"] == {"type": "layers", "diff_ids": digests}
    assert config["config"] == {
        "Entrypoint": ["/bin/three"],
        "User": "0:0",
        "WorkingDir": "/",
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "A=b"],
    }


def test_files_keep_whether_they_can_be_run_and_folders_are_made_for_them(tmp_path: Path) -> None:
    program, text = tmp_path / "program", tmp_path / "text"
    program.write_bytes(b"#!")
    program.chmod(0o750)
    text.write_bytes(b"t")
    layer = Layer({"/usr/bin/program": program, "/usr/share/text": text})
    archive = images.archive("test", [Image(("a:1",), (layer,), ())])
    (name,) = document(archive, "manifest.json")[0]["Layers"]
    inner = tmp_path / "layer.tar"
    inner.write_bytes(read(archive, name))
    with tarfile.open(inner) as tar:
        found = {member.name: (member.isdir(), member.mode, member.uid, member.mtime) for member in tar.getmembers()}
    assert found == {
        "tmp": (True, 0o1777, 0, 0),
        "usr": (True, 0o755, 0, 0),
        "usr/bin": (True, 0o755, 0, 0),
        "usr/bin/program": (False, 0o755, 0, 0),
        "usr/share": (True, 0o755, 0, 0),
        "usr/share/text": (False, 0o644, 0, 0),
    }


def test_what_has_not_changed_is_not_written_again_and_the_old_goes_with_a_change() -> None:
    first = images.archive("test", [Image(("a:1",), (Layer({"/a": b"1"}),), ())])
    written = first.stat().st_mtime_ns
    assert images.archive("test", [Image(("a:1",), (Layer({"/a": b"1"}),), ())]) == first
    assert first.stat().st_mtime_ns == written
    second = images.archive("test", [Image(("a:1",), (Layer({"/a": b"2"}),), ())])
    # Another lab may be about to load what is young.
    assert sorted(first.parent.iterdir()) == sorted([first, second])
    for each in (first, second):
        os.utime(each, (0, 0))
    third = images.archive("test", [Image(("a:1",), (Layer({"/a": b"3"}),), ())])
    assert [*first.parent.iterdir()] == [third]


def compiled(source: Path) -> dict[str, Path | bytes]:
    return {
        place: content
        for place, content in images._module("/opt/module.py", source).items()
        if isinstance(content, bytes)
    }


def test_compiled_code_of_this_source_is_taken_along_and_never_compared(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("VALUE = 42\n")
    assert compiled(source) == {}
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    ((place, code),) = compiled(source).items()
    assert Path(place) == Path(importlib.util.cache_from_source("/opt/module.py"))
    assert isinstance(code, bytes)
    target = tmp_path / "elsewhere" / "module.py"
    target.parent.mkdir()
    target.write_text("VALUE = 'the source that nobody reads'\n")
    cached = Path(importlib.util.cache_from_source(str(target)))
    cached.parent.mkdir()
    cached.write_bytes(code)
    spec = importlib.util.spec_from_file_location("module", target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.VALUE == 42


def test_compiled_code_of_another_source_stays_behind(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("VALUE = 42\n")
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    source.write_text("VALUE = 'changed'\n")
    assert compiled(source) == {}
