"""Logging in at Pixiv.

Pixiv ended logins by password. What remains is a refresh token, which is as good as a
password: it comes from the variable `PIXIV_REFRESH_TOKEN` or a hidden prompt, stays in
memory, and shows in no text, no error and no representation of an object.
"""

import os
import time
import warnings

from oppai._patience import LoginError, patiently
from oppai.pixiv_session import HOW_TO, VARIABLE, Session

TIMEOUT = (10, 30)  # seconds to connect, and of silence


def set_login_attribute(pixiv_id, password):
    """Explain what became of the chapter's login by password, and stop.

    Args:
        pixiv_id: Not used.
        password: Not used; change it if it stood in a notebook.

    Raises:
        LoginError: always.
    """
    del pixiv_id, password  # so that no traceback shows them
    raise LoginError(
        f"set_login_attribute() works no more, and nothing was stored. {HOW_TO}"
    )


def login(*, sleep=time.sleep):
    """Begin a session at Pixiv.

    Example:
    ```python
    session = login()
    download_all(session, "oppai_dataset/oppai_meta.json")
    ```

    Args:
        sleep: Function of seconds, for waits while Pixiv is busy. Defaults to
            `time.sleep`.

    Returns:
        `Session`.

    Raises:
        LoginError: without a refresh token, or where Pixiv does not take it.
        BusyError: where Pixiv cannot be reached.
    """
    try:
        from pixivpy3 import AppPixivAPI
    except ImportError:
        AppPixivAPI = None
    if AppPixivAPI is None:
        raise LoginError("pixivpy is not installed: pip install pixivpy3")
    api = AppPixivAPI(timeout=TIMEOUT)
    # Not through a variable: some tracebacks show those.
    api.set_auth(None, _read_token())
    session = Session(api)
    patiently(session.renew, sleep=sleep)
    return session


def _read_token():
    import getpass

    token = os.environ.get(VARIABLE, "").strip()
    if not token:
        try:
            with warnings.catch_warnings():
                # Where typing cannot be hidden it is not asked for.
                warnings.simplefilter("error", getpass.GetPassWarning)
                token = getpass.getpass("Pixiv refresh token (hidden): ").strip()
        except (EOFError, OSError, getpass.GetPassWarning):
            token = ""
    if token and token.isascii() and token.isprintable() and " " not in token:
        return token
    missing = not token
    del token
    if missing:
        raise LoginError(f"There is no refresh token. {HOW_TO}")
    raise LoginError("That is no refresh token: it is one word of letters and digits.")
