"""Which names of a run's data are trained on, and which are held out."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from illustkit.errors import UserError
from illustkit.files import expand_user, write_whole
from illustkit.tables import read_json
from illustkit.training.folder import SETTINGS, has_trained
from illustkit.training.folder import SPLIT as SPLIT


def split_names(
    names: Iterable[str], *, holdout: float = 0.1, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Split names into those to train on and those held out.

    A hash of each name and the seed decides its side, so that it stays there when
    names are added. Where a side would be empty, the name nearest to it changes over.

    Example:
    ```python
    training, held_out = split_names(["a.png", "b.png", "c.png"], holdout=0.3)
    ```

    Args:
        names: The names; those that come again count once.
        holdout: Fraction to hold out, in (0, 1). Defaults to 0.1.
        seed: Int. Defaults to 0.

    Returns:
        `(training, held_out)`: two lists, in the order given.

    Raises:
        UserError: For a `holdout` out of range.
    """
    place = _places(names, holdout, seed)
    held_out = {name for name, p in place.items() if p < holdout}
    if len(place) > 1 and not held_out:
        held_out.add(min(place, key=place.__getitem__))
    elif len(place) > 1 and len(held_out) == len(place):
        held_out.remove(max(place, key=place.__getitem__))
    elif len(place) == 1:
        held_out.clear()
    return [n for n in place if n not in held_out], [n for n in place if n in held_out]


def _places(names, holdout, seed):
    if not 0 < holdout < 1:
        raise UserError(f"`holdout` lies between 0 and 1. Received: {holdout}")
    return {name: _hash_to_unit(f"{seed}:{name}") for name in names}


def _hash_to_unit(text):
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def relative_names(
    paths: Iterable[str | os.PathLike],
    folders: str | os.PathLike | Sequence[str | os.PathLike],
) -> list[str]:
    """Return names that stay when the folder of the data moves.

    Args:
        paths: Distinct paths of files.
        folders: The folder of the data, or several. A path counts from the first that
            holds it; from another than the first the folder's own name comes before
            it. One that none holds, or whose name is taken, keeps its whole path.

    Returns:
        List of names with "/" between the parts, in the order of the paths.
    """
    if isinstance(folders, (str, os.PathLike)):
        folders = [folders]
    bases = [expand_user(folder) for folder in folders]
    names: dict[str, None] = {}
    for path in map(expand_user, paths):
        name = path.as_posix()
        for number, base in enumerate(bases):
            if path.is_relative_to(base) and path != base:
                name = path.relative_to(base).as_posix()
                if number:
                    name = f"{base.resolve().name}/{name}"
                break
        names[path.as_posix() if name in names else name] = None
    return list(names)


def write_split(
    folder: str | os.PathLike, training: Sequence[str], held_out: Sequence[str]
) -> Path:
    """Write a run's split into its folder.

    Names that the run has trained on or held out before stay on their side, even if
    their pictures are gone: they may come back, or be evaluated from another folder.

    Args:
        folder: Folder of the run.
        training: Names trained on.
        held_out: Names held out.

    Returns:
        `Path` of the file.
    """
    folder = expand_user(folder)
    sides = {
        "train": dict.fromkeys(training),
        "held_out": dict.fromkeys(held_out),
    }
    if has_trained(folder) and (folder / SPLIT).exists():
        now = sides["train"].keys() | sides["held_out"].keys()
        for side, before in zip(sides.values(), read_split(folder), strict=True):
            side |= dict.fromkeys(name for name in before if name not in now)
            now |= side.keys()
    text = json.dumps({side: list(names) for side, names in sides.items()}, indent=1)
    return write_whole(folder / SPLIT, text)


def read_split(path: str | os.PathLike) -> tuple[list[str], list[str]]:
    """Read a run's split.

    Args:
        path: Folder of the run, or the JSON file itself.

    Returns:
        `(training, held_out)`: two lists of names.

    Raises:
        UserError: If there is no such file, or it is something else.
    """
    path = expand_user(path)
    if path.suffix != ".json":
        path = path / SPLIT
    try:
        split = read_json(path)
        training, held_out = split["train"], split.get("held_out", [])
        if not all(isinstance(name, str) for name in [*training, *held_out]):
            raise ValueError("a name is no text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} does not say which pictures were trained on ({error}): train "
            "again to evaluate on held-out ones."
        ) from None
    return list(training), list(held_out)


def split_run(
    folder: str | os.PathLike,
    names: Iterable[str],
    *,
    choose: Callable[[list[str]], tuple[Sequence[str], Sequence[str]]] | None = None,
    holdout: float = 0.1,
    seed: int = 0,
    stored_as: Mapping[str, str] | None = None,
) -> tuple[list[str], list[str]]:
    """Split the names of a run's data: as its folder says, or anew.

    A run that goes on keeps every stored name on its side, whatever else has changed;
    the hash of `split_names` decides for names that are new. A run that has not trained
    for a whole epoch is split anew.

    Example:
    ```python
    training, held_out = split_run("runs/a", relative_names(paths, "pictures"))
    write_split("runs/a", training, held_out)
    ```

    Args:
        folder: Folder of the run; nothing is written to it.
        names: Names of the data.
        choose: Function of the list of names, returning `(training, held_out)`, for a
            run without a split. Defaults to `split_names`.
        holdout: As in `split_names`.
        seed: As in `split_names`.
        stored_as: Dict from a name to what an older version stored for it. Defaults to
            the names themselves.

    Returns:
        `(training, held_out)`: two lists; of a stored split first its names, in their
        order, then the new ones.

    Raises:
        UserError: For a `holdout` out of range, or a file that is no split.
    """
    names = list(dict.fromkeys(names))
    folder = expand_user(folder)
    never_trained = Path(folder, SETTINGS).exists() and not has_trained(folder)
    if never_trained or not Path(folder, SPLIT).exists():
        if choose is None:
            return split_names(names, holdout=holdout, seed=seed)
        training, held_out = choose(names)
        return list(training), list(held_out)
    place = _places(names, holdout, seed)
    aliases = {name: name for name in names}
    for name, alias in (stored_as or {}).items():
        aliases.setdefault(alias, name)
    # A name on both sides, as no version writes it, counts as trained on.
    sides = []
    for stored in read_split(folder):
        side = dict.fromkeys(aliases[n] for n in stored if aliases.get(n) in place)
        sides.append([name for name in side if place.pop(name, None) is not None])
    training, held_out = sides
    held_out += [name for name, p in place.items() if p < holdout]
    training += [name for name, p in place.items() if p >= holdout]
    return training, held_out
