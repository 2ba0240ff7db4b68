"""What a metadata file asks for from Pixiv, checked before anything is asked there."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from oppai.metadata import Entry, MetadataError, load_metadata

_ADDRESS = re.compile(
    r"https://i\.pximg\.net/(?:c/\w{1,40}/)?img-(?:master|original)/img"
    r"(?:/\d{2,4}){6}/(?P<work>[1-9]\d{0,17})(?:_p(?P<page>\d{1,4}))?"
    r"(?:_(?:master|square|custom)\d{1,5})?\.(?P<kind>jpg|png|gif)",
    re.ASCII,
)
_FORMATS = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF"}
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """A picture to fetch.

    Args:
        entry: Its `Entry`.
        path: Where it goes.
        page: Its place in the work, from 0.
        format: "JPEG", "PNG" or "GIF".
    """

    entry: Entry
    path: Path
    page: int
    format: str


def plan_downloads(metadata, folder):
    """Check that a metadata file leads to Pixiv's pictures and into one folder.

    The address has to be one of Pixiv's image host and of the very work that the entry
    names, for it is that work which is looked up.

    Example:
    ```python
    targets = plan_downloads("oppai_dataset/oppai_meta.json", ".")
    ```

    Args:
        metadata: Path of the JSON file.
        folder: Folder that the entries' `filepath` stands in.

    Returns:
        List of `Target`, in the file's order.

    Raises:
        MetadataError: with a line for each entry that is refused.
    """
    targets, problems, taken = [], [], {}
    for index, entry in enumerate(load_metadata(metadata)):
        try:
            targets.append(_target(entry, folder))
            key = unicodedata.normalize("NFC", entry.filepath).casefold()
            if key in taken:
                raise ValueError(f"has the filepath of entry {taken[key]}")
            taken[key] = index
        except ValueError as error:
            problems.append(f"{metadata}: entry {index} ({entry.name!r}) {error}.")
    if problems:
        raise MetadataError(problems)
    return targets


def _target(entry, folder):
    address = _ADDRESS.fullmatch(entry.image_url)
    if not address:
        raise ValueError(
            "has an image_url that is no picture at https://i.pximg.net/: "
            f"{entry.image_url[:120]!r}"
        )
    if int(address["work"]) != entry.id:
        raise ValueError(
            f"has the id {entry.id}, but an image_url of work {address['work']}"
        )
    parts = entry.filepath.split("/")
    if any(_RESERVED.fullmatch(p) or p.startswith(".") for p in parts):
        raise ValueError(f"has an unsafe 'filepath': {entry.filepath!r}")
    suffix = f".{address['kind']}"
    if not entry.filepath.lower().endswith(suffix):
        raise ValueError(
            f"has a filepath that does not end in {suffix}: {entry.filepath!r}"
        )
    return Target(
        entry, Path(folder, *parts), int(address["page"] or 0), _FORMATS[suffix]
    )
