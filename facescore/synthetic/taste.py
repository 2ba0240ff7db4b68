"""Rate drawn characters by an invented person's taste, to try the scorer.

The person likes some colours of hair and eyes and some expressions, with some noise:
the best possible scorer reaches a Spearman correlation of `CEILING` with the scores.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from illustkit.samples import Character, draw_character

CEILING = 0.90

HAIR = {
    **{"silver": 1.0, "lavender": 0.9, "white": 0.8, "pink": 0.6, "mint": 0.5},
    **{"blonde": 0.3, "navy": 0.2, "blue": 0.1, "purple": 0.0, "black": -0.1},
    **{"teal": -0.3, "honey": -0.4, "chestnut": -0.6, "green": -0.7, "brown": -0.7},
    **{"red": -0.8, "orange": -1.0},
}
EYES = {
    **{"violet": 1.0, "red": 0.7, "rose": 0.6, "amber": 0.2, "blue": 0.0},
    **{"sky": -0.1, "grey": -0.4, "teal": -0.6, "green": -0.8, "brown": -0.9},
}
EXPRESSIONS = {
    **{"shy": 1.0, "smile": 0.7, "wink": 0.6, "joy": 0.3, "laugh": 0.1, "calm": 0.0},
    **{"dreamy": -0.1, "eager": -0.4, "pout": -0.6, "surprise": -0.7, "smug": -0.9},
    **{"sad": -1.0},
}
_EYES_SHUT = "laugh", "dreamy"
_WEIGHTS = 1.0, 0.6, 0.9
# Fitted to the characters of `draw_character`: the noise for the ceiling, then the
# cuts for scores that are equally frequent.
_NOISE = 0.375
_CUTS = -0.848, -0.272, 0.249, 0.834


def liking(attributes: Mapping[str, Any]) -> float:
    """Return how much the person likes a character, before any noise.

    Args:
        attributes: Those of an `illustkit.samples.Character`. The colour of the eyes
            counts if the expression leaves them open.

    Returns:
        A float about 0; more is better.
    """
    expression = attributes["expression"]
    eyes = 0.0 if expression in _EYES_SHUT else EYES[attributes["eye_colour"]]
    parts = HAIR[attributes["hair_colour"]], eyes, EXPRESSIONS[expression]
    return float(np.dot(_WEIGHTS, parts))


def rate(attributes: Mapping[str, Any], seed: int) -> int:
    """Return the person's score of a character.

    Example:
    ```python
    character = draw_character(7)
    rate(character.attributes, seed=7)   # 1, 2, 3, 4 or 5
    ```

    Args:
        attributes: Those of an `illustkit.samples.Character`.
        seed: Non-negative int of the noise.

    Returns:
        An int, 1 to 5; each is equally frequent among drawn characters.
    """
    mood = np.random.default_rng((seed, 5077)).normal(0, _NOISE)
    return 1 + int(np.searchsorted(_CUTS, liking(attributes) + mood))


def rated_characters(
    per_score: int, *, first_seed: int = 0, size: tuple[int, int] = (600, 848)
) -> Iterator[tuple[int, Character, int]]:
    """Draw characters until each score has `per_score` of them.

    Example:
    ```python
    for seed, character, score in rated_characters(100, first_seed=1_000_000):
        ...
    ```

    Args:
        per_score: Number of characters of each score, 1 to 5.
        first_seed: Seed of the first character; the next has the next. Sets with seeds
            far apart have no character in common. Defaults to 0.
        size: (width, height) of the pictures in pixels. Defaults to (600, 848).

    Yields:
        `(seed, character, score)`.
    """
    missing = dict.fromkeys(range(1, 6), per_score)
    seed, drawing = first_seed, deque[Future[Character]]()
    with ThreadPoolExecutor(2) as pool:
        while any(missing.values()):
            while len(drawing) < 3:  # ahead, in their order
                ahead = seed + len(drawing)
                drawing.append(pool.submit(draw_character, ahead, size))
            character = drawing.popleft().result()
            score = rate(character.attributes, seed)
            if missing[score]:
                missing[score] -= 1
                yield seed, character, score
            seed += 1
        for job in drawing:
            job.cancel()
