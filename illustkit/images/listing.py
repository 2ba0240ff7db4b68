"""List the pictures of a folder."""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from illustkit.errors import UserError, as_user_error
from illustkit.files import expand_user, walk_folder
from illustkit.images.formats import EXTENSIONS, ImageError, check_path


def check_folder(folder: str | os.PathLike) -> Path:
    """Refuse what is no folder; a command says so before it imports Keras.

    Example:
    ```python
    folder = check_folder("pictures")
    ```

    Args:
        folder: The folder.

    Returns:
        Its path.

    Raises:
        ImageError: If there is no such folder.
    """
    folder = check_path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise ImageError(f"{folder}: {what}. Give the folder that holds the pictures.")
    return folder


def check_given(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """Refuse files and folders of which one is missing.

    Example:
    ```python
    files = check_given(["a.png", "pictures"])
    ```

    Args:
        paths: Files and folders.

    Returns:
        Their paths, "~" expanded, each once.

    Raises:
        UserError: With a line for each that is missing.
    """
    given = list(dict.fromkeys(map(expand_user, paths)))
    if missing := [path for path in given if not path.exists()]:
        raise UserError(
            [f"{path}: no such file or folder. Check the path." for path in missing]
        )
    return given


def list_images(
    folder: str | os.PathLike,
    recursive: bool = True,
    *,
    allow_empty: bool = False,
    also: Collection[str] = (),
) -> list[Path]:
    """List a folder's picture files in natural order ("2.png" before "10.png").

    Files are chosen by extension. Hidden files and folders (".…") are left out. Links
    to folders are followed; no file is listed twice by them.

    Example:
    ```python
    for path in list_images("pictures"):
        image = read_image(path)
    ```

    Args:
        folder: The folder.
        recursive: Whether to look in sub-folders too. Defaults to `True`.
        allow_empty: Whether to return `[]` for no picture, instead of an error.
            Defaults to `False`.
        also: Further endings of names, as ".zip". Defaults to none.

    Returns:
        List of `Path`, each beginning with `folder`.

    Raises:
        ImageError: If there is no such folder, or no picture in it.
    """
    folder = check_folder(folder)
    try:
        if recursive:
            walk = list(walk_folder(folder))
        else:
            with os.scandir(folder) as entries:
                walk = [(folder, [e.name for e in entries if not e.is_dir()])]
    except OSError as error:
        raise as_user_error(error, folder) or error from None
    paths = [
        parent / name
        for parent, names in walk
        for name in names
        if not name.startswith(".")
        and ((suffix := Path(name).suffix.lower()) in EXTENSIONS or suffix in also)
    ]
    if not paths and not allow_empty:
        raise ImageError(
            f"{folder}: no pictures here. Put files in it that end in "
            f"{', '.join(EXTENSIONS)}."
        )
    return sorted(paths, key=lambda path: _natural(path.relative_to(folder)))


def _natural(path):
    # "a10b" -> ["a", 10, "b"]; the plain name settles what differs in case only.
    parts = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    return [
        [int(p) if p.isdecimal() else p for p in part] for part in parts
    ], path.parts
