"""The errors for what a user can fix, and which errors of the system are such ones."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence


class UserError(ValueError):
    """Report a mistake that a user can fix, in one line for each problem.

    The commands print the lines and end with exit code 2; any other exception is a
    bug and shows its traceback.

    Example:
    ```python
    raise UserError(f"{path}: no such folder. Check the path.")
    raise UserError(["a.txt, line 1: no number.", "a.txt, line 7: no number."])
    ```

    Args:
        problems: A line, or a list of them; each names the file or the option, and
            says how to fix it.

    Attributes:
        problems: List of the lines.
    """

    def __init__(self, problems: str | Sequence[str] = ()) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DivergedError(UserError, FloatingPointError):
    """Report a training whose numbers are no longer finite."""


# What the system says of a file, a disk or a port, and how a user fixes it.
_ENVIRONMENT = {
    errno.ENOENT: "no such file or folder. Check the path.",
    errno.EACCES: "permission denied. Change its permissions, or name another place.",
    errno.EPERM: "permission denied. Change its permissions, or name another place.",
    errno.ENOSPC: "no space is left on the disk. Free some, and run it again.",
    errno.EDQUOT: "no space is left on the disk. Free some, and run it again.",
    errno.EROFS: "the disk cannot be written to. Name another place.",
    errno.EISDIR: "is a folder. Name a file.",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Check the path.",
    errno.EEXIST: "exists already, and is not what is needed. Name another place.",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one.",
    errno.ELOOP: "its links lead in a circle. Name the file itself.",
    errno.EIO: "the disk cannot be read or written (I/O error). Check the disk.",
    errno.EADDRINUSE: "the port is in use. Give another.",
}


def as_user_error(
    error: BaseException, path: str | os.PathLike | None = None
) -> UserError | None:
    """Return what a user can fix about an exception, or `None` for a bug.

    A run over a folder leaves a file out where this gives an error, and stops at a bug.

    Example:
    ```python
    try:
        open("none.png")
    except Exception as error:
        if (problem := as_user_error(error, "none.png")) is None:
            raise
        print(problem)    # none.png: no such file or folder. Check the path.
    ```

    Args:
        error: What was raised: a `UserError`; an `OSError` of a missing file, of
            permissions, of a full disk and the like; a lack of memory, on a device too.
        path: The file that was worked on, which begins the line unless the error names
            it. Defaults to none.

    Returns:
        `UserError` of one line or more; a `UserError` that names the path as it came.
    """
    if isinstance(error, UserError):
        problem = error
    elif isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        # h5py gives no file name, but names the file in its text.
        name = error.filename2 or error.filename
        name = os.fsdecode(name) if isinstance(name, (str, bytes)) else error.strerror
        problem = UserError(f"{name or 'the file'}: {_ENVIRONMENT[error.errno]}")
    elif isinstance(error, MemoryError) or _is_out_of_device_memory(error):
        problem = UserError(
            f"not enough memory ({_first_line(error)}). Take smaller pictures or "
            "batches."
        )
    else:
        return None
    text = str(problem)
    if path is None or os.fspath(path) in text:
        return problem
    return UserError(f"{os.fspath(path)}: {' '.join(text.split())}")


@contextlib.contextmanager
def reading(path: str | os.PathLike, fix: str) -> Iterator[None]:
    """Return a context in which whatever a spoilt file raises becomes one line.

    For formats whose readers raise nearly anything: of weights, of archives, of
    settings that somebody has changed. Put nothing but the reading into it.

    Example:
    ```python
    import json
    from pathlib import Path

    with reading("meta.json", "Fetch it again."):
        entries = json.loads(Path("meta.json").read_text())
    ```

    Args:
        path: The file.
        fix: How to fix it, a sentence.

    Raises:
        UserError: For any exception, which is its cause; a `UserError` as it came.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise as_user_error(error, path) or _spoilt(path, error, fix) from error
    except Exception as error:
        raise _spoilt(path, error, fix) from error


def _spoilt(path, error, fix):
    name = type(error).__name__
    reason = _first_line(error)
    reason = name if reason == name else f"{name}: {reason[:200]}"
    return UserError(f"{os.fspath(path)} cannot be read ({reason}). {fix}")


def _is_out_of_device_memory(error):
    # TensorFlow's and JAX's errors, known without importing either.
    library = type(error).__module__.split(".")[0]
    exhausted = type(error).__name__ == "ResourceExhaustedError"
    exhausted |= str(error).startswith("RESOURCE_EXHAUSTED")
    return library in ("tensorflow", "jaxlib", "jax") and exhausted


def _first_line(error):
    return next(iter(str(error).splitlines()), "") or type(error).__name__
