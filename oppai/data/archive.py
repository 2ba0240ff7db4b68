"""Pack a folder into one ZIP with checksums, and unpack it into its folder alone."""

import codecs
import contextlib
import hashlib
import json
import os
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from illustkit.errors import UserError
from illustkit.files import (
    expand_user,
    inside,
    is_pinned,
    leads_outside,
    replacing,
    unsafe_name,
)
from illustkit.options import check_number

MANIFEST = "checksums.json"
MAX_BYTES = 20 << 30
MAX_FILES = 200_000
_MAX_MANIFEST = 64 << 20
_BLOCK = 1 << 20  # bytes read at a time
_NAMED_IN_UTF8 = 0x800  # flag of a ZIP's member
# Compressed already; all else is deflated.
_COMPRESSED = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".npz", ".zip"}
_BROKEN = (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError)


class ArchiveError(UserError):
    """A ZIP cannot be used; one line for each problem."""


def pack(
    folder: str | os.PathLike,
    archive: str | os.PathLike | None = None,
    *,
    overwrite: bool = False,
    notes: list[str] | None = None,
    progress: bool = True,
) -> Path:
    """Write a folder into one ZIP, with the SHA-256 of each file.

    Hidden files and links are left out. The ZIP of an unchanged folder is the same,
    byte for byte; one that holds the folder as it is stays. Keep it to yourself: the
    pictures belong to their illustrators.

    Example:
    ```python
    pack("oppai_dataset", "gdrive/MyDrive/oppai/oppai_dataset.zip")
    ```

    Args:
        folder: The folder; its name begins the names in the ZIP.
        archive: The ZIP. Defaults to the folder's name with `.zip`, beside it.
        overwrite: Whether to replace another ZIP. Defaults to `False`.
        notes: List that receives a line for each link, and for a ZIP that stays.
            Defaults to none.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `Path` of the ZIP, written whole or not at all.

    Raises:
        UserError: If there is no such folder, it is empty, a name cannot be unpacked
            everywhere, another ZIP exists already, or a file changed meanwhile.
    """
    folder = expand_user(folder)
    root = folder.resolve().name
    archive = (
        expand_user(archive) if archive else folder.resolve().with_name(f"{root}.zip")
    )
    files, links = _files(folder)
    files = [path for path in files if path.resolve() != archive.resolve()]
    if not files:
        raise UserError(f"{folder}: no such folder, or nothing in it to pack.")
    names = {f"{root}/{path.relative_to(folder).as_posix()}": path for path in files}
    if problems := [
        f"{path}: the name {reason}. Rename it."
        for name, path in names.items()
        if (reason := unsafe_name(name, portable=True))
    ]:
        raise UserError(problems)
    notes = [] if notes is None else notes
    notes += [f"{path}: is a link, and left out." for path in links]
    total = sum(path.stat().st_size for path in files)
    if archive.exists() and not overwrite:
        if _holds(archive, names, total, progress):
            notes.append(f"{archive}: is there already, with these files.")
            return archive
        raise UserError(
            f"{archive}: is there already. Give `overwrite`, or another place."
        )
    with (
        replacing(archive) as part,
        zipfile.ZipFile(part, "x") as file,
        _bar("Packing", total, progress) as bar,
    ):
        checksums = {}
        for name, path in names.items():
            checksums[name] = _add(file, path, name, bar)
        manifest = json.dumps({"files": checksums}, ensure_ascii=False, indent=1)
        file.writestr(_info(MANIFEST, len(manifest)), manifest.encode("utf-8"))
    return archive


def _files(folder):
    """Return the files of a folder, and the links in it."""
    paths, links = [], []
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        links += [path for f in folders if (path := Path(parent, f)).is_symlink()]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                paths.append(path)
            elif path.is_symlink():
                links.append(path)
    return (
        sorted(each, key=lambda path: path.relative_to(folder).as_posix())
        for each in (paths, links)
    )


def _holds(archive, names, total, progress):
    """Return whether a ZIP of `pack` holds these files as they are."""
    try:
        with zipfile.ZipFile(archive) as file:
            members = [i for i in file.infolist() if i.filename != MANIFEST]
            checksums = _read_manifest(file, archive, members) or {}
    except (*_BROKEN, ValueError):
        return False
    if checksums.keys() != names.keys():
        return False
    with _bar("Comparing", total, progress) as bar:
        for name, path in names.items():
            size, digest = checksums[name]
            if path.stat().st_size != size or not is_pinned(path, digest):
                return False
            bar.update(size)
    return True


def _add(file, path, name, bar):
    size = path.stat().st_size
    with open(path, "rb") as source, file.open(_info(name, size), "w") as target:
        done, digest = _copy(source, target)
    if done != size:
        raise UserError(f"{path}: changed while it was packed. Pack again.")
    bar.update(size)
    return {"size": size, "sha256": digest}


def _info(name, size):
    info = zipfile.ZipInfo(name)  # dated 1980, so that only the content counts
    packed = Path(name).suffix.lower() in _COMPRESSED
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.file_size = size
    return info


def _copy(source, target):
    """Copy a file; return its size in bytes and its SHA-256."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        target.write(block)
        size += len(block)
    return size, digest.hexdigest()


@contextlib.contextmanager
def _bar(text: str, total: int, progress: bool) -> Iterator[Any]:
    from tqdm import tqdm

    options: dict[str, Any] = {"unit": "B", "unit_scale": True}
    with tqdm(desc=text, total=total, disable=not progress, **options) as bar:
        yield bar


def unpack(
    archive: str | os.PathLike,
    folder: str | os.PathLike = ".",
    *,
    max_bytes: int = MAX_BYTES,
    encoding: str | None = None,
    progress: bool = True,
) -> list[Path]:
    """Write a ZIP's files into a folder, each checked before it gets its name.

    The whole ZIP is checked before anything is written. A file that exists with the
    same content is left as it is, so that a second call resumes a stopped one. A ZIP
    without `checksums.json`, as the chapter makes it, is checked by its own CRC-32.

    Example:
    ```python
    unpack("gdrive/MyDrive/oppai/oppai_dataset.zip")
    ```

    Args:
        archive: The ZIP.
        folder: Folder to write to. Defaults to the current one.
        max_bytes: Largest size of all files together. Defaults to 20 GiB.
        encoding: Encoding of the names in an old ZIP that does not say it, such as
            "cp932". Defaults to UTF-8.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        List of the paths.

    Raises:
        ArchiveError: If the ZIP is broken or too large; if a member would leave the
            folder, is a link, comes twice or is encrypted, or its name is in another
            encoding; if a file differs from its checksum, or would replace another.
    """
    check_number("max_bytes", max_bytes, least=1)
    archive, folder = expand_user(archive), expand_user(folder)
    encodings = (encoding or "utf-8",)
    with open_archive(archive, encodings=encodings, max_bytes=max_bytes) as opened:
        file, members = opened
        checksums = _read_manifest(file, archive, members)
        folder.mkdir(parents=True, exist_ok=True)
        total = sum(info.file_size for info in members)
        if total > shutil.disk_usage(folder).free:
            raise ArchiveError(f"{folder}: {total / 1e9:.1f} GB do not fit here.")
        paths = []
        with _bar("Unpacking", total, progress) as bar:
            for info in members:
                paths.append(_write(file, info, archive, folder, checksums))
                bar.update(info.file_size)
        return paths


@contextlib.contextmanager
def open_archive(
    archive: Path, *, encodings: Sequence[str] = ("utf-8",), max_bytes: int = MAX_BYTES
) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """Open somebody else's ZIP, and check the names and sizes of its members.

    Example:
    ```python
    with open_archive(Path("comic.cbz")) as (file, members):
        print([member.filename for member in members])
    ```

    Args:
        archive: The ZIP.
        encodings: Encodings of names that do not say theirs: the first in which all of
            them can be read. Defaults to UTF-8.
        max_bytes: Largest size of all files together. Defaults to 20 GiB.

    Yields:
        `(file, members)`: the open ZIP, and its files without `checksums.json`.

    Raises:
        ArchiveError: As `unpack`.
    """
    try:
        file = zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise ArchiveError(f"{archive}: there is no such ZIP.") from None
    except (*_BROKEN, ValueError) as error:
        raise ArchiveError(f"{archive}: is no whole ZIP ({error}).") from None
    with file:
        _decode_names(file, archive, encodings)
        yield file, _check_members(file, archive, max_bytes)


def _decode_names(file, archive, encodings):
    """Give members the names that an old ZIP has in an encoding which it hides.

    Python reads such names as those of a DOS of 1981.
    """
    infos = [
        info
        for info in file.infolist()
        if not (info.flag_bits & _NAMED_IN_UTF8 or info.filename.isascii())
    ]
    for encoding in encodings:
        try:
            codec = codecs.lookup(encoding).name
        except LookupError:
            raise ArchiveError(
                "`encoding` is one that Python knows, such as cp932. "
                f"Received: {encoding}"
            ) from None
        wrong = None
        names = {}
        for info in infos:
            try:
                names[info] = info.filename.encode("cp437").decode(codec)
            except UnicodeError:
                wrong = info
                break
        if wrong is None:
            for info, name in names.items():
                info.filename = name
            return
    raise ArchiveError(
        f"{archive}: the name {wrong.filename!r} is not in {codec}. Give "
        "`encoding`, such as cp932 for a ZIP of a Japanese Windows."
    )


def _check_members(file, archive, max_bytes):
    """Return the `ZipInfo` of the files, without `checksums.json`."""
    infos = [info for info in file.infolist() if not info.filename.endswith("/")]
    if len(infos) > MAX_FILES:
        raise ArchiveError(
            f"{archive}: has {len(infos)} files; the limit is {MAX_FILES}."
        )
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise ArchiveError(
            f"{archive}: would take {total / 1e9:.1f} GB; the limit is "
            f"{max_bytes / 1e9:.1f} GB. Raise it if the ZIP is to be trusted."
        )
    problems, names = [], set()
    for info in file.infolist():
        # orig_filename: zipfile itself cuts a name at a NUL.
        name = info.orig_filename if info.orig_filename.isascii() else info.filename
        problem = _problem(name.removesuffix("/"), info)
        key = unicodedata.normalize("NFC", info.filename).casefold()
        if problem is None and key in names:
            problem = "comes twice"
        names.add(key)
        if problem:
            problems.append(f"{archive}: the member {info.orig_filename!r} {problem}.")
    if problems:
        raise ArchiveError(problems)
    return [info for info in infos if info.filename != MANIFEST]


def _problem(name, info):
    """Return why a member must not be unpacked, or `None`."""
    if (reason := unsafe_name(name, portable=True)) is not None:
        return reason
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        return "is a link or a device"
    return "is encrypted" if info.flag_bits & 1 else None


def _read_manifest(file, archive, members):
    """Return a dict from name to `(size, sha256)`, or `None` without a manifest."""
    if MANIFEST not in file.namelist():
        return None
    try:
        if file.getinfo(MANIFEST).file_size > _MAX_MANIFEST:
            raise UserError("too large")
        files = json.loads(file.read(MANIFEST))["files"]
        checksums = {n: (int(f["size"]), str(f["sha256"])) for n, f in files.items()}
    except (*_BROKEN, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"{archive}: {MANIFEST} is broken ({error}).") from None
    names = {info.filename for info in members}
    if odd := sorted(names ^ checksums.keys()):
        raise ArchiveError(
            f"{archive}: {odd[0]!r} is in only one of the ZIP and its {MANIFEST}"
            f"{f' ({len(odd) - 1} more)' if len(odd) > 1 else ''}."
        )
    return checksums


def _write(file, info, archive, folder, checksums):
    path = inside(folder, info.filename, portable=True)
    if leads_outside(folder, path.parent):
        raise ArchiveError(f"{path}: a link leads out of {folder}. Remove it.")
    if path.exists() or path.is_symlink():
        digest = extract_member(file, info, archive, os.devnull, checksums)
        if path.is_symlink() or not path.is_file() or not is_pinned(path, digest):
            raise ArchiveError(f"{path}: another file is here. Move it away.")
        return path
    with replacing(path) as part:
        extract_member(file, info, archive, part, checksums)
    return path


def extract_member(
    file: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    archive: Path,
    target: str | os.PathLike,
    checksums: dict[str, tuple[int, str]] | None = None,
) -> str:
    """Write one member to a file, check it, and return its SHA-256.

    Args:
        file: The open ZIP.
        info: The member.
        archive: The ZIP's path, for the error.
        target: The file to write.
        checksums: Size and SHA-256 of each member. Defaults to `None`: its CRC-32 is
            checked alone.

    Raises:
        ArchiveError: If the member is broken.
    """
    broken: tuple[type[BaseException], ...]
    broken = (*_BROKEN, UnicodeError)
    try:
        with file.open(info) as source:
            broken = tuple(set(broken) - {OSError})  # from here the disk's, too
            with open(target, "wb") as sink:
                size, digest = _copy(source, sink)
    except broken as error:
        raise ArchiveError(
            f"{archive}: {info.filename!r} is broken ({error}). Copy the ZIP again."
        ) from None
    if checksums is not None and (size, digest) != checksums[info.filename]:
        raise ArchiveError(
            f"{archive}: {info.filename!r} differs from its checksum. "
            "Copy the ZIP again."
        )
    return digest
