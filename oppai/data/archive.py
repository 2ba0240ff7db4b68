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

MANIFEST = "checksums.json"
# Compressed already; all else is deflated.
_COMPRESSED = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".npz", ".zip"}
_BLOCK = 1 << 20


def pack(folder, archive=None, *, overwrite=False, progress=True):
    """Write a folder into one ZIP, with the SHA-256 of each file.

    Hidden files and links are left out. The ZIP of an unchanged folder is the same,
    byte for byte. For oneself alone: the pictures belong to their illustrators.

    Example:
    ```python
    pack("oppai_dataset", "gdrive/MyDrive/oppai/oppai_dataset.zip")
    ```

    Args:
        folder: The folder; its name begins the names in the ZIP.
        archive: The ZIP. Defaults to the folder's name with `.zip`, beside it.
        overwrite: Whether to replace a ZIP that is there. Defaults to `False`.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `Path` of the ZIP; it appears when it is whole.

    Raises:
        ValueError: if there is no such folder, nothing in it, the ZIP is there
            already, or a file changed meanwhile.
    """
    folder = Path(folder)
    root = folder.resolve().name
    archive = Path(archive) if archive else folder.resolve().with_name(f"{root}.zip")
    if archive.exists() and not overwrite:
        raise ValueError(f"{archive}: is there already. Overwrite it, or name another.")
    files = [path for path in _files(folder) if path.resolve() != archive.resolve()]
    if not files:
        raise ValueError(f"{folder}: no such folder, or nothing in it to pack.")
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f".{archive.name}.{secrets.token_hex(4)}.part")
    try:
        with zipfile.ZipFile(part, "x") as file, _bar(files, progress) as bar:
            known = {}
            for path in files:
                name = f"{root}/{path.relative_to(folder).as_posix()}"
                known[name] = _add(file, path, name, bar)
            manifest = json.dumps({"files": known}, ensure_ascii=False, indent=1)
            file.writestr(_info(MANIFEST, len(manifest)), manifest.encode("utf-8"))
        os.replace(part, archive)
    finally:
        part.unlink(missing_ok=True)
    return archive


def _files(folder):
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                found.append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _add(file, path, name, bar):
    digest, size = hashlib.sha256(), path.stat().st_size
    with open(path, "rb") as source, file.open(_info(name, size), "w") as target:
        done = 0
        while block := source.read(_BLOCK):
            digest.update(block)
            target.write(block)
            done += len(block)
            bar.update(len(block))
    if done != size:
        raise ValueError(f"{path}: changed while it was packed. Pack again.")
    return {"size": size, "sha256": digest.hexdigest()}


def _info(name, size):
    info = zipfile.ZipInfo(name)  # dated 1980, so that nothing but content counts
    packed = Path(name).suffix.lower() in _COMPRESSED
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.file_size = size
    return info


@contextlib.contextmanager
def _bar(files, progress):
    from tqdm import tqdm

    total = sum(path.stat().st_size for path in files)
    options = {"unit": "B", "unit_scale": True, "disable": not progress}
    with tqdm(total=total, desc="Packing", **options) as bar:
        yield bar


MAX_BYTES = 20 << 30
MAX_FILES = 200_000
_MAX_MANIFEST = 64 << 20
_BLOCK_unpacking = 1 << 20
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
        with _bar_unpacking(total, progress) as bar:
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
            while block := source.read(_BLOCK_unpacking):
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
def _bar_unpacking(total, progress):
    from tqdm import tqdm

    options = {"unit": "B", "unit_scale": True, "disable": not progress}
    with tqdm(total=total, desc="Unpacking", **options) as bar:
        yield bar
