"""Where the pictures of a metadata file lie."""

import os
from pathlib import Path


def find_pictures(entries, root):
    """Find the pictures of a metadata file under any folder.

    Looked for at `root/filepath`, `root/name`, `root/images/name`, and then anywhere
    under `root` by name (the one with the fewest folders above it). A link that leads
    out of `root` counts as missing.

    Example:
    ```python
    found, missing = find_pictures(load_metadata("oppai_meta.json"), "downloads")
    ```

    Args:
        entries: Sequence of `Entry`.
        root: Folder.

    Returns:
        `(found, missing)`: dict from name to `Path`, and list of names, both in the
        entries' order.

    Raises:
        ValueError: where `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: there is no such folder of pictures.")
    index = None
    found, missing = {}, []
    for entry in entries:
        places = [entry.filepath, entry.name, f"images/{entry.name}"]
        path = _first_inside(root, places)
        if path is None:
            index = _index_names(root) if index is None else index
            path = _first_inside(root, index.get(entry.name, []))
        if path is None:
            missing.append(entry.name)
        else:
            found[entry.name] = path
    return found, missing


def _first_inside(root, places):
    inside = root.resolve()
    for place in places:
        path = root / place
        try:
            if path.is_file() and path.resolve().is_relative_to(inside):
                return path
        except (OSError, RuntimeError, ValueError):  # too long, a loop, a NUL
            continue
    return None


def _index_names(root):
    """Paths of all files under a folder by name, those with fewest folders first."""
    index = {}
    for folder, _, files in os.walk(root):
        for name in files:
            index.setdefault(name, []).append(Path(folder, name).relative_to(root))
    return {n: sorted(p, key=lambda q: (len(q.parts), q)) for n, p in index.items()}
