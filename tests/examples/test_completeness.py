"""No example is left out."""

from tests.examples.cases import CASES, NOT_RUN
from tests.examples.check import DEMOS, EXAMPLES, IN_DOCSTRINGS, place_of
from tests.examples.collect import count_marks


def test_every_example_has_a_case():
    assert len(IN_DOCSTRINGS) == count_marks() > 200
    assert len({example.id for example in EXAMPLES}) == len(EXAMPLES)
    keys = {example.key for example in EXAMPLES}
    assert set(CASES) | set(NOT_RUN) <= keys, set(CASES) | set(NOT_RUN) - keys
    assert all(len(reason.split()) > 3 for reason in NOT_RUN.values())
    assert set(DEMOS) <= keys
    places = {"illustkit", "oppai", "facescore", "diffusion", "documents"}
    assert {place_of(example) for example in EXAMPLES} == places
