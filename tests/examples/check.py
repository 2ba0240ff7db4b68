"""Run an example of a docstring, of the README or of a document."""

import contextlib
import socket

import pytest

from illustkit.web.server import LocalServer
from oppai.inference.restore import load_once
from tests.examples.case import Case
from tests.examples.cases import (
    CASES,
    NOT_RUN,
    VALUES,
    WITH_OWN_DETECTOR,
    WITH_OWN_RESTORER,
)
from tests.examples.collect import docstring_examples, document_examples
from tests.examples.facescore_cases import slim_detector
from tests.examples.oppai_cases import tiny_default
from tests.examples.run import names_for, run_example
from tests.examples.stage import set_up

IN_DOCSTRINGS = docstring_examples()
EXAMPLES = [*IN_DOCSTRINGS, *document_examples()]
NOTHING = Case()
LOOK_UP = socket.getaddrinfo


def no_network(host, *more, **options):
    if host in ("127.0.0.1", "localhost"):
        return LOOK_UP(host, *more, **options)
    raise AssertionError(f"an example asks the network for {host}")


def no_user(server):
    raise AssertionError("an example waits for a user: `prepare=answering_page`")


# The demos have tests of their own, and take longest: `--run-large` runs them here too.
DEMOS = ("oppai:demo", "facescore:demo", "diffusion:demo")


def examples_of(*places):
    """Return the examples of packages, or of "documents", as parameters of a test."""
    return [
        pytest.param(
            example,
            id=example.id,
            marks=[pytest.mark.large] if example.key in DEMOS else [],
        )
        for example in EXAMPLES
        if example.key not in NOT_RUN and place_of(example) in places
    ]


def place_of(example):
    """Return the package of an example, or "documents"."""
    place = example.key.split(":")[0]
    return place if example in IN_DOCSTRINGS else "documents"


def check_example(example, made, tmp_path, monkeypatch):
    """Run an example in a folder of its own, and compare what its comments say."""
    case = CASES.get(example.key, NOTHING)
    if case.needs:
        pytest.importorskip(case.needs)
    source = example.source
    for before, after in case.smaller:
        assert before in source, f"{before!r} is not in the example any more"
        source = source.replace(before, after)
    if not example.is_doctest:
        set_up(source, made, tmp_path, case.files, case.without)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(LocalServer, "wait", no_user)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user_cache"))
    values = VALUES.get(example.key.split(":")[0], {}) | dict(case.values)
    if example.key not in WITH_OWN_RESTORER:
        tiny_default(monkeypatch)
    if example.key not in WITH_OWN_DETECTOR:
        slim_detector(monkeypatch)
    with contextlib.ExitStack() as stack:
        # The one that `restore` keeps is another in every other test.
        load_once.cache_clear()
        stack.callback(load_once.cache_clear)
        if case.prepare:
            case.prepare(monkeypatch, stack)
        run_example(example, names_for(example, values), source)
    import matplotlib.pyplot as plt

    plt.close("all")
