import http.client
import io
import json
import os
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.web.pictures import ServedPictures
from illustkit.web.requests import FileAnswer
from illustkit.web.server import App, LocalServer, serve, without_proxies


class Counter(App):
    """Adds what it is told to; one picture of 300 x 200, and a broken one."""

    name, page = "counter", "count.html"

    def __init__(self, folder):
        super().__init__()
        self.pages = folder / "pages"
        self.pages.mkdir()
        (self.pages / "count.html").write_text("<p data-token={{token}}>")
        (self.pages / "common.css").write_text("p {}")
        (self.pages / "count.js").write_text("'use strict';")
        (self.pages / "secret.txt").write_text("not for a browser")
        picture = np.zeros((200, 300, 3), np.uint8)
        picture[:, :150] = 240, 40, 40
        (folder / "broken.png").write_text("no picture")
        paths = [write_image(folder / "a.png", picture), folder / "broken.png"]
        self.pictures = ServedPictures(paths)
        self.total, self.pause = 0, 0.01
        self.gets = {"total": lambda: {"total": self.total}, "twice": lambda n: 2 * n}
        self.posts = {"add": self.add}
        self.most_bytes = 1000
        self.uploads = {"size": lambda data, texts: {"n": len(data), **texts}}
        self.uploads["echo"] = lambda data, _: FileAnswer(
            data, "image/png", {"X-A": "1"}
        )
        self.files = {"key": lambda key: FileAnswer(key.encode(), "text/plain")}

    def add(self, body):
        if body.get("n") == 13:
            raise UserError("thirteen is refused")
        before = self.total
        time.sleep(self.pause)  # two at a time would lose one
        self.total = before + body["n"]
        return {"total": self.total}


class Client:
    """A browser's requests, header by header."""

    def __init__(self, server):
        self.port, self.token = server.port, server.token
        self.headers = {"Cookie": f"other=1; counter_{self.port}={self.token}"}

    def ask(self, method, path, body=None, **headers):
        headers = {
            **self.headers,
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        data = json.dumps(body) if isinstance(body, dict) else body
        connection.request(method, path, data, self.headers | headers)
        answer = connection.getresponse()
        self.answer, data = answer, answer.read()
        connection.close()
        return answer.status, data

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def post(self, path, body, **headers):
        headers = {"X_Token": self.token, **headers}
        return self.ask("POST", path, body, **headers)


@pytest.fixture
def app(tmp_path):
    return Counter(tmp_path)


@pytest.fixture
def client(app):
    with LocalServer(app) as server:
        yield Client(server)


def test_the_printed_address_opens_the_page(client):
    status, _ = client.get(f"/?token={client.token}", Cookie="")
    cookie = client.answer.headers["Set-Cookie"]
    assert status == 303 and client.answer.headers["Location"] == "/"
    assert "HttpOnly" in cookie and "SameSite" in cookie
    status, page = client.get("/", Cookie=cookie.split(";")[0])
    assert status == 200 and client.token.encode() in page
    policy = client.answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert client.answer.headers["X-Content-Type-Options"] == "nosniff"
    for name, kind in [("common.css", "text/css"), ("count.js", "text/javascript")]:
        status, data = client.get(f"/static/{name}")
        assert status == 200 and data
        assert client.answer.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize(
    "path", ["/", "/static/count.js", "/picture/0/160", "/api/total"]
)
@pytest.mark.parametrize("cookie", ["", "counter_1=x", "counter_{port}=wrong"])
def test_nothing_is_shown_without_the_token(client, path, cookie):
    status, data = client.get(path, Cookie=cookie.format(port=client.port))
    assert status == 403 and b"Open the address" in data
    assert client.token.encode() not in data
    assert client.get("/?token=wrong", Cookie="")[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1"])
def test_another_name_for_this_machine_is_refused(client, host):
    assert client.get("/api/total", Host=host.format(port=client.port))[0] == 421
    assert client.get("/api/total", Host=f"localhost:{client.port}")[0] == 200


def test_only_the_page_itself_may_change_anything(client, app):
    body = {"n": 1}
    assert client.post("/api/add", body, Origin="http://evil.example")[0] == 403
    assert client.post("/api/add", body, Origin="null")[0] == 403
    assert client.post("/api/add", body, X_Token="")[0] == 403
    assert client.post("/api/add", body, Cookie="")[0] == 403
    assert client.get("/api/add")[0] == 404 and client.post("/api/total", {})[0] == 404
    assert app.total == 0
    own = f"http://127.0.0.1:{client.port}"
    assert client.post("/api/add", body, Origin=own) == (200, b'{"total": 1}')
    assert client.post("/api/add", body)[0] == 200 and app.total == 2


def test_bodies_are_limited_and_checked(client, app):
    assert client.post("/api/add", "", Content_Length="1000001")[0] == 413
    assert client.post("/api/add", "{", Content_Length="-1")[0] == 411
    assert client.post("/api/add", "", Content_Length="9" * 5000)[0] == 413
    for body in ["{", "[1]", "\xff", "[" * 100_000]:
        assert client.post("/api/add", body.encode("latin-1"))[0] == 400
    status, data = client.post("/api/add", {"n": 13})
    assert status == 422 and json.loads(data) == {"error": "thirteen is refused"}
    assert client.get("/api/twice?n=21") == (200, b"42")
    for query in ["", "?n=1&m=2", "?n=-1", "?n=1e3", "?n=../../etc"]:
        assert client.get(f"/api/twice{query}")[0] in (400, 404)
    assert app.total == 0


def test_a_fault_of_the_app_is_one_line_and_the_server_lives(client, capsys):
    status, data = client.post("/api/add", {})
    assert status == 500 and b"KeyError" in data and b"Traceback" not in data
    assert "KeyError" in capsys.readouterr().err
    assert client.get("/api/total")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/static/count.html",
        "/static/secret.txt",
        "/picture/../a.png/160",
        "/picture/a.png/160",
        "/picture/-1/160",
        "/picture/0/160/../../x",
        "/api/__init__",
        "//evil.example/",
        "/[",
    ],
)
def test_a_path_of_the_client_never_becomes_a_path_here(client, path):
    assert client.get(path)[0] in (404, 422)


def test_bytes_are_taken_and_given_with_the_token_alone(client):
    status, data = client.post("/upload/size?a=%E3%81%82&b=2", b"\0" * 1000)
    assert (status, json.loads(data)) == (200, {"n": 1000, "a": "あ", "b": "2"})
    assert client.post("/upload/echo", b"\x89PNG") == (200, b"\x89PNG")
    headers = client.answer.headers
    assert (headers["Content-Type"], headers["X-A"]) == ("image/png", "1")
    assert client.get("/file/key/0af") == (200, b"0af")
    for path in ("/file/key/", "/file/key/..", "/file/key/0g", "/file/none/0"):
        assert client.get(path)[0] == 404
    assert client.post("/upload/size", b"\0" * 1001)[0] == 413
    assert client.post("/upload/none", b"")[0] == 404
    for wrong in ({"Origin": "http://evil.example"}, {"X_Token": "x"}, {"Cookie": ""}):
        assert client.post("/upload/size", b"1", **wrong)[0] == 403
    assert client.get("/file/key/0", Cookie="")[0] == 403


def test_an_open_address_takes_numbers_as_hosts_and_warns(app, capsys, monkeypatch):
    with LocalServer(app, host="0.0.0.0") as server:
        client = Client(server)
        for host, status in [("192.168.0.7", 200), ("evil.example", 421)]:
            assert client.get("/api/total", Host=f"{host}:{server.port}")[0] == status
        assert f"//127.0.0.1:{server.port}/" in server.url
    monkeypatch.setattr(LocalServer, "wait", lambda self: None)
    serve(app, host="0.0.0.0", open_browser=False)
    assert "Other machines" in capsys.readouterr().out
    serve(app, open_browser=False)
    assert "Other machines" not in capsys.readouterr().out


def test_parts_of_all_pages_are_served(client):
    status, data = client.get("/static/view.js")
    assert status == 200 and b"class View" in data
    assert client.get("/static/common.css")[1] == b"p {}"  # the page's own goes before


def test_pictures_by_number_made_smaller(client, tmp_path):
    for side, size in [(160, (160, 107)), (1600, (300, 200))]:
        status, data = client.get(f"/picture/0/{side}")
        image = Image.open(io.BytesIO(data))
        assert status == 200 and image.format == "JPEG" and image.size == size
        left, right = image.getpixel((20, 50)), image.getpixel((size[0] - 20, 50))
        assert np.abs(np.subtract(left, (240, 40, 40))).max() < 12 and max(right) < 12
    assert client.get("/picture/0/161")[0] == 422
    assert client.get("/picture/2/160")[0] == 422
    status, data = client.get("/picture/1/160")
    assert status == 422 and b"broken.png" in data


def test_the_cache_of_pictures_is_bounded(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    paths = [write_image(tmp_path / f"{i}.png", image) for i in range(6)]
    pictures = ServedPictures(paths)
    size = len(pictures.encoded(0, 160))
    pictures = ServedPictures(paths, cache_bytes=3 * size + 1)
    for i in [0, 1, 2, 0, 3]:
        pictures.encoded(i, 160)
    for path in paths:
        path.unlink()
    for i in (0, 2, 3):
        assert len(pictures.encoded(i, 160)) == size
    with pytest.raises(ValueError, match="1.png"):
        pictures.encoded(1, 160)


def test_writes_come_one_at_a_time(client, app):
    threads = [
        threading.Thread(target=Client.post, args=(client, "/api/add", {"n": 1}))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app.total == 8


def test_it_listens_on_this_machine_only(app):
    with LocalServer(app) as server:
        assert server._http.server_address[0] == "127.0.0.1"
        with pytest.raises(ValueError, match=f"Port {server.port} cannot be used"):
            LocalServer(app, port=server.port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_ctrl_c_ends_after_the_write_under_way(app, monkeypatch, capsys):
    opened, answers = [], []
    app.pause = 0.3
    monkeypatch.setattr("webbrowser.open", opened.append)

    def wait(server):
        client = Client(server)
        thread = threading.Thread(
            target=lambda: answers.append(client.post("/api/add", {"n": 5})[0])
        )
        thread.start()
        while not server.lock.locked():
            time.sleep(0.001)
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalServer, "wait", wait)
    serve(app)
    assert app.total == 5
    assert opened == [capsys.readouterr().out.split()[1]]
    assert opened[0].startswith("http://127.0.0.1:")


def test_no_proxy_leads_to_this_machine(monkeypatch):
    for name in ("http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    before = dict(os.environ)
    with pytest.raises(KeyError), without_proxies():
        assert urllib.request.getproxies() == {}
        raise KeyError
    assert dict(os.environ) == before
