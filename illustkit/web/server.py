"""A page for this machine alone: loopback, one token, no paths in requests.

What is served is an `App`: one HTML page, functions by name, pictures by number.
"""

import http.server
import secrets
import sys
import threading

from illustkit.web.requests import PAGES as PAGES
from illustkit.web.requests import Handler


class App:
    """What a page can ask for; a subclass fills the attributes.

    Attributes:
        page: Name of the HTML file in `pages/`.
        pictures: `illustkit.web.pictures.ServedPictures`.
        gets: Dict from a name to a function of whole numbers, returning JSON.
        posts: Dict from a name to a function of one dict, returning JSON; one of them
            runs at a time.
    """

    page = "index.html"
    pictures = None

    def __init__(self):
        self.gets, self.posts = {}, {}


class LocalServer:
    """Serves an `App` to the browsers of this machine.

    Nobody else can use it: it listens on 127.0.0.1 only; the first request must carry
    the token of `url`, which becomes a cookie; the Host header must be this address
    (against DNS rebinding); what changes anything must come from the page itself
    (Origin, and the token in a header).

    Example:
    ```python
    with LocalServer(app) as server:
        print(server.url)
        server.wait()
    ```

    Args:
        app: The `App`.
        port: TCP port; 0 takes a free one. Defaults to 0.

    Raises:
        ValueError: if the port is taken.
    """

    def __init__(self, app, *, port=0):
        self.app, self.token = app, secrets.token_urlsafe(24)
        self.lock = threading.Lock()
        handler = type("Handler", (Handler,), {"owner": self})
        try:
            self._http = _Http(("127.0.0.1", port), handler)
        except (OSError, OverflowError) as error:
            raise ValueError(
                f"Port {port} cannot be used ({error}). Give another, or 0 for any."
            ) from error
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/?token={self.token}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with self.lock:  # a write under way is finished first
            self._http.shutdown()
            self._http.server_close()

    def wait(self):
        """Block until Ctrl-C."""
        while self._thread.is_alive():
            self._thread.join(0.5)


def serve(app, *, port=0, open_browser=True):
    """Serve a page until Ctrl-C.

    Args:
        app: The `App`.
        port: TCP port; 0 takes a free one.
        open_browser: Open the page in the user's browser.
    """
    import webbrowser

    with LocalServer(app, port=port) as server:
        print(f"Open {server.url}\nCtrl-C ends; all is saved.", flush=True)
        if open_browser:
            webbrowser.open(server.url)
        try:
            server.wait()
        except KeyboardInterrupt:
            print(flush=True)


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would share a taken port

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
