"""A server on loopback that behaves as Pixiv's three hosts do.

The Host header tells which of them is meant.
"""

import contextlib
import http.server
import io
import json
import threading
import time
import urllib.parse

from PIL import Image

TOKEN = "refresh-" + "Zx9" * 11  # made up; must never be seen anywhere
AUTH, API, IMAGES = "oauth.secure.pixiv.net", "app-api.pixiv.net", "i.pximg.net"
OAUTH = "Error occurred at the OAuth process. Please check your Access Token to fix "
OAUTH += "this. Error Message: invalid_grant"


class PixivServer:
    """What it holds, how it misbehaves, and what it was asked.

    `mishaps` maps "token", a work's number, or a picture's path to a list of what goes
    wrong in turn: a status, or "slow", "truncated", "broken", "html", "reset", "json",
    "stall" (half a picture, then nothing until the client is gone), ….
    """

    def __init__(self, log_file=None):
        self.works, self.pictures, self.mishaps = {}, {}, {}
        self.log, self.log_file = [], log_file
        self.lock = threading.Lock()
        self.tokens, self.lasts = 0, None  # lasts: look-ups that a token is good for
        self.good_for = 0
        self.stalled = threading.Event()
        self.elsewhere = None

    def add(self, number, size=(30, 40), *, page=0, **changes):
        """A work with one picture; returns the chapter's entry of it."""
        name = f"{number}_p{page}_master1200.jpg"
        path = f"/c/600x1200_90/img-master/img/2019/01/23/23/28/26/{name}"
        work = {"id": number, "visible": True, "x_restrict": 0, "page_count": page + 1}
        self.works[number] = work | {"user": {"id": 7}, "type": "illust"} | changes
        self.pictures[path] = jpeg(number, size)
        box = {"left": 5, "top": 6, "width": 10, "height": 12}
        return {
            "name": name,
            "filepath": f"oppai_dataset/images/{name}",
            "id": number,
            "size": {"width": size[0], "height": size[1]},
            "image_url": f"https://{IMAGES}{path}",
            "original_url": "",
            "bounding_boxes": [box],
            "n_bounding_boxes": 1,
        }

    def asked(self, host):
        """Paths asked of one host, in order."""
        return [path for _, where, path, _ in self.log if where == host]

    def __enter__(self):
        owner = self

        class Handler(_Handler):
            pixiv = owner

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,)).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    pixiv = None
    protocol_version = "HTTP/1.1"
    timeout = 10
    wbufsize = -1  # one packet an answer, and no waiting for the client's receipt
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = dict(urllib.parse.parse_qsl(body.decode()))
        with self.pixiv.lock:
            mishap = self._mishap("token")
        if mishap:
            return self._fail(mishap)
        if (form.get("grant_type"), form.get("refresh_token")) != (
            "refresh_token",
            TOKEN,
        ):
            # Some servers say what they were sent.
            said = f"Invalid refresh token {form.get('refresh_token')}"
            errors = {"system": {"message": said, "code": 1508}}
            return self._json(400, {"has_error": True, "errors": errors})
        with self.pixiv.lock:
            self.pixiv.tokens += 1
            self.pixiv.good_for = self.pixiv.lasts
            number = self.pixiv.tokens
        answer = {"access_token": f"access-{number}-" + "Qw" * 9}
        answer |= {"refresh_token": TOKEN, "user": {"id": "7"}, "expires_in": 3600}
        return self._json(200, answer | {"response": answer})

    def do_GET(self):  # noqa: N802
        if self.headers["Host"].partition(":")[0] == IMAGES:
            return self._picture()
        return self._work()

    def _work(self):
        pixiv = self.pixiv
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        number = int(query["illust_id"][0])
        with pixiv.lock:
            expired = pixiv.good_for == 0 and pixiv.lasts is not None
            right = f"Bearer access-{pixiv.tokens}-" + "Qw" * 9
            if expired or self.headers["Authorization"] != right:
                return self._json(400, {"error": {"message": OAUTH}})
            if pixiv.lasts is not None:
                pixiv.good_for -= 1
            mishap = self._mishap(number)
        if mishap:
            return self._fail(mishap)
        if number not in pixiv.works:
            return self._json(404, {"error": {"user_message": "no such page"}})
        return self._json(200, {"illust": pixiv.works[number]})

    def _picture(self):
        with self.pixiv.lock:
            mishap = self._mishap(self.path)
        data = self.pixiv.pictures.get(self.path)
        if "pixiv.net" not in self.headers.get("Referer", ""):
            return self._send(403, b"no referer", "text/html")
        if "Authorization" in self.headers:
            return self._send(418, b"a token came here", "text/html")
        if mishap and mishap not in ("truncated", "broken", "trickle", "stall"):
            return self._fail(mishap)
        if data is None:
            return self._send(404, b"<html>not found</html>", "text/html")
        if mishap == "broken":  # half a picture that calls itself whole
            data = data[: len(data) // 2]
        if mishap in ("trickle", "stall"):
            return self._trickle(data, mishap == "stall")
        return self._send(200, data, "image/jpeg", cut=mishap == "truncated")

    def _mishap(self, key):
        left = self.pixiv.mishaps.get(key)
        return left.pop(0) if left else None

    def _fail(self, mishap):
        if mishap == "slow":
            time.sleep(2)
            return self._send(200, b"{}", "application/json")
        if mishap == "html":
            return self._send(200, b"<html>maintenance</html>", "text/html")
        if mishap == "json":
            return self._send(200, b'{"illust": {"id": 1', "application/json")
        if mishap == "reset":
            self.close_connection = True
            return self._note(0)
        if mishap == "redirect":
            return self._send(302, b"", "text/html", {"Location": self.pixiv.elsewhere})
        if mishap == "rate":
            return self._json(403, {"error": {"message": "Rate Limit"}})
        if mishap == "closed":
            return self._json(403, {"error": {"user_message": "not for you"}})
        status, more = mishap if isinstance(mishap, tuple) else (mishap, {})
        return self._send(status, b"{}", "application/json", more)

    def _trickle(self, data, stall):
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self._note(200)
        with contextlib.suppress(OSError):
            if stall:
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.pixiv.stalled.set()
                self.rfile.read(1)  # comes back when the client hangs up
                self.close_connection = True
                return
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)

    def _json(self, status, value):
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status, body, kind, more=None, cut=False):
        self._note(status)
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in (headers | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def _note(self, status):
        host = self.headers["Host"].partition(":")[0]
        entry = (self.command, host, self.path, status)
        with contextlib.suppress(OSError):
            self.pixiv.log.append(entry)
            if self.pixiv.log_file:
                now = f"{time.strftime('%H:%M:%S')}.{time.time_ns() // 10**6 % 1000:03}"
                print(now, status, *entry[:3], file=self.pixiv.log_file, flush=True)


def jpeg(seed, size):
    """A small picture, of its own colour for each seed."""
    colour = tuple((seed * k) % 256 for k in (37, 91, 53))
    file = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").point(lambda v: v).save(file, "JPEG")
    image = Image.open(file)
    image.paste(colour, (0, 0, size[0] // 2, size[1] // 2))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()
