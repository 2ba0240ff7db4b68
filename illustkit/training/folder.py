"""The names of the files in a run's folder, readable without Keras."""

import os

from illustkit.files import expand_user

SETTINGS, HISTORY, BEST = "settings.json", "history.csv", "best.weights.h5"
SPLIT, DATA = "split.json", "data.json"
# Files that epochs leave: rows, weights and states to resume from.
_OF_EPOCHS = "*.weights.h5", "*.keras", "backup/worker-*/epoch-?????"


def has_trained(folder: str | os.PathLike[str]) -> bool:
    """Return whether a run's folder holds anything of a whole epoch.

    A training that was refused, or stopped in its first epoch, leaves nothing to
    resume: its settings and split do not bind the next one.

    Args:
        folder: Path of the run.
    """
    folder = expand_user(folder)
    history = folder / HISTORY
    if history.is_file() and history.stat().st_size:
        return True
    files = (path.name for pattern in _OF_EPOCHS for path in folder.glob(pattern))
    return any(not name.startswith("part-") for name in files)
