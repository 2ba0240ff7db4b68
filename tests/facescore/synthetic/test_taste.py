import numpy as np
import pytest

from facescore.scorer.agreement import spearman
from facescore.synthetic import taste
from illustkit.samples import draw_character
from illustkit.samples.colours import EYES, HAIR
from illustkit.samples.heads.faces import EXPRESSIONS
from illustkit.samples.heads.whole import choose_head


def attributes(seed):
    """What `draw_character` says of its head, without the drawing."""
    head = choose_head(np.random.default_rng(seed))
    return {
        "hair_colour": head.hair_name,
        "eye_colour": head.eye_name,
        "expression": head.face.expression,
    }


def test_the_taste_knows_all_that_is_drawn():
    assert set(taste.HAIR) == set(HAIR) and set(taste.EYES) == set(EYES)
    assert set(taste.EXPRESSIONS) == set(EXPRESSIONS)
    drawn = draw_character(3, (32, 48)).attributes
    assert {k: drawn[k] for k in attributes(3)} == attributes(3)


def test_scores_are_balanced_and_the_noise_leaves_the_ceiling():
    seeds = range(2000)
    known = [attributes(seed) for seed in seeds]
    likings = [taste.liking(a) for a in known]
    scores = [taste.rate(a, seed) for a, seed in zip(known, seeds, strict=True)]
    # 0.2 ± 3 standard errors of 2,000 draws
    np.testing.assert_allclose(np.bincount(scores)[1:] / 2000, 0.2, atol=0.027)
    assert spearman(likings, scores) == pytest.approx(0.90, abs=0.012)
    assert taste.CEILING == 0.90
    again = [taste.rate(a, seed) for a, seed in zip(known, seeds, strict=True)]
    assert again == scores


def test_shut_eyes_show_no_colour():
    one = {"hair_colour": "pink", "expression": "laugh", "eye_colour": "violet"}
    assert taste.liking(one) == taste.liking({**one, "eye_colour": "brown"})
    assert taste.liking({**one, "expression": "joy"}) > taste.liking(
        {**one, "expression": "joy", "eye_colour": "brown"}
    )


def test_characters_come_until_each_score_is_full():
    found = list(taste.rated_characters(2, first_seed=50, size=(24, 32)))
    assert sorted(score for *_, score in found) == sorted([1, 2, 3, 4, 5] * 2)
    seeds = [seed for seed, *_ in found]
    assert seeds == sorted(set(seeds)) and seeds[0] == 50
    seed, character, score = found[3]
    np.testing.assert_array_equal(character.image, draw_character(seed, (24, 32)).image)
    assert score == taste.rate(character.attributes, seed)
