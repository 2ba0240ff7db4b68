"""What can go wrong at Pixiv, and how long to wait before asking again."""

import email.utils
import time

TRIES = 5
SHORT_WAIT = 2  # seconds, doubled from try to try
RATE_WAIT = 30  # after "too many requests", where no time is named; doubled likewise
LONGEST_WAIT = 900


class PixivError(ValueError):
    """Pixiv did not give what it was asked for; no text of these holds a token."""


class LoginError(PixivError):
    """There is no session at Pixiv, so there is no point in going on."""


class GoneError(PixivError):
    """A work or a picture is deleted or private."""


class ClosedError(GoneError):
    """A work is not shown to this account; that may change, so it is asked again."""


class BusyError(PixivError):
    """It may go better later.

    Args:
        message: What happened.
        wait: Seconds to wait after the first try. Defaults to 2.
        retry_after: What the server said: seconds or an HTTP date, or `None`.
    """

    def __init__(self, message, *, wait=SHORT_WAIT, retry_after=None):
        super().__init__(message)
        self.wait = wait
        self.retry_after = retry_after


def patiently(ask, *, sleep=time.sleep, tell=None):
    """Ask until there is an answer: five times, with ever longer waits.

    Example:
    ```python
    work = patiently(lambda: session.work(72809999))
    ```

    Args:
        ask: Function without arguments; its `BusyError` is what is waited for.
        sleep: Function of seconds. Defaults to `time.sleep`.
        tell: Function of a text, called before each wait. Defaults to none.

    Returns:
        What `ask` gave.

    Raises:
        BusyError: of the last try.
        LoginError: where the server wants a wait of more than a quarter of an hour.
    """
    for attempt in range(TRIES):
        try:
            return ask()
        except BusyError as error:
            if attempt == TRIES - 1:
                raise
            said = _seconds(error.retry_after)
            wait, why = max(error.wait * 2**attempt, said), str(error)
        if said > LONGEST_WAIT:
            raise LoginError(
                f"Pixiv asks to wait {said:.0f} s ({why}). Run the same command again "
                "after that; it goes on from here."
            )
        if tell:
            tell(f"{why}; waiting {wait:.0f} s")
        sleep(wait)


def _seconds(retry_after):
    """Seconds that a Retry-After header means; 0 for none or nonsense."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        then = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return max(0.0, then - time.time())
