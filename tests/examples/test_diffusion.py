"""Every example in diffusion's docstrings runs."""

import pytest

from tests.examples.check import check_example, examples_of


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("example", examples_of("diffusion"))
def test_an_example_runs_and_gives_what_it_says(example, made, tmp_path, monkeypatch):
    check_example(example, made, tmp_path, monkeypatch)
