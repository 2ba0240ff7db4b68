"""Progress inside a step reaches whoever listens, and only then."""

import io
import sys

from illustkit import progress


def work(n=3):
    progress.begin("counting", n)
    for _ in range(n):
        progress.advance()


def test_a_listener_hears_each_step():
    heard = []
    with progress.listening(lambda *told: heard.append(told)):
        work()
        with progress.listening(lambda *told: None):
            work(1)
        progress.begin("more", 2)
        progress.advance(2)
    work()
    counted = [("counting", done, 3) for done in range(4)]
    assert heard == [*counted, ("more", 0, 2), ("more", 2, 2)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, **options):
    """Return what a bar writes to `stream` in the place of stderr."""
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.inner_bar("a.png", **options):
        work()
        work()
    return stream.getvalue()


def test_the_bar_is_shown_once_it_takes_long(monkeypatch):
    text = shown(monkeypatch, Terminal(), delay=0)
    assert "a.png: counting" in text and "3/3" in text
    assert shown(monkeypatch, Terminal(), delay=60) == ""
    assert shown(monkeypatch, Terminal(), delay=0, show=False) == ""


def test_without_a_terminal_a_line_names_the_stage_once(monkeypatch):
    assert shown(monkeypatch, io.StringIO(), delay=0) == "a.png: counting\n"
    assert shown(monkeypatch, io.StringIO(), delay=60) == ""
