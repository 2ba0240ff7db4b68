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


def test_the_bar_is_shown_once_it_takes_long(monkeypatch):
    for delay, shown in ((0, True), (60, False)):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.inner_bar("a.png", delay=delay):
            work()
        assert ("a.png: counting" in stream.getvalue()) == shown
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.inner_bar("a.png", delay=0, show=False):
        work()
    assert stream.getvalue() == ""
