"""Every example in a docstring, in the README and in the documents runs."""

import contextlib
import socket

import keras
import pytest

from tests.examples.cases import (
    CASES,
    NOT_RUN,
    VALUES,
    WITH_OWN_RESTORER,
    Case,
    tiny_default,
)
from tests.examples.collect import count_marks, docstring_examples, document_examples
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


def parameters():
    for example in EXAMPLES:
        if example.key not in NOT_RUN:
            yield pytest.param(example, id=example.id)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of the files that examples name, made once."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module", autouse=True)
def short_trainings():
    """A training is one step of one epoch, and TensorFlow traces nothing."""
    before = keras.config.max_epochs(), keras.config.max_steps_per_epoch()
    keras.config.set_max_epochs(1)
    keras.config.set_max_steps_per_epoch(1)
    yield
    keras.config.set_max_epochs(before[0])
    keras.config.set_max_steps_per_epoch(before[1])


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("example", list(parameters()))
def test_an_example_runs_and_gives_what_it_says(
    example, made, tmp_path, tmp_path_factory, monkeypatch
):
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
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user_cache"))
    values = VALUES.get(example.key.split(":")[0], {}) | dict(case.values)
    if example.key not in WITH_OWN_RESTORER:
        tiny_default(monkeypatch)
    with contextlib.ExitStack() as stack:
        if case.prepare:
            case.prepare(monkeypatch, stack)
        run_example(example, names_for(example, values), source)
    import matplotlib.pyplot as plt

    plt.close("all")


def test_every_example_has_a_case():
    assert len(IN_DOCSTRINGS) == count_marks() > 200
    assert len({example.id for example in EXAMPLES}) == len(EXAMPLES)
    keys = {example.key for example in EXAMPLES}
    assert set(CASES) | set(NOT_RUN) <= keys, set(CASES) | set(NOT_RUN) - keys
    assert all(len(reason.split()) > 3 for reason in NOT_RUN.values())
