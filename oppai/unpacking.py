"""A ZIP of pictures back into a folder; whatever the ZIP, nothing outside it."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import unicodedata
import zipfile
import zlib
from pathlib import Path

from illustkit.files import is_pinned
from oppai.packing import MANIFEST

MAX_BYTES = 20 << 30
MAX_FILES = 200_000
_MAX_MANIFEST = 64 << 20
_BLOCK = 1 << 20
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\:\ud800-\udfff]")
_BROKEN = (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError)


class ArchiveError(ValueError):
    """A ZIP that cannot be used.

    Args:
        problems: List of texts, one line each.

    Attributes:
        problems: The same list.
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def unpack(archive, folder=".", *, max_bytes=MAX_BYTES, progress=True):
    """Write a ZIP's files under a folder, each checked before it gets its name.

    The whole ZIP is looked through before anything is written. A file that is there
    already with the same content is left as it is, so that a second call goes on
    where a first was stopped. A ZIP without `checksums.json`, as the chapter makes it,
    is checked by its own CRC-32.

    Example:
    ```python
    unpack("gdrive/MyDrive/oppai/oppai_dataset.zip")
    ```

    Args:
        archive: The ZIP.
        folder: Where to. Defaults to the folder one is in.
        max_bytes: Most that the files may take together. Defaults to 20 GiB.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        List of the paths.

    Raises:
        ArchiveError: with a line for each member that would leave the folder, is a
            link, comes twice or is encrypted; for too large a ZIP; for a broken one;
            for a file that is not what its checksum says, or that would replace
            another.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        file = zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise ArchiveError(f"{archive}: there is no such ZIP.") from None
    except (*_BROKEN, ValueError) as error:
        raise ArchiveError(f"{archive}: is no whole ZIP ({error}).") from None
    with file:
        members = check_members(file, archive, max_bytes)
        known = _read_manifest(file, archive, members)
        folder.mkdir(parents=True, exist_ok=True)
        total = sum(info.file_size for info in members)
        if total > shutil.disk_usage(folder).free:
            raise ArchiveError(f"{folder}: {total / 1e9:.1f} GB do not fit here.")
        paths = []
        with _bar(total, progress) as bar:
            for info in members:
                paths.append(_write(file, info, archive, folder, known))
                bar.update(info.file_size)
        return paths


def check_members(file, archive, max_bytes=MAX_BYTES):
    """Look through a ZIP's list of members.

    Args:
        file: `zipfile.ZipFile`.
        archive: Its path, for errors.
        max_bytes: Most that the files may take together. Defaults to 20 GiB.

    Returns:
        List of `ZipInfo` of the files, without `checksums.json`.

    Raises:
        ArchiveError: as in `unpack`.
    """
    infos = [info for info in file.infolist() if not info.filename.endswith("/")]
    if len(infos) > MAX_FILES:
        raise ArchiveError(f"{archive}: has {len(infos)} files; {MAX_FILES} are taken.")
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise ArchiveError(
            f"{archive}: would take {total / 1e9:.1f} GB; the limit is "
            f"{max_bytes / 1e9:.1f} GB. Raise it if the ZIP is to be trusted."
        )
    problems, taken = [], set()
    for info in file.infolist():
        # orig_filename: zipfile itself cuts a name at a NUL.
        problem = _problem(info.orig_filename.removesuffix("/"), info)
        key = unicodedata.normalize("NFC", info.filename).casefold()
        if problem is None and key in taken:
            problem = "comes twice"
        taken.add(key)
        if problem:
            problems.append(f"{archive}: the member {info.orig_filename!r} {problem}.")
    if problems:
        raise ArchiveError(problems)
    return [info for info in infos if info.filename != MANIFEST]


def _problem(name, info):
    parts = name.split("/")
    if any(p in ("", ".", "..") or p != p.strip() for p in parts):
        return "would leave the folder"
    if _UNSAFE.search(name):
        return "has a name that is a path elsewhere"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        return "is a link or a device"
    if info.flag_bits & 1:
        return "is encrypted"
    return None


def _read_manifest(file, archive, members):
    """Dict from name to `{"size", "sha256"}`, or `None` where the ZIP has none."""
    if MANIFEST not in file.namelist():
        return None
    try:
        if file.getinfo(MANIFEST).file_size > _MAX_MANIFEST:
            raise ValueError("too large")
        known = json.loads(file.read(MANIFEST))["files"]
        known = {n: (int(f["size"]), str(f["sha256"])) for n, f in known.items()}
    except (*_BROKEN, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"{archive}: {MANIFEST} is broken ({error}).") from None
    names = {info.filename for info in members}
    if odd := sorted(names ^ known.keys()):
        raise ArchiveError(
            f"{archive}: {odd[0]!r} is in only one of the ZIP and its {MANIFEST}"
            f"{f' ({len(odd) - 1} more)' if len(odd) > 1 else ''}."
        )
    return known


def _write(file, info, archive, folder, known):
    path = Path(folder, *info.filename.split("/"))
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise ArchiveError(f"{path}: a link leads out of {folder}. Take it away.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with file.open(info) as source, open(part, "xb") as target:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
                size += len(block)
        found = size, digest.hexdigest()
        if known is not None and found != known[info.filename]:
            raise ArchiveError(
                f"{archive}: {info.filename!r} is not what its checksum says. "
                "Copy the ZIP again."
            )
        if path.exists() or path.is_symlink():
            if path.is_symlink() or not path.is_file() or not is_pinned(path, found[1]):
                raise ArchiveError(f"{path}: another file stands here. Move it away.")
        else:
            os.replace(part, path)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise ArchiveError(
            f"{archive}: {info.filename!r} is broken ({error}). Copy the ZIP again."
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def _bar(total, progress):
    from tqdm import tqdm

    options = {"unit": "B", "unit_scale": True, "disable": not progress}
    with tqdm(total=total, desc="Unpacking", **options) as bar:
        yield bar
