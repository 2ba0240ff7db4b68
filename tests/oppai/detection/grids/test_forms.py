import itertools

import numpy as np

from oppai.detection.grids.forms import best_rectangle


def test_the_best_rectangle_is_that_of_all_rectangles():
    rng = np.random.default_rng(0)
    for _ in range(5):
        score = rng.normal(-0.2, 1, (5, 7))
        boxes = [
            (a, b, c, d)
            for a, c in itertools.combinations(range(8), 2)
            for b, d in itertools.combinations(range(6), 2)
        ]
        sums = [score[b:d, a:c].sum() for a, b, c, d in boxes]
        assert best_rectangle(score) == boxes[int(np.argmax(sums))]
