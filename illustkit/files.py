"""Files: written whole or not at all, named within a folder, fetched if pinned."""

import contextlib
import hashlib
import http.client
import logging
import os
import re
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from illustkit.errors import UserError

_log = logging.getLogger(__name__)

_BLOCK = 1 << 20  # bytes read at a time


def expand_user(path: str | os.PathLike) -> Path:
    """Return a path whose first part "~" has become the user's home folder.

    A shell leaves the "~" of `--run=~/runs/first` as it is, and Python every one. A
    name that only begins with "~" stays: "~$notes.xlsx" is a file.

    Example:
    ```python
    expand_user("~/runs/first")     # Path("/home/me/runs/first")
    ```

    Args:
        path: The path.

    Returns:
        The `Path`.
    """
    path = Path(path)
    return path.expanduser() if path.parts[:1] == ("~",) else path


def check_writable(folder: str | os.PathLike) -> None:
    """Refuse a folder in which no file can be written, before the work for it begins.

    Example:
    ```python
    check_writable("out/pictures")
    ```

    Args:
        folder: The folder. One that does not exist is judged by the folder in which it
            would be made.

    Raises:
        UserError: If a part of the path is a file, or the folder is write-protected.
    """
    folder = expand_user(folder)
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"{nearest}: is a file, not a folder. Name another place.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(
            f"{folder}: cannot be written to. Change its permissions, or name another "
            "place."
        )


def check_file(path: str | os.PathLike) -> Path:
    """Refuse a file that cannot be written, before the work for it begins.

    Example:
    ```python
    path = check_file("~/out/table.csv")
    ```

    Args:
        path: The file; one that exists may be replaced.

    Returns:
        The path, "~" expanded.

    Raises:
        UserError: If it is a folder, or in a place that cannot be written.
    """
    path = expand_user(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Name a file in it.")
    check_writable(path.parent)
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    r"""Give a temporary neighbour of a file, which takes the file's name at the end.

    A process that is killed leaves the old file or the new one, never a half. The
    temporary name has 24 bytes, so that it fits wherever the file's own name fits.

    Example:
    ```python
    with replacing("table.csv") as part, open(part, "w") as file:
        file.write("a,b\n")
    ```

    Args:
        path: The file; missing folders are made.

    Yields:
        `Path` to write to. At an exception it is removed, and `path` stays as it was.
    """
    path = expand_user(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{_prefix(path.name)}{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(part) in (
            error.filename,
            error.filename2,
        ):
            error.filename, error.filename2 = str(path), None
        raise


def write_whole(path: str | os.PathLike, data: str | bytes) -> Path:
    """Write text (UTF-8) or bytes: the whole file or none; see `replacing`.

    Names of files that are no text keep their bytes (`surrogateescape`), so that a
    table of them can be written, and read again with `read_text`.

    Args:
        path: The file; missing folders are made.
        data: str or bytes.

    Returns:
        The path written.
    """
    if isinstance(data, str):
        data = _encoded(data)
    path = expand_user(path)
    with replacing(path) as part, open(part, "xb") as file:
        file.write(data)
    return path


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which stands for no byte
        return text.encode("utf-8", "surrogatepass")


def read_text(path: str | os.PathLike) -> str:
    """Read a text file as `write_whole` writes it: UTF-8, any bytes in names.

    A byte order mark, which spreadsheets put in front, is left out.

    Args:
        path: The file.

    Returns:
        The text; bytes that are no UTF-8 become surrogates, as in names of files.
    """
    return expand_user(path).read_text("utf-8-sig", errors="surrogateescape")


def remove_leftovers(
    paths: Iterable[str | os.PathLike], *, older_than: float = 0.0
) -> None:
    """Remove the temporary neighbours that killed writers of some files left behind.

    Args:
        paths: The files that were being written.
        older_than: Age in seconds; younger ones stay, since another process may be at
            work. Defaults to 0.
    """
    prefixes: dict[Path, set[str]] = {}
    for path in map(Path, paths):
        prefixes.setdefault(path.parent, set()).add(_prefix(path.name))
    for folder, expected in prefixes.items():
        for part in folder.glob(".????????-????????.part"):
            with contextlib.suppress(OSError):
                age = time.time() - part.stat().st_mtime
                if part.name[:10] in expected and age >= older_than:
                    part.unlink()


def _prefix(name: str) -> str:
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}-"


def walk_folder(folder: str | os.PathLike) -> Iterator[tuple[Path, list[str]]]:
    """Walk a folder and its sub-folders, linked ones too, each once.

    Hidden folders (".…") are left out. A linked folder that lies in the folder anyway
    is walked where it lies, so that no file comes twice and no link leads in a circle.
    A sub-folder that cannot be read is named in the log.

    Example:
    ```python
    for parent, names in walk_folder("pictures"):
        print(parent, len(names))
    ```

    Args:
        folder: The folder.

    Yields:
        Pairs (folder, names of its files).

    Raises:
        OSError: If the folder itself cannot be read.
    """
    folder, walked = Path(folder), set()
    os.listdir(folder)  # raises what `os.walk` passes over
    waiting = [folder]
    while waiting:
        links = []
        for place in waiting:
            for parent, folders, names in os.walk(place, onerror=_log_unread):
                if (real := os.path.realpath(parent)) in walked:
                    folders.clear()
                    continue
                walked.add(real)
                folders[:] = [name for name in folders if not name.startswith(".")]
                paths = (Path(parent, name) for name in folders)
                links += [path for path in paths if path.is_symlink()]
                yield Path(parent), names
        waiting = sorted(p for p in links if os.path.realpath(p) not in walked)


def _log_unread(error):
    _log.warning("%s: the folder cannot be read (%s).", error.filename, error.strerror)


# Control characters, lone surrogates, and what Windows reads as a path.
_NOT_PORTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\\:]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def unsafe_name(name: str, *, portable: bool = False) -> str | None:
    r"""Say why a relative name from somebody else's file must not be used.

    Example:
    ```python
    unsafe_name("a/1.png")                     # None
    unsafe_name("../1.png")                    # "leaves its folder"
    unsafe_name("10:30.png", portable=True)    # "is a path elsewhere on some systems"
    ```

    Args:
        name: The name, with "/" between its parts.
        portable: Whether it has to name one and the same file on every system, as a
            name in an archive or in metadata has to. Defaults to `False`: a name of
            this machine's own files, where "\" separates parts, too.

    Returns:
        The reason as a phrase, or `None` for a safe name.
    """
    parts = name.split("/") if portable else _parts(name)
    windows = PureWindowsPath(name)
    if not any(parts):
        return "is empty"
    if ".." in parts or windows.drive or windows.root:
        return "leaves its folder"
    if any(ord(c) < 32 for c in name):
        return "holds a control character"
    try:
        longest = max(len(os.fsencode(part)) for part in parts)
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return "holds half a character"
    if longest > 255:
        return "is too long"
    if not portable:
        return None
    if any(part in ("", ".") for part in parts):
        return "leaves its folder"
    if _NOT_PORTABLE.search(name) or any(_RESERVED.fullmatch(part) for part in parts):
        return "is a path elsewhere on some systems"
    if any(part != part.strip() for part in parts):
        return "begins or ends with a blank"
    return None


def inside(folder: str | os.PathLike, name: str, *, portable: bool = False) -> Path:
    """Return the path of a relative name within a folder.

    Example:
    ```python
    inside("pictures", "a/1.png")     # Path("pictures/a/1.png")
    inside("pictures", "../1.png")    # ValueError
    ```

    Args:
        folder: The folder.
        name: A name from somebody else's file.
        portable: As in `unsafe_name`.

    Returns:
        A `Path` under `folder`.

    Raises:
        UserError: If the name is empty, absolute, has a drive letter or leaves the
            folder.
    """
    name = str(name)
    if (reason := unsafe_name(name, portable=portable)) is not None:
        raise UserError(
            f"A name of a file must stay within its folder; this one {reason}. "
            f"Received: {name!r}"
        )
    return Path(folder, *_parts(name))


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def name_within(folder: str | os.PathLike, path: str | os.PathLike) -> str:
    """Return a file's name within a folder, however both are written.

    Example:
    ```python
    name_within("pictures", "./pictures/a/1.png")    # "a/1.png"
    ```

    Args:
        folder: The folder.
        path: The file; it need not exist. A link within the folder keeps its own name.

    Returns:
        The name with "/" between its parts.

    Raises:
        UserError: If the file is outside the folder.
    """
    folder, path = expand_user(folder), expand_user(path)
    for place, base in (
        (Path(os.path.abspath(path)), Path(os.path.abspath(folder))),
        (path.parent.resolve() / path.name, folder.resolve()),
        (path.resolve(), folder.resolve()),
    ):
        if place.is_relative_to(base):
            return place.relative_to(base).as_posix()
    raise UserError(f"{path}: is outside of {folder}. Name a folder that holds it.")


def named_file(folder: str | os.PathLike, name: str) -> Path:
    r"""Return the path of a name that `name_within` gave.

    A file of this machine may be called "D: x.png" or "a\b.png", which `inside` takes
    for paths of other systems: a name of a file that exists is that file.

    Example:
    ```python
    named_file("pictures", "a/1.png")     # Path("pictures/a/1.png")
    ```

    Args:
        folder: The folder.
        name: The name.

    Returns:
        A `Path` under `folder`.

    Raises:
        UserError: As `inside`.
    """
    own = Path(name)
    stays = name and not own.anchor and ".." not in own.parts
    path = expand_user(folder) / own
    # `Path.is_file` raises where a name is too long.
    return path if stays and os.path.isfile(path) else inside(folder, name)


def leads_outside(folder: str | os.PathLike, path: str | os.PathLike) -> bool:
    """Return whether a path leaves a folder once its symbolic links are followed.

    Args:
        folder: The folder.
        path: The path; it need not exist. One that no system could have (a loop, a
            NUL, too long a name) counts as outside.
    """
    try:
        return not Path(path).resolve().is_relative_to(Path(folder).resolve())
    except (OSError, RuntimeError, ValueError):
        return True


def cache_folder() -> Path:
    """Return the folder for files that can be fetched again.

    Returns:
        `Path` of `$XDG_CACHE_HOME/illustkit`, or of `~/.cache/illustkit`.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "illustkit")


def is_pinned(path: str | os.PathLike, sha256: str) -> bool:
    """Return whether a file has the pinned content.

    Args:
        path: The file.
        sha256: Hexadecimal SHA-256.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest() == sha256


def fetch_pinned(
    url: str,
    sha256: str,
    path: str | os.PathLike,
    *,
    max_bytes: int,
    advice: str = "",
    progress: bool = False,
) -> Path:
    """Fetch a file whose content is pinned, unless it is there already.

    A transfer that breaks keeps its bytes beside the file, under a hidden name, and
    the next call asks for the rest alone.

    Example:
    ```python
    fetch_pinned(URL, SHA256, cache_folder() / "model.xml", max_bytes=1_000_000)
    ```

    Args:
        url: Its address, over HTTPS.
        sha256: Hexadecimal SHA-256 of its bytes.
        path: The file; it appears only if its bytes are the pinned ones.
        max_bytes: Largest size that is read.
        advice: What else to do, at the end of an error. Defaults to nothing.
        progress: Whether to show a progress bar. Defaults to `False`.

    Returns:
        `Path` of the file.

    Raises:
        UserError: If the download fails, or gives anything else.
    """
    path = Path(path)
    if path.is_file() and is_pinned(path, sha256):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{sha256[:16]}.part")
    with _locked(part):
        # Another process may have fetched it while this one waited for the lock.
        if path.is_file() and is_pinned(path, sha256):
            _remove_empty(part)
            return path
        try:
            with open(part, "ab") as file:
                while not _transfer(url, file, max_bytes, progress):
                    pass
        except (OSError, http.client.HTTPException) as error:
            _remove_empty(part)
            raise UserError(
                f"{url} could not be fetched ({error}). {advice}".strip()
            ) from error
        if not is_pinned(part, sha256):
            part.unlink()
            raise UserError(
                f"{url} gave another file than the one known (SHA-256 {sha256}); it "
                f"was not kept. {advice}".strip()
            )
        os.replace(part, path)
    return path


def _transfer(url, file, max_bytes, progress):
    """Append what `file` lacks of the address; whether that is now complete.

    Raises:
        OSError: If the transfer broke off no further than the one before.
    """
    from tqdm import tqdm

    before = start = file.seek(0, os.SEEK_END)
    request = url
    if before:
        request = urllib.request.Request(url, headers={"Range": f"bytes={before}-"})
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if before and error.code == 416:  # no byte is missing
            return True
        raise
    with answer as answer:
        resumed = getattr(answer, "status", None) == 206
        if before and not resumed:  # the server sends the whole again
            file.truncate(0)
            start = 0
        length = getattr(answer, "length", None)
        with tqdm(
            desc=url.rsplit("/", 1)[-1],
            total=None if length is None else start + length,
            initial=start,
            unit="B",
            unit_scale=True,
            disable=not progress,
        ) as bar:
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
                if file.tell() > max_bytes:
                    return True  # its checksum cannot be the pinned one
        file.flush()
        missing = getattr(answer, "length", None)
    if missing and file.tell() <= before:
        if not resumed:
            file.truncate(0)
        raise OSError(f"the transfer broke off {missing} bytes before its end")
    return not missing


@contextlib.contextmanager
def _locked(part):
    """Wait until no other process works at `part`, where the system can say that."""
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    with open(part, "ab") as file:
        with contextlib.suppress(OSError):  # a drive without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_empty(part):
    with contextlib.suppress(OSError):
        if not part.stat().st_size:
            part.unlink()
