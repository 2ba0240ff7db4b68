"""pixivpy led to the local server.

The client keeps Pixiv's own addresses; only the transport under it is led elsewhere.
"""

import urllib.parse

from requests.adapters import HTTPAdapter

from .loopback_server import API, AUTH, IMAGES


class ToLoopback(HTTPAdapter):
    """Sends what is meant for Pixiv's hosts to the local server."""

    def __init__(self, port):
        super().__init__()
        self.port = port

    def send(self, request, **options):
        url = urllib.parse.urlsplit(request.url)
        if url.hostname not in (AUTH, API, IMAGES) or url.scheme != "https":
            raise AssertionError(f"{request.url} would leave this machine")
        request.headers["Host"] = url.hostname
        address = url._replace(scheme="http", netloc=f"127.0.0.1:{self.port}")
        request.url = urllib.parse.urlunsplit(address)
        return super().send(request, **options)


def lead_to(port):
    """pixivpy's own client class, with the transport above under it."""
    import pixivpy3

    class Client(pixivpy3.AppPixivAPI):
        def __init__(self, **options):
            super().__init__(**options)
            self.requests.trust_env = False
            for scheme in ("https://", "http://"):
                self.requests.mount(scheme, ToLoopback(port))

    return Client
