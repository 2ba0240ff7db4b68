import getpass
import json
import logging
import os
import subprocess
import sys
import traceback
import warnings

import pixivpy3
import pytest

from oppai.pixiv import client
from oppai.pixiv.client import LoginError
from oppai.pixiv.download import download_all
from tests.conftest import ROOT

from .loopback_client import lead_to
from .loopback_server import AUTH, TOKEN, PixivServer


@pytest.fixture
def server(monkeypatch):
    with PixivServer() as server:
        monkeypatch.setattr(pixivpy3, "AppPixivAPI", lead_to(server.port))
        monkeypatch.delenv(client.VARIABLE, raising=False)
        yield server


def test_the_token_comes_from_the_variable(server, monkeypatch):
    monkeypatch.setenv(client.VARIABLE, f" {TOKEN}\n")
    assert repr(client.login()) == "<Session at Pixiv, tokens hidden>"
    assert server.tokens == 1


def test_or_from_a_hidden_prompt(server, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: TOKEN)
    client.login()
    assert server.tokens == 1


def test_where_typing_cannot_be_hidden_it_is_not_asked_for(server, monkeypatch):
    def loud(prompt):
        warnings.warn("Can not control echo.", getpass.GetPassWarning, stacklevel=2)
        return TOKEN

    monkeypatch.setattr(getpass, "getpass", loud)
    with pytest.raises(LoginError, match="no refresh token.*PIXIV_REFRESH_TOKEN"):
        client.login()
    assert server.log == []


@pytest.mark.parametrize("text", ["a b", "é", "a\x07b", "one\ntwo"])
def test_what_is_no_token_is_not_sent_and_not_shown(server, monkeypatch, text):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: text)
    with pytest.raises(LoginError, match="one word") as caught:
        client.login()
    shown = traceback.TracebackException(
        caught.type, caught.value, caught.tb.tb_next, capture_locals=True
    )
    lines = [line for line in shown.format() if "text = " not in line]
    assert repr(text) not in "".join(lines) and server.log == []


def test_the_prompt_at_a_terminal_echoes_nothing(tmp_path):
    """At a true terminal; the process ends before it would ask Pixiv anything."""
    code = (
        "import oppai.pixiv.client as p; t = p._read_token(); "
        "print('got', len(t), flush=True)"
    )
    pty = pytest.importorskip("pty")
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != client.VARIABLE}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    seen = b""
    while b"hidden): " not in seen:
        seen += os.read(ours, 1000)
    os.write(ours, TOKEN.encode() + b"\n")
    while not seen.endswith(b"got %d\r\n" % len(TOKEN)):
        seen += os.read(ours, 1000)
    assert process.wait(10) == 0 and TOKEN.encode() not in seen
    os.close(ours)


def test_a_password_is_explained_and_kept_nowhere(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LoginError, match="works no more.*refresh token") as caught:
        client.set_login_attribute("me", "secret-password")
    shown = traceback.TracebackException(
        caught.type, caught.value, caught.tb.tb_next, capture_locals=True
    )
    assert "secret-password" not in "".join(shown.format())
    assert list(tmp_path.iterdir()) == [] and server.log == []


def test_ctrl_c_during_a_request_shows_none_of_its_variables(server, monkeypatch):
    monkeypatch.setenv(client.VARIABLE, TOKEN)
    session = client.login()

    def interrupted(data, key=TOKEN):
        raise KeyboardInterrupt

    monkeypatch.setattr(session._api, "parse_json", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        session.renew()
    shown = traceback.TracebackException(
        caught.type, caught.value, caught.tb.tb_next, capture_locals=True
    )
    text = "".join(shown.format())
    assert "function = <bound method" in text and TOKEN not in text
    assert caught.value.__context__ is None


def test_an_odd_answer_to_the_login_is_told(server, monkeypatch):
    monkeypatch.setenv(client.VARIABLE, TOKEN)
    for mishap, message in [("html", "HTTP 200"), ((403, {}), "HTTP 403")]:
        server.mishaps["token"] = [mishap]
        with pytest.raises(LoginError, match=f"refused the login .{message}"):
            client.login()
    assert len(server.asked(AUTH)) == 2


def test_without_pixivpy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pixivpy3", None)
    with pytest.raises(LoginError, match="pip install pixivpy3"):
        client.login()


def test_no_text_and_no_file_holds_a_token(
    server, tmp_path, caplog, capfd, monkeypatch
):
    monkeypatch.setenv(client.VARIABLE, TOKEN)
    caplog.set_level(logging.DEBUG)
    session = client.login()
    entry = server.add(1)
    (tmp_path / "meta.json").write_text(json.dumps([entry]))
    report = download_all(session, tmp_path / "meta.json", tmp_path)
    access = "access-1-"
    texts = [repr(session), str(session), str(report), caplog.text, *capfd.readouterr()]
    texts += [p.read_text("latin-1") for p in tmp_path.rglob("*") if p.is_file()]
    assert "/auth/token" in caplog.text  # there was something to see
    assert not any(TOKEN in text or access in text for text in texts)
    with pytest.raises(TypeError, match="cannot be saved"):
        session.__reduce__()


def test_an_error_shows_no_token_even_with_its_variables(server, monkeypatch):
    wrong = "wrong-" + "Yx8" * 9
    monkeypatch.setenv(client.VARIABLE, wrong)
    with pytest.raises(LoginError, match="refused the login .HTTP 400") as caught:
        client.login()
    assert "[token]" in str(caught.value)  # the server said it
    frames = caught.tb.tb_next  # without this test's own
    shown = traceback.TracebackException(
        caught.type, caught.value, frames, capture_locals=True
    )
    shown = "".join(shown.format())
    assert "session = <Session at Pixiv" in shown and wrong not in shown
    assert caught.value.__context__ is None
