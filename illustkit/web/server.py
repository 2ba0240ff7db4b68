"""A page for this machine alone: loopback, one token, no paths in requests.

What is served is an `App`: a folder of page files, functions by name, pictures by
number.
"""

import contextlib
import http.server
import os
import secrets
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from illustkit.errors import UserError
from illustkit.web.pictures import ServedPictures
from illustkit.web.requests import Handler

_PROXIES = "http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "ws_proxy"


class App:
    """What a page can ask for; a subclass sets the attributes.

    Example:
    ```python
    class Greeting(App):
        name = "greeting"
        pages = Path(__file__).parent / "pages"
        page = "greeting.html"

        def __init__(self):
            super().__init__()
            self.gets = {"hello": lambda n: {"text": "hello " * n}}
    ```

    Attributes:
        name: Name of the program, in its lines of errors and its cookie.
        pages: Folder of the HTML, CSS, JavaScript and SVG files; `{{token}}` in the
            page is replaced by the token.
        page: Name of the HTML file in it.
        pictures: `illustkit.web.pictures.ServedPictures`, or `None`.
        usual_port: TCP port where none is named; 0 is any free one.
        most_bytes: Most bytes of an upload.
        gets: Dict from a name to a function of whole numbers, returning JSON.
        posts: Dict from a name to a function of one dict, returning JSON; one of them
            runs at a time.
        uploads: Dict from a name to a function of bytes and a dict of texts, returning
            JSON or a `FileAnswer`; several may run at a time.
        files: Dict from a name to a function of a hexadecimal key, returning the same.
    """

    name = "illustkit"
    pages: Path
    page = "index.html"
    pictures: ServedPictures | None = None
    usual_port = 0
    most_bytes = 0

    def __init__(self) -> None:
        self.gets: dict[str, Callable[..., Any]] = {}
        self.posts: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.uploads: dict[str, Callable[[bytes, dict[str, str]], Any]] = {}
        self.files: dict[str, Callable[[str], Any]] = {}


class LocalServer:
    """Serves an `App` to the browsers of this machine.

    Nobody else can use it: it listens on 127.0.0.1, unless another address is given;
    the first request must carry the token of `url`, which becomes a cookie; the Host
    header must be this address (against DNS rebinding); what changes anything must come
    from the page itself (Origin, and the token in a header).

    Example:
    ```python
    with LocalServer(app) as server:
        print(server.url)
        server.wait()
    ```

    Args:
        app: The `App`.
        port: TCP port; 0 takes a free one. Defaults to 0.
        host: Address to listen on; any but 127.0.0.1 lets other machines use the page
            that have its token. Defaults to "127.0.0.1".

    Raises:
        UserError: If the address or the port cannot be used.
    """

    def __init__(self, app: App, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.host, self.is_open = host, host not in ("127.0.0.1", "localhost")
        self.app, self.token = app, secrets.token_urlsafe(24)
        self.lock = threading.Lock()
        handler = type("Handler", (Handler,), {"owner": self})
        try:
            self._http = _Http((host, port), handler)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"Port {port} cannot be used on {host} ({error}). Give another, or 0 "
                "for any."
            ) from error
        self.port = self._http.server_address[1]
        shown = "127.0.0.1" if host == "0.0.0.0" else host
        self.url = f"http://{shown}:{self.port}/?token={self.token}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> "LocalServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.lock:  # a write under way is finished first
            self._http.shutdown()
            self._http.server_close()
            self._http.hang_up()

    def wait(self) -> None:
        """Block until Ctrl-C."""
        while self._thread.is_alive():
            self._thread.join(0.5)


@contextlib.contextmanager
def without_proxies() -> Iterator[None]:
    """Return a context in which no proxy is used: none leads to this machine itself.

    Libraries that open a page here, or look whether it is up, take the proxies of the
    environment for that as well.

    Example:
    ```python
    import urllib.request

    with without_proxies():
        print(urllib.request.getproxies())    # {}
    ```
    """
    names = [name for name in os.environ if name.lower() in _PROXIES]
    proxies = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(proxies)


def serve(
    app: App,
    *,
    port: int | None = 0,
    host: str = "127.0.0.1",
    open_browser: bool = True,
) -> None:
    """Serve a page until Ctrl-C.

    Args:
        app: The `App`.
        port: TCP port; 0 takes a free one, `None` the app's usual one, or a free one
            where that is taken. Defaults to 0.
        host: See `LocalServer`; a line warns of any but 127.0.0.1. Defaults to
            "127.0.0.1".
        open_browser: Whether to open the page in the user's browser. Defaults to
            `True`.
    """
    import webbrowser

    if port is None:
        port = _free_port(app.usual_port, host)
    with LocalServer(app, port=port, host=host) as server:
        if server.is_open:
            print(
                "Other machines of the network can use this page if they have its "
                "address with the token; nothing is encrypted on the way.",
                flush=True,
            )
        print(f"Open {server.url}\nCtrl-C ends; all is saved.", flush=True)
        if open_browser:
            webbrowser.open(server.url)
        try:
            server.wait()
        except KeyboardInterrupt:
            print(flush=True)


def _free_port(usual, host):
    """Return the usual port, or 0 for any where it is taken.

    What a browser keeps belongs to an address with its port.
    """
    with socket.socket() as probe:
        probe.settimeout(0.2)
        where = "127.0.0.1" if host == "0.0.0.0" else host
        return 0 if probe.connect_ex((where, usual)) == 0 else usual


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would share a taken port

    def __init__(self, *args, **kwargs):
        self.connections = weakref.WeakSet()
        super().__init__(*args, **kwargs)

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def hang_up(self):
        # Browsers keep connections open, and their threads would go on answering.
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
