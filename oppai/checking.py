"""Every problem of a metadata file at once, and of the pictures it speaks of."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from oppai._entries import parse_entries
from oppai.finding import find_pictures
from oppai.metadata import read_items


@dataclass
class Check:
    """What was found.

    Args:
        entries: List of the `Entry` that are right in themselves.
        problems: List of texts, one line each: what has to be mended.
        notes: List of texts: what is left out in training, and hurts nothing.
    """

    entries: list
    problems: list
    notes: list

    def __str__(self):
        boxes = sum(len(entry.boxes) for entry in self.entries)
        return (
            f"{len(self.entries):,} pictures, {boxes:,} boxes, "
            f"{len(self.problems):,} problems, {len(self.notes):,} notes"
        )


def check_metadata(path, pictures=None, *, progress=True):
    """Check a metadata file, and if they are given its pictures, and name each problem.

    Example:
    ```python
    for problem in check_metadata("meta.json", "pictures").problems:
        print(problem)
    ```

    Args:
        path: The JSON file.
        pictures: Folder of the pictures; each is decoded. Defaults to none.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `Check`.

    Raises:
        MetadataError: where the file cannot be read, or is no list in JSON.
        ValueError: where `pictures` is no folder.
    """
    entries, problems = parse_entries(read_items(path))
    problems = [f"{path}: {problem}" for problem in problems]
    notes, taken = [], {}
    for entry in entries:
        key = unicodedata.normalize("NFC", entry.filepath).casefold()
        if key in taken:
            problems.append(f"{path}: {entry.name!r} has the filepath of {taken[key]}.")
        taken[key] = repr(entry.name)
        empty = sum(r <= l or b <= t for l, t, r, b in entry.boxes)  # noqa: E741
        if empty:
            notes.append(f"{path}: {entry.name!r} has {empty} empty boxes.")
        elif not entry.boxes:
            notes.append(f"{path}: {entry.name!r} has no box.")
    if pictures is not None:
        problems += _check_pictures(entries, pictures, progress)
    return Check(entries, problems, notes)


def _check_pictures(entries, root, progress):
    from tqdm import tqdm

    from illustkit.images import ImageError, read_image

    found, missing = find_pictures(entries, root)
    problems = [f"{Path(root, name)}: is missing." for name in missing]
    sizes = {entry.name: (entry.width, entry.height) for entry in entries}
    bar = tqdm(found.items(), "Checking", unit=" pictures", disable=not progress)
    for name, path in bar:
        try:
            height, width = read_image(path).shape[:2]
        except (ImageError, OSError) as error:
            problems.append(str(error))
            continue
        if (width, height) != sizes[name]:
            wanted = "{}×{}".format(*sizes[name])
            problems.append(f"{path}: is {width}×{height}, the metadata says {wanted}.")
    return problems
