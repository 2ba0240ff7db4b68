"""Logging in at Pixiv.

Pixiv ended logins by password. What remains is a refresh token, which is as good as a
password: it comes from the variable `PIXIV_REFRESH_TOKEN` or a hidden prompt, stays in
memory, and shows in no text, no error and no representation of an object.
"""

import email.utils
import os
import re
import secrets
import time
import warnings

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


WORK_KEYS = ("id", "visible", "x_restrict", "page_count")
_PART = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part")


class RefusedError(PixivError):
    """A work is not marked all-ages."""


def check_work(work, target):
    """Raise unless a work may be taken: the very one, visible, and for all ages.

    Args:
        work: dict of what Pixiv says of it.
        target: `Target`.

    Raises:
        GoneError: if it is deleted or private. Pixiv then gives a stand-in, whose
            `x_restrict` says nothing of the work.
        RefusedError: unless it is marked all-ages.
        PixivError: if it is another work.
    """
    if work.get("id") != target.entry.id:
        raise PixivError(f"the answer is about work {str(work.get('id'))[:20]!r}")
    if work.get("visible") is not True:
        raise GoneError("work deleted or private")
    restrict = work.get("x_restrict")
    if type(restrict) is not int or restrict != 0:
        raise RefusedError(f"work not marked all-ages (x_restrict {restrict!r:.20})")
    pages = work.get("page_count")
    if type(pages) is int and target.page >= pages:
        raise GoneError(f"no page {target.page} in a work of {pages}")


def fetch_picture(session, target):
    """Fetch a picture, check it, and only then give it its name.

    Args:
        session: `Session`.
        target: `Target`, whose work has been checked.

    Raises:
        BusyError: if it could not be had this time, or came broken.
        PixivError: if something else came.
    """
    from illustkit.images import ImageError, read_picture

    data = session.picture(target.entry.image_url)
    path = target.path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(data)
        try:
            picture = read_picture(part)
        except ImageError as error:
            reason = str(error).replace(str(part), "the picture")
            raise BusyError(reason) from None
        height, width = picture.rgb.shape[:2]
        if (width, height) != (target.entry.width, target.entry.height):
            raise PixivError(
                f"{width}×{height} came instead of "
                f"{target.entry.width}×{target.entry.height}"
            )
        if picture.format != target.format:
            raise PixivError(f"{picture.format} came instead of {target.format}")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(targets):
    """Remove the temporary files that a killed download left behind.

    Args:
        targets: Sequence of `Target`.
    """
    names = {}
    for target in targets:
        names.setdefault(target.path.parent, set()).add(target.path.name)
    for parent, expected in names.items():
        for path in parent.glob(".*.part"):
            found = _PART.fullmatch(path.name)
            if found and found[1] in expected:
                path.unlink(missing_ok=True)


VARIABLE = "PIXIV_REFRESH_TOKEN"
HOW_TO = (
    "Pixiv ended logins by password. Get a refresh token (the README says how) and put "
    f"it into the variable {VARIABLE}, or call login() and paste it at the prompt."
)
REFERER = "https://app-api.pixiv.net/"  # the image host answers no one without it
MAX_SECONDS = 300  # for one picture
MAX_BYTES = 64 << 20


class Session:
    """A login at Pixiv. Its tokens are never shown, and it cannot be saved.

    Args:
        api: `pixivpy3.AppPixivAPI`, with its tokens set.
    """

    def __init__(self, api):
        self._api = api
        self._reply = None
        # pixivpy gives the text of a reply without its status; this keeps the status.
        api.requests.hooks["response"].append(self._keep_reply)
        api.requests.max_redirects = 0  # no token follows a redirect elsewhere
        api.requests.disableCloudflareV1 = True  # no check for robots is dodged

    def __repr__(self):
        return "<Session at Pixiv, tokens hidden>"

    def __reduce__(self):
        raise TypeError("A session at Pixiv cannot be saved: it holds a token.")

    def renew(self):
        """Trade the refresh token for a new access token, which lasts an hour.

        Raises:
            BusyError: if Pixiv cannot be reached or is busy.
            LoginError: if it does not take the refresh token.
        """
        _, problem = self._call(self._api.auth)
        if problem is None:
            return
        self._raise_if_busy(problem)
        status = self._reply.status_code
        raise LoginError(
            f"Pixiv refused the login (HTTP {status}: {problem}). {HOW_TO}"
        )

    def work(self, number):
        """Look a work up; a session that has expired is renewed, once.

        Args:
            number: Its number.

        Returns:
            dict of what Pixiv says: "id", "visible", "x_restrict", "page_count", …

        Raises:
            GoneError: if it is deleted or private.
            BusyError: if it may be had later.
            LoginError: if a session that was just renewed is not accepted.
            PixivError: for an answer that is none of these.
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

    def picture(self, url):
        """Fetch a picture's bytes.

        Args:
            url: Its address at Pixiv's image host.

        Returns:
            bytes.

        Raises:
            GoneError: if it is not there.
            BusyError: if it may be had later, or the transfer broke.
            PixivError: for what is no picture, or too large.
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
        # pixivpy's download() writes whatever comes, errors too; this is its request.
        start = time.monotonic()
        with self._api.requests_call(
            "GET", url, headers={"Referer": REFERER}, stream=True
        ) as reply:
            is_picture = reply.headers.get("Content-Type", "").startswith("image/")
            if reply.status_code != 200 or not is_picture:
                return None
            blocks, size = [], 0
            # read1 comes back with what there is, so that a trickle is noticed.
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
        """`(result, None)`, or `(None, text)`; no frame of pixivpy's gets out.

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
        # Of a chain of errors the last, and so the first to happen, is the telling one.
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
