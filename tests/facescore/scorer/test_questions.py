import math

import numpy as np
import pytest
from scipy import stats

from facescore.scorer.questions import Questions, choose_candidates


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 6)) * (1, 2, 3, 4, 5, 0) + 7


def unit_rows(features):
    spread = features.std(axis=0)
    rows = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def variance(rows, scored, i):
    """Of a prediction of row `i`, in the space of the features (noise 0.1)."""
    known = rows[scored]
    inverse = np.linalg.inv(known.T @ known / 0.1 + np.eye(rows.shape[1]))
    return rows[i] @ inverse @ rows[i]


def test_the_most_uncertain_picture_is_asked_for_then_what_that_leaves(features):
    rows, scored = unit_rows(features), [3, 8, 21]
    expected = []
    for _ in range(5):
        known = [*scored, *expected]
        variances = [
            -1 if i in known else variance(rows, known, i) for i in range(len(rows))
        ]
        expected.append(int(np.argmax(variances)))
    assert Questions(features).ask(scored, count=5) == expected


def test_without_a_score_what_is_asked_for_is_spread_over_the_groups():
    rng = np.random.default_rng(1)
    centres = np.repeat(rng.normal(size=(4, 30)) * 5, 10, axis=0)
    chosen = Questions(centres + rng.normal(size=(40, 30)) * 0.1).ask([], count=4)
    assert sorted(i // 10 for i in chosen) == [0, 1, 2, 3]


def test_agreement_is_that_of_leaving_each_score_out(features):
    rows = unit_rows(features)
    rng = np.random.default_rng(2)
    liking = rows @ rng.normal(size=6) + rng.normal(0, 0.2, 40)
    scores = {int(i): int(s) for i, s in enumerate(1 + stats.rankdata(liking) // 9)}
    scored = {i: scores[i] for i in (1, 5, 7, 9, 11, 14, 18, 22, 27, 30, 33, 39)}
    numbers, values = list(scored), np.array(list(scored.values()), float)
    trials = []
    for strength in 10.0 ** np.arange(-4, 4):
        predicted = []
        for i in range(len(values)):
            others = np.delete(np.arange(len(values)), i)
            known = rows[numbers][others]
            kernel = known @ known.T + strength * np.eye(len(others))
            centred = values[others] - values.mean()
            solved = np.linalg.solve(kernel, centred)
            predicted.append(rows[numbers[i]] @ known.T @ solved + values.mean())
        error = np.mean((values - predicted) ** 2)
        trials.append((error, stats.spearmanr(values, predicted).statistic))
    questions = Questions(features, "random")
    assert questions.agreement(scored) == pytest.approx(min(trials)[1], abs=1e-9)
    assert math.isnan(questions.agreement(dict.fromkeys(range(12), 4)))


def test_it_says_when_twenty_more_scores_changed_little(features):
    questions = Questions(features, "random")
    for n in range(10, 40):
        scores = {i: 1 + i % 5 for i in range(n)}
        questions.agreement = lambda scores: 0.5 + 0.2 / len(scores)
        questions.learn(scores)
        # 0.2/n falls by less than 0.02 over 20 from the first point on.
        assert questions.settled == (n >= 30)
    questions.learn({i: 3 for i in range(12)})  # the others were taken back
    assert not questions.settled
    assert max(questions.curve) == 12
    order = Questions(features, "random").ask([], count=40)
    assert sorted(order) == list(range(40)) and order != sorted(order)
    with pytest.raises(ValueError, match="`ask` must be one of informative, random"):
        Questions(features, "clever")


def test_candidates_are_the_rated_pictures_and_some_others():
    chosen = choose_candidates(1000, 20, {3, 500})
    assert len(chosen) == 22 and {3, 500} < set(chosen) and chosen == sorted(chosen)
    assert chosen == choose_candidates(1000, 20, {3, 500})
    assert choose_candidates(4, 20, ()) == [0, 1, 2, 3]
