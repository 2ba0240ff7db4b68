"""The requests of a local page: which are answered, and which are refused."""

import html
import http.server
import inspect
import json
import re
import secrets
import traceback
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from illustkit.errors import as_user_error

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
_POLICY += "connect-src 'self'; base-uri 'none'; form-action 'none'; "
_POLICY += "frame-ancestors 'none'"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Not here</title>
<h1>This page is not here any more</h1><p>{}</p></html>
"""
_MAX_BODY = 1_000_000  # bytes
_MAX_NUMBER_DIGITS = 9
_KEY = re.compile(r"[0-9a-f]{1,64}")
SHARED = Path(__file__).parents[1] / "pages"  # look and parts that all pages share


class RequestError(Exception):
    """A request that is answered with a status and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class FileAnswer:
    """Bytes that answer a request as they are.

    Args:
        data: The bytes.
        kind: Their media type, as "image/png".
        headers: Further headers of the answer. Defaults to none.
    """

    data: bytes
    kind: str
    headers: dict[str, str] = field(default_factory=dict)


def attachment(name: str) -> dict[str, str]:
    """Return the header by which a browser saves an answer under a name.

    Example:
    ```python
    headers = attachment("é.png")
    headers["Content-Disposition"]  # "attachment; filename*=UTF-8''%C3%A9.png"
    ```

    Args:
        name: The file's name.
    """
    quoted = urllib.parse.quote(name)
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quoted}"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET of the page, its files and pictures, GET and POST of functions.

    Attributes:
        owner: The `LocalServer`, set by a subclass.
    """

    owner: Any
    protocol_version = "HTTP/1.1"
    server_version = "illustkit"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:  # noqa: N802
        self._answer(self._get)

    def do_POST(self) -> None:  # noqa: N802
        self._answer(self._post)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, find):
        try:
            self._check_host()
            status, body, kind, headers = find()
        except RequestError as error:
            self.close_connection = True
            status, headers = error.status, {"Connection": "close"}
            body, kind = _json({"error": str(error)})
            if "text/html" in self.headers.get("Accept", ""):  # a person reads it
                body = _PAGE.format(html.escape(str(error))).encode()
                kind = _TYPES[".html"]
        except Exception as error:
            status, headers = 422, {}
            text = problem = as_user_error(error)
            if problem is None:
                status, text = 500, f"{type(error).__name__}: {error}"
                traceback.print_exception(error)
            body, kind = _json({"error": str(text)})
        self.send_response(status)
        headers = {"Cache-Control": "no-store", **headers}
        headers |= {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": _POLICY,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _check_host(self):
        port = self.owner.port
        host = self.headers.get("Host", "")
        names = ("127.0.0.1", "localhost", self.owner.host)
        if host in {f"{name}:{port}" for name in names}:
            return
        # To rebind a name to this address, another site needs a name: a number is none.
        if self.owner.is_open and re.fullmatch(
            rf"[0-9.]+:{port}|\[[0-9a-f:]+\]:{port}", host
        ):
            return
        raise RequestError(421, f"This page is at {self.owner.host}:{port} only.")

    def _check_token(self, given):
        if not secrets.compare_digest(given.encode(), self.owner.token.encode()):
            raise RequestError(403, "Open the address that the command printed.")

    @property
    def _cookie(self):
        return f"{self.owner.app.name}_{self.owner.port}"

    def _check_cookie(self):
        pairs = (
            p.strip().partition("=") for p in self.headers.get("Cookie", "").split(";")
        )
        self._check_token(next((v for k, _, v in pairs if k == self._cookie), ""))

    def _get(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/" and "token" in query:
            self._check_token(query["token"])
            cookie = (
                f"{self._cookie}={query['token']}; HttpOnly; SameSite=Strict; Path=/"
            )
            return 303, b"", "text/plain", {"Location": "/", "Set-Cookie": cookie}
        self._check_cookie()
        app = self.owner.app
        if url.path == "/":
            page = (app.pages / app.page).read_text("utf-8")
            body = page.replace("{{token}}", self.owner.token).encode("utf-8")
            return 200, body, _TYPES[".html"], {}
        kind, _, name = url.path[1:].partition("/")
        # A name from the client is looked up in a list, and never becomes a path.
        for folder in (app.pages, SHARED):
            if kind == "static" and name in _static_files(folder):
                return 200, (folder / name).read_bytes(), _TYPES[Path(name).suffix], {}
        if kind == "picture" and app.pictures is not None:
            number, _, side = name.partition("/")
            data = app.pictures.encoded(_number(number), _number(side))
            return 200, data, "image/jpeg", {"Cache-Control": "private, max-age=3600"}
        if kind == "api" and name in app.gets:
            numbers = {key: _number(value) for key, value in query.items()}
            try:
                inspect.signature(app.gets[name]).bind(**numbers)
            except TypeError as error:
                raise RequestError(400, f"Wrong query: {error}") from error
            return 200, *_json(app.gets[name](**numbers)), {}
        if kind == "file":
            name, _, key = name.partition("/")
            if name in app.files and _KEY.fullmatch(key):
                return _answered(app.files[name](key))
        raise RequestError(404, "No such address.")

    def _post(self):
        self._check_cookie()
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers['Host']}":
            raise RequestError(403, f"Requests from {origin} are refused.")
        self._check_token(self.headers.get("X-Token", ""))
        url = urllib.parse.urlsplit(self.path)
        kind, _, name = url.path[1:].partition("/")
        if kind == "upload" and name in self.owner.app.uploads:
            texts = dict(urllib.parse.parse_qsl(url.query, max_num_fields=20))
            data = self._read_body(self.owner.app.most_bytes)
            return _answered(self.owner.app.uploads[name](data, texts))
        if kind != "api" or name not in self.owner.app.posts:
            raise RequestError(404, "No such address.")
        body = self._read_json()
        with self.owner.lock:
            return 200, *_json(self.owner.app.posts[name](body)), {}

    def _read_body(self, most):
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise RequestError(411, "A Content-Length is missing.")
        if len(length) > _MAX_NUMBER_DIGITS or int(length) > most:
            raise RequestError(413, f"At most {most} bytes.")
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise RequestError(400, "The connection ended too early.")
        return data

    def _read_json(self):
        try:
            body = json.loads(self._read_body(_MAX_BODY))
        except (ValueError, RecursionError) as error:
            raise RequestError(400, f"No JSON: {error}") from error
        if not isinstance(body, dict):
            raise RequestError(400, "The body must be a JSON object.")
        return body


def _static_files(folder):
    return {p.name for p in folder.iterdir() if p.suffix in {*_TYPES} - {".html"}}


def _answered(value):
    """Return status, body, media type and headers of what a function returned."""
    if isinstance(value, FileAnswer):
        return 200, value.data, value.kind, value.headers
    return 200, *_json(value), {}


def _number(text):
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_DIGITS):
        raise RequestError(404, "No such address: give a number.")
    return int(text)


def _json(value: Any) -> tuple[bytes, str]:
    # ASCII holds names of any bytes, as surrogates.
    data = json.dumps(value, allow_nan=False).encode()
    return data, "application/json; charset=utf-8"
