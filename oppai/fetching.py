"""The chapter's metadata from its public repository."""

from pathlib import Path

from illustkit.files import cache_folder, fetch_pinned, is_pinned, write_whole

URL = (
    "https://raw.githubusercontent.com/koshian2/DeepCreamPyBook/master/"
    "Oppai/oppai_dataset/oppai_meta.json"
)
SHA256 = "30cfead6977421830f8c8b0a346b1a0bda2ed11a01495b22d6425f42f0fc78f8"
LICENCE = (
    "The boxes are koshian2's annotation, under AGPL-3.0 "
    "(https://www.gnu.org/licenses/agpl-3.0.html). The pictures belong to their "
    "illustrators and are not part of it: do not pass them on."
)
_MAX_BYTES = 16 << 20


def fetch_metadata(path="oppai_dataset/oppai_meta.json", *, overwrite=False):
    """Fetch the chapter's `oppai_meta.json`: 4,264 pictures, 4,949 boxes.

    It comes from the cache (`$XDG_CACHE_HOME/illustkit`) if it was fetched before, and
    only with the content known, by SHA-256. It is AGPL-3.0 and no part of this project.

    Example:
    ```python
    entries = load_metadata(fetch_metadata())
    ```

    Args:
        path: Where to put it. Defaults to where the chapter has it.
        overwrite: Whether to replace another file that stands there. Defaults to
            `False`.

    Returns:
        `Path` of the file.

    Raises:
        ValueError: if it cannot be fetched, is another than the one known, or another
            file stands at `path`.

    Reference:
        https://github.com/koshian2/DeepCreamPyBook, folder Oppai/oppai_dataset
    """
    path = Path(path)
    if path.exists():
        if path.is_file() and is_pinned(path, SHA256):
            return path
        if not overwrite or not path.is_file():
            raise ValueError(
                f"{path}: another file stands here. Give another path, or overwrite it."
            )
    advice = f"Fetch it by other means and put it at {path}."
    cached = cache_folder() / URL.rsplit("/", 1)[1]
    fetch_pinned(URL, SHA256, cached, max_bytes=_MAX_BYTES, advice=advice)
    return write_whole(path, cached.read_bytes())
