import math

import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.options import check_choice, check_number, check_options, check_range


@pytest.mark.parametrize(
    "name, good, bad",
    [
        ("learning_rate", [1e-5, 3, np.float32(0.1)], [-1, 0, math.nan, math.inf, "a"]),
        ("seed", [0, 2**32 - 1, np.int64(3)], [-1, 2**32, 0.5]),
        ("steps", [1, 10**9], [0, -4, 2.5]),
        ("epochs", [1], [0, -1]),
        ("batch_size", [1], [0, -8, "8"]),
        ("image_size", [1, (96, 64)], [0, -64, (96, 0)]),
        ("sheet_every", [0, 5], [-1]),
        ("sample_every", [0], [-1]),
        ("limit", [0, 7], [-1]),
        ("holdout", [0.01, 0.99], [0, 1, -0.1, 2]),
        ("flip", [0, 0.5, 1], [-0.1, 1.1]),
        ("precision", ["auto", "float32", "mixed_bfloat16"], ["float", ""]),
    ],
)
def test_values_that_cannot_work_are_refused_by_the_option_s_name(name, good, bad):
    for value in [*good, None]:
        check_options(**{name: value})
    for value in bad:
        with pytest.raises(UserError, match=f"^`{name}` must be .*Received: "):
            check_options(**{name: value})


def test_other_names_pass():
    check_options(network={"filters": -1}, seed=1)


def test_a_range_is_in_order():
    check_range("blocks", (6, 12), whole=True, least=1)
    check_range("blocks", [6, 6], whole=True, least=1)
    with pytest.raises(UserError, match="`blocks`.*12, 6: exchange them"):
        check_range("blocks", (12, 6), whole=True, least=1)
    for pair in (6, (6,), (1, 2, 3), "12", (0, 3), (1.5, 3)):
        with pytest.raises(UserError, match="`blocks`"):
            check_range("blocks", pair, whole=True, least=1)


def test_an_error_says_what_is_allowed():
    with pytest.raises(UserError, match="at least 1 and at most 3. Received: 4"):
        check_number("n", 4, least=1, most=3)
    with pytest.raises(UserError, match="must be a number. Received: nan"):
        check_number("n", math.nan)
    with pytest.raises(UserError, match="one of hard, soft. Received: 'x'"):
        check_choice("rim", "x", ("hard", "soft"))
