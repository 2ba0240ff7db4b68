"""Files that a page sends: their names, and what is said of them."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from illustkit.errors import UserError, as_user_error
from illustkit.web.requests import RequestError


def safe_name(name: str) -> str:
    """Return a file name that stays in its folder, with the extension as it came.

    Args:
        name: What the browser calls the file.
    """
    last = re.split(r"[/\\]", name)[-1]
    kept = re.sub(r"[\x00-\x1f\x7f<>:\"|?*\ud800-\udfff]", "_", last).strip(". ")
    path = Path(kept or "picture")
    return path.stem[:60] + path.suffix[:10]


@contextlib.contextmanager
def named(path: Path, *passed: type[Exception]) -> Iterator[None]:
    """Name a file in errors as the page knows it: without the server's folder.

    Args:
        path: Where the server holds the file.
        *passed: Classes of errors that pass as they are, as `RequestError` does.

    Raises:
        UserError: Where another error is one of the user.
    """
    known: tuple[type[Exception], ...] = (RequestError, *passed)
    try:
        yield
    except known:
        raise
    except Exception as error:
        if (problem := as_user_error(error, path)) is None:
            raise
        folder = f"{path.parent}{os.sep}"
        lines = [line.replace(folder, "") for line in problem.problems]
        raise UserError(lines) from error
