import hashlib
import http.server
import threading

import pytest
from typer.testing import CliRunner

from oppai.cli.main import app
from oppai.data import metadata

DATA = b'[{"name": "not the true one"}]' * 3


@pytest.fixture
def served(monkeypatch, tmp_path):
    """What a server gives, and how often it was asked."""
    served = {"data": DATA, "status": 200, "asked": 0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            served["asked"] += 1
            self.send_response(served["status"])
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(served["data"])

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/oppai_meta.json"
    monkeypatch.setattr(metadata, "URL", url)
    monkeypatch.setattr(metadata, "SHA256", hashlib.sha256(DATA).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    yield served
    server.shutdown()
    server.server_close()


def test_it_is_fetched_once_and_its_licence_printed(served, tmp_path):
    target = tmp_path / "oppai_dataset" / "oppai_meta.json"
    for _ in range(2):
        done = CliRunner().invoke(app, ["fetch-metadata", str(target)])
        assert done.exit_code == 0, done.output
        assert "AGPL-3.0" in done.output and str(target) in done.output
    other = tmp_path / "elsewhere.json"
    metadata.fetch_metadata(other)
    assert target.read_bytes() == other.read_bytes() == DATA
    assert served["asked"] == 1
    (tmp_path / "cache" / "illustkit" / "oppai_meta.json").write_text("spoilt")
    metadata.fetch_metadata(tmp_path / "third.json")
    assert served["asked"] == 2


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data": DATA[:-1] + b"x"}, "another file than the one known"),
        ({"data": DATA[:-9]}, "could not be fetched|another file"),
        ({"status": 404}, "could not be fetched .*404"),
    ],
)
def test_nothing_else_is_kept(served, tmp_path, changes, message):
    served.update(changes)
    target = tmp_path / "meta.json"
    with pytest.raises(ValueError, match=message):
        metadata.fetch_metadata(target)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_another_file_is_not_replaced(served, tmp_path):
    target = tmp_path / "meta.json"
    target.write_text("mine")
    with pytest.raises(ValueError, match="another file is here"):
        metadata.fetch_metadata(target)
    assert target.read_text() == "mine" and served["asked"] == 0
    metadata.fetch_metadata(target, overwrite=True)
    assert target.read_bytes() == DATA


def test_the_pin_is_of_the_chapters_file(real_data):
    data = (real_data / "oppai_meta.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == metadata.SHA256
    assert metadata.URL.startswith("https://") and len(data) < metadata._MAX_BYTES
