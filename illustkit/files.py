"""Files: written whole or not at all, named within a folder, fetched if known."""

import hashlib
import http.client
import os
import secrets
import urllib.request
from pathlib import Path, PurePosixPath, PureWindowsPath


def write_whole(path, data):
    """Write text (UTF-8) or bytes; a kill leaves the old file or the new, never a half.

    Args:
        path: The file; missing folders are made.
        data: str or bytes.

    Returns:
        The path written.
    """
    path = Path(path)
    data = data.encode("utf-8") if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            file.write(data)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def inside(folder, name):
    r"""Path of a relative `name` within `folder`.

    Example:
    ```python
    inside("pictures", "a/1.png")     # Path("pictures/a/1.png")
    inside("pictures", "../1.png")    # ValueError
    ```

    Args:
        folder: The folder.
        name: What a file of others says: with "/" or "\" between its parts.

    Returns:
        A `Path` under `folder`.

    Raises:
        ValueError: if the name is empty, absolute, has a drive letter or climbs out.
    """
    name = str(name)
    windows = PureWindowsPath(name)
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if (
        not parts
        or windows.drive
        or windows.root
        or ".." in parts
        or any(ord(c) < 32 for c in name)
    ):
        raise ValueError(
            f"A name of a file must stay within its folder. Received: {name!r}"
        )
    return Path(folder, *parts)


def picture_size(path):
    """Width and height of a picture file as it is seen, from its header alone.

    Args:
        path: The picture.

    Returns:
        (width, height) in pixels, turned as EXIF says.

    Raises:
        ValueError: naming the file, if it is no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            # Pillow turns a TIFF by itself, and its size with it.
            turned = image.format != "TIFF" and image.getexif().get(0x0112, 1)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path}: no picture that can be read ({reason}). Fetch it again."
        ) from error
    return (height, width) if turned in (5, 6, 7, 8) else (width, height)


def cache_folder():
    """Folder for files that can be fetched again.

    Returns:
        `Path` of `$XDG_CACHE_HOME/illustkit`, or of `~/.cache/illustkit`.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "illustkit")


def fetch_pinned(url, sha256, path, *, max_bytes, advice=""):
    """Fetch a file whose content is known, unless it is there already.

    Example:
    ```python
    fetch_pinned(URL, SHA256, cache_folder() / "model.xml", max_bytes=1_000_000)
    ```

    Args:
        url: Where it is had, over HTTPS.
        sha256: Hexadecimal SHA-256 of its bytes.
        path: The file; written as a whole, and only if its bytes are the pinned ones.
        max_bytes: Largest size that is read.
        advice: What else to do, at the end of an error. Defaults to nothing.

    Returns:
        `Path` of the file.

    Raises:
        ValueError: if the download fails, or gives anything else; nothing is kept.
    """
    path = Path(path)
    if path.is_file() and is_pinned(path, sha256):
        return path
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            data = answer.read(max_bytes + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(
            f"{url} could not be fetched ({error}). {advice}".strip()
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(
            f"{url} gave another file than the one known (SHA-256 {sha256}); it was "
            f"not kept. {advice}".strip()
        )
    return write_whole(path, data)


def is_pinned(path, sha256):
    """Whether a file has the known content.

    Args:
        path: The file.
        sha256: Hexadecimal SHA-256.

    Returns:
        bool.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == sha256
