"""The names of the files in a run's folder, readable without Keras."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from illustkit.errors import UserError
from illustkit.files import expand_user

SETTINGS, HISTORY, BEST = "settings.json", "history.csv", "best.weights.h5"
SPLIT, DATA = "split.json", "data.json"
INTERRUPTED = "interrupted"  # folder beside the backups of whole epochs
_LOCK = ".lock"
# Files that epochs leave: rows, weights and states to resume from.
_OF_EPOCHS = (
    "*.weights.h5",
    "*.keras",
    "backup/worker-*/epoch-?????",
    f"backup/worker-*/{INTERRUPTED}",
)


def check_run(folder: str | os.PathLike[str]) -> Path:
    """Refuse a folder that holds no run; a command says so before it imports Keras.

    Args:
        folder: Path of the run.

    Returns:
        Its path, "~" expanded.

    Raises:
        UserError: If the folder has no settings.
    """
    folder = expand_user(folder)
    if not (folder / SETTINGS).exists():
        raise UserError(
            f"{folder} holds no run: it has no {SETTINGS}. "
            "Name the folder that a training printed."
        )
    return folder


def has_trained(folder: str | os.PathLike[str]) -> bool:
    """Return whether a run's folder holds anything to resume.

    A training that was refused, or killed in its first epoch, leaves nothing: its
    settings and split do not bind the next one. One that Ctrl-C stopped leaves a state.

    Args:
        folder: Path of the run.
    """
    folder = expand_user(folder)
    history = folder / HISTORY
    if history.is_file() and history.stat().st_size:
        return True
    files = (path.name for pattern in _OF_EPOCHS for path in folder.glob(pattern))
    return any(not name.startswith("part-") for name in files)


@contextlib.contextmanager
def training_in(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from training in a run's folder.

    The system takes the lock back when the process ends, however it ends. Where there
    are no locks (Windows, some network drives) nothing is kept.

    Args:
        folder: Path of the run.

    Raises:
        UserError: If another process is training there.
    """
    folder = expand_user(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _LOCK, "ab") as file:
        _lock(file, folder)
        yield


def refuse_busy(folder: str | os.PathLike[str]) -> None:
    """Raise `UserError` if another process is training in a run's folder."""
    folder = expand_user(folder)
    with contextlib.suppress(FileNotFoundError), open(folder / _LOCK, "r+b") as file:
        _lock(file, folder)


def _lock(file, folder):
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"{folder}: another process is training this run. Wait for its end, stop "
            "it, or name another folder."
        ) from None
    except (ImportError, OSError):  # Windows; a drive without locks
        return
