"""A session at Pixiv through pixivpy: works are looked up, pictures are fetched."""

import time

from oppai._patience import (
    RATE_WAIT,
    BusyError,
    ClosedError,
    GoneError,
    LoginError,
    PixivError,
)

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
