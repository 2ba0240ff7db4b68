"""The fingerprint of the data that a run trains on, and what has changed since."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from illustkit.errors import UserError
from illustkit.files import expand_user, write_whole
from illustkit.tables import read_json
from illustkit.training.folder import DATA as DATA
from illustkit.training.folder import has_trained

_ENDS = 1 << 16  # bytes read at either end of a file
_DIGITS = 16


def fingerprint_file(path: str | os.PathLike) -> str:
    """Return a fingerprint of a file's content, whatever its name and folder.

    It is SHA-256 of the size and of the first and last 64 KiB: two reads, where a
    folder of originals on a network drive would take minutes to read whole.

    Example:
    ```python
    same = fingerprint_file("pictures/1.png") == fingerprint_file("copies/1.png")
    ```

    Args:
        path: The file.

    Returns:
        16 hexadecimal digits, or "" for a file that cannot be read.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest = hashlib.sha256(f"{size}:".encode())
            for start in sorted({0, max(0, size - _ENDS)}):
                file.seek(start)
                digest.update(file.read(_ENDS))
    except OSError:
        return ""
    return digest.hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class RunData:
    """What a run trains on, beside what it trained on before; see `compare_data`.

    Attributes:
        files: Dict from the names of the data, relative to its folder, to their
            fingerprints.
        added: Names that the run had not seen.
        gone: Names that it had seen.
        changed: Names whose content has changed.
        renamed: Dict from new names to those that the same files had. Pass it to
            `illustkit.training.split.split_run` as `stored_as`.
        history: List of the changes at earlier starts.
    """

    files: Mapping[str, str]
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def report(self) -> str:
        """One line that says what has changed; "" if nothing has."""
        parts = [(len(names), word) for word, names in self._changes().items() if names]
        if not parts:
            return ""
        (n, word), *rest = parts
        noun = "picture" if n == 1 else "pictures"
        text = ", ".join([f"{n} {noun} {word}", *(f"{n} {word}" for n, word in rest)])
        return f"The data have changed since this run began: {text}."

    def _changes(self):
        return {
            "added": list(self.added),
            "gone": list(self.gone),
            "changed": list(self.changed),
            "renamed": dict(self.renamed),
        }

    def write(self, folder: str | os.PathLike, *, after_epoch: int = 0) -> Path:
        """Write the fingerprint into the run's folder, and what has changed.

        Args:
            folder: Folder of the run.
            after_epoch: Number of epochs that the run has done.

        Returns:
            `Path` of the file.
        """
        digest = hashlib.sha256(json.dumps(sorted(self.files.items())).encode())
        record: dict[str, Any] = {
            "fingerprint": digest.hexdigest(),
            "files": dict(self.files),
        }
        changes = list(self.history)
        if self.report:
            changes.append({"after_epoch": after_epoch, **self._changes()})
        if changes:
            record["changes"] = changes
        return write_whole(expand_user(folder) / DATA, json.dumps(record, indent=1))


def compare_data(
    folder: str | os.PathLike,
    names: Iterable[str],
    paths: Iterable[str | os.PathLike],
    *,
    source: str | os.PathLike | None = None,
) -> RunData:
    """Compare the data of a training with what its run trained on before.

    Files are compared by name and content, so that the folder may move. A run that has
    no record of its data, or has not trained for a whole epoch, is not compared.

    Example:
    ```python
    paths = ["pictures/1.png", "pictures/2.png"]
    data = compare_data("runs/a", ["1.png", "2.png"], paths)
    print(data.report)
    data.write("runs/a")    # after `Run.start`
    ```

    The report is a line such as "The data have changed since this run began: 3 pictures
    added, 1 gone."

    Args:
        folder: Folder of the run; nothing is written to it.
        names: Names of the files; see `illustkit.training.split.relative_names`.
        paths: Their paths, in the same order.
        source: What the user named as data, for the error. Defaults to the folder of
            the first path.

    Returns:
        The `RunData`.

    Raises:
        UserError: If the run trained on other data altogether: no file is the same.
    """
    names, places = list(names), [expand_user(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:  # a network drive answers slowly
        files = dict(zip(names, pool.map(fingerprint_file, places), strict=True))
    folder = expand_user(folder)
    if not (folder / DATA).exists() or not has_trained(folder):
        return RunData(files)
    before, history = _read(folder / DATA)
    if before and files and not set(before.values()) & set(files.values()) - {""}:
        source = source if source is not None else places[0].parent
        raise UserError(
            f"{folder} was trained on other data: none of its {len(before)} pictures "
            f"is in {source}. Name the folder that it was trained on, or another run."
        )
    gone = {before[name]: name for name in before if name not in files}
    added, renamed = [], {}
    for name in files:
        if name not in before:
            old = gone.pop(files[name], None) if files[name] else None
            if old is None:
                added.append(name)
            else:
                renamed[name] = old
    return RunData(
        files,
        added=tuple(added),
        gone=tuple(n for n in before if n not in files and n not in renamed.values()),
        changed=tuple(n for n in files if before.get(n, files[n]) != files[n]),
        renamed=renamed,
        history=tuple(history),
    )


def _read(path):
    try:
        record = read_json(path)
        files, history = dict(record["files"]), list(record.get("changes", []))
        return {str(k): str(v) for k, v in files.items()}, history
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no record of a run's data ({error}): delete it to go on "
            "without a comparison."
        ) from None
