"""Files: written whole or not at all, named within a folder, a picture's size."""

import os
import secrets
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
