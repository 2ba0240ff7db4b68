"""Log in at Pixiv and ask it for works and pictures.

Pixiv ended logins by password. What remains is a refresh token, which is as good as a
password: it comes from the variable `PIXIV_REFRESH_TOKEN` or a hidden prompt, stays in
memory, and shows in no text, no error and no representation of an object.
"""

import email.utils
import os
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from illustkit.errors import UserError

VARIABLE = "PIXIV_REFRESH_TOKEN"
HOW_TO = (
    "Pixiv ended logins by password. Get a refresh token (the README says how) and put "
    f"it into the variable {VARIABLE}, or call login() and paste it at the prompt."
)
REFERER = "https://app-api.pixiv.net/"  # the image host answers no one without it
TIMEOUT = (10, 30)  # seconds to connect, and of silence
MAX_SECONDS = 300  # for one picture
MAX_BYTES = 64 << 20

TRIES = 5
SHORT_WAIT = 2  # seconds, doubled from try to try
RATE_WAIT = 30  # after "too many requests" without a time; doubled likewise
LONGEST_WAIT = 900

Answer = TypeVar("Answer")


class PixivError(UserError):
    """Pixiv did not give what it was asked for; no text of these holds a token."""


class LoginError(PixivError):
    """There is no session at Pixiv, so that nothing more can be asked."""


class GoneError(PixivError):
    """A work or a picture is deleted or private."""


class ClosedError(GoneError):
    """A work is not shown to this account; that may change, so it is asked again."""


class BusyError(PixivError):
    """A request failed for now and may succeed later.

    Args:
        message: What happened.
        wait: Seconds to wait after the first try. Defaults to 2.
        retry_after: What the server said: seconds or an HTTP date, or `None`.
    """

    def __init__(
        self, message: str, *, wait: float = SHORT_WAIT, retry_after: str | None = None
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.retry_after = retry_after


class Session:
    """Ask Pixiv as a logged-in user; its tokens are never shown nor saved.

    Args:
        api: `pixivpy3.AppPixivAPI`, with its tokens set.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self._reply: Any = None
        # pixivpy returns the text of a reply without its status: keep the status.
        api.requests.hooks["response"].append(self._keep_reply)
        api.requests.max_redirects = 0  # no token follows a redirect elsewhere
        api.requests.disableCloudflareV1 = True  # evade no check for robots

    def __repr__(self):
        return "<Session at Pixiv, tokens hidden>"

    def __reduce__(self):
        raise TypeError("A session at Pixiv cannot be saved: it holds a token.")

    def renew(self) -> None:
        """Exchange the refresh token for a new access token, which lasts an hour.

        Raises:
            BusyError: If Pixiv cannot be reached or is busy.
            LoginError: If it refuses the refresh token.
        """
        _, problem = self._call(self._api.auth)
        if problem is None:
            return
        self._raise_if_busy(problem)
        status = self._reply.status_code
        raise LoginError(
            f"Pixiv refused the login (HTTP {status}: {problem}). {HOW_TO}"
        )

    def work(self, number: int) -> dict[str, Any]:
        """Look up a work; an expired session is renewed once.

        Args:
            number: The work's number.

        Returns:
            dict of what Pixiv says: "id", "visible", "x_restrict", "page_count", …

        Raises:
            GoneError: If it is deleted or private.
            BusyError: If it may be available later.
            LoginError: If a session that was just renewed is not accepted.
            PixivError: If the answer is anything else.
        """
        answer, problem = self._call(self._api.illust_detail, number)
        if self._has_expired(answer):
            self.renew()
            answer, problem = self._call(self._api.illust_detail, number)
            if self._has_expired(answer):
                raise LoginError(f"Pixiv did not accept a renewed session. {HOW_TO}")
        self._raise_if_busy(f"{problem or ''} {_message(answer)}".strip())
        status = self._reply.status_code
        if status in (404, 410):
            raise GoneError(f"no such work (HTTP {status})")
        if status == 403:
            raise ClosedError("work not open to this account (HTTP 403)")
        work = answer.get("illust") if isinstance(answer, dict) else None
        if status == 200 and isinstance(work, dict):
            return work
        if status == 200 and problem:  # half an answer
            raise BusyError(problem)
        raise PixivError(f"unexpected answer about the work (HTTP {status})")

    def picture(self, url: str) -> bytes:
        """Fetch a picture's bytes.

        Args:
            url: Its address at Pixiv's image host.

        Returns:
            bytes.

        Raises:
            GoneError: If it does not exist.
            BusyError: If it may be available later, or the transfer broke.
            PixivError: If the answer is no picture, or too large.
        """
        result, problem = self._call(self._read_picture, url)
        self._raise_if_busy(problem or "")
        status = self._reply.status_code
        if status in (404, 410):
            raise GoneError(f"no such picture (HTTP {status})")
        if status != 200:
            raise PixivError(f"the image host refused it (HTTP {status})")
        if problem:
            raise BusyError(f"broken transfer ({problem})")
        kind = self._reply.headers.get("Content-Type", "nothing")
        if not kind.startswith("image/"):
            raise PixivError(f"no picture came, but {kind[:60]}")
        if result is None:
            raise PixivError(f"more than {MAX_BYTES >> 20} MiB")
        return result

    def _read_picture(self, url):
        # pixivpy's download() writes any answer, errors too; this is its request.
        start = time.monotonic()
        with self._api.requests_call(
            "GET", url, headers={"Referer": REFERER}, stream=True
        ) as reply:
            is_picture = reply.headers.get("Content-Type", "").startswith("image/")
            if reply.status_code != 200 or not is_picture:
                return None
            blocks, size = [], 0
            # read1 returns what has arrived, so that a trickle is noticed.
            read = getattr(reply.raw, "read1", reply.raw.read)
            while block := read(1 << 16, decode_content=True):
                blocks.append(block)
                size += len(block)
                if size > MAX_BYTES:
                    return None
                if time.monotonic() - start > MAX_SECONDS:
                    raise TimeoutError(f"not done after {MAX_SECONDS} s")
            return b"".join(blocks)

    def _keep_reply(self, reply, *_, **__):
        self._reply = reply

    def _call(self, function, *arguments):
        """Return `(result, None)` or `(None, text)`, with no frame of pixivpy.

        Its frames hold the tokens, and some tracebacks show all variables.
        """
        self._reply, interrupted = None, False
        try:
            return function(*arguments), None
        except KeyboardInterrupt:
            interrupted = True
        except Exception as error:  # pixivpy lets nearly anything through
            problem = self._without_tokens(str(error) or type(error).__name__)
        if interrupted:
            raise KeyboardInterrupt
        return None, problem

    def _without_tokens(self, text):
        for token in (self._api.access_token, self._api.refresh_token):
            text = text.replace(token, "[token]") if token else text
        # The last of a chain of errors, which happened first, is the informative one.
        text = " ".join(text.rpartition("Caused by ")[2].split())
        return text if len(text) <= 200 else f"{text[:197]}..."

    def _raise_if_busy(self, text):
        status = self._reply.status_code if self._reply is not None else None
        if status is None:
            raise BusyError(f"no answer ({text})")
        retry_after = self._reply.headers.get("Retry-After")
        if status == 429 or "rate limit" in text.lower():
            raise BusyError(
                f"too many requests (HTTP {status})",
                wait=RATE_WAIT,
                retry_after=retry_after,
            )
        if status >= 500:
            raise BusyError(f"HTTP {status}", retry_after=retry_after)

    def _has_expired(self, answer):
        if self._reply is None:
            return False
        text, status = _message(answer).lower(), self._reply.status_code
        oauth = "oauth" in text or "invalid_grant" in text
        return status == 401 or status in (400, 403) and oauth


def _message(answer):
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return ""
    return f"{error.get('message') or ''} {error.get('user_message') or ''}".strip()


def set_login_attribute(pixiv_id: str, password: str) -> None:
    """Explain what became of the chapter's login by password, and raise.

    Args:
        pixiv_id: Not used.
        password: Not used; change it if a notebook holds it.

    Raises:
        LoginError: Always.
    """
    del pixiv_id, password  # so that no traceback shows them
    raise LoginError(
        f"set_login_attribute() works no more; nothing was stored. {HOW_TO}"
    )


def login(*, sleep: Callable[[float], None] = time.sleep) -> Session:
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
        LoginError: If there is no refresh token, or Pixiv refuses it.
        BusyError: If Pixiv cannot be reached.
    """
    try:
        from pixivpy3 import AppPixivAPI
    except ImportError:
        raise LoginError("pixivpy is not installed: pip install pixivpy3") from None
    api = AppPixivAPI(timeout=TIMEOUT)
    # Not through a variable: some tracebacks show variables.
    api.set_auth(None, _read_token())  # type: ignore[arg-type]  # no access token yet
    session = Session(api)
    ask_with_backoff(session.renew, sleep=sleep)
    return session


def _read_token():
    import getpass

    token = os.environ.get(VARIABLE, "").strip()
    if not token:
        try:
            with warnings.catch_warnings():
                # do not ask where typing cannot be hidden
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


def ask_with_backoff(
    ask: Callable[[], Answer],
    *,
    sleep: Callable[[float], None] = time.sleep,
    log: Callable[[str], object] | None = None,
) -> Answer:
    """Ask until there is an answer, five times, with exponential back-off.

    Example:
    ```python
    work = ask_with_backoff(lambda: session.work(72809999))
    ```

    Args:
        ask: Function without arguments; after its `BusyError` it is called again.
        sleep: Function of seconds. Defaults to `time.sleep`.
        log: Function of a text, called before each wait. Defaults to none.

    Returns:
        What `ask` returned.

    Raises:
        BusyError: If the last try fails.
        LoginError: If the server asks for a wait of more than a quarter of an hour.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

    def wait(state):
        error = state.outcome.exception()
        backoff = error.wait * 2 ** (state.attempt_number - 1)
        return max(backoff, _seconds(error.retry_after))

    def before_sleep(state):
        error = state.outcome.exception()
        seconds = _seconds(error.retry_after)
        if seconds > LONGEST_WAIT:
            raise LoginError(
                f"Pixiv asks to wait {seconds:.0f} s ({error}). Run the same command "
                "again after that; it goes on from here."
            )
        if log:
            log(f"{error}; waiting {state.next_action.sleep:.0f} s")

    return Retrying(
        retry=retry_if_exception_type(BusyError),
        stop=stop_after_attempt(TRIES),
        wait=wait,
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )(ask)


def _seconds(retry_after):
    """Return the seconds that a Retry-After header means; 0 for none or nonsense."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        then = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return max(0.0, then - time.time())
