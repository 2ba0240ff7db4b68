"""Choose the pictures whose scores teach most, and say how well a taste is known."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from facescore.scorer.agreement import spearman
from facescore.scorer.ridge import leave_one_out, standardised
from illustkit.options import check_choice

ASK = "informative", "random"
NOISE = 0.1  # λ of the choice, where an unscored picture has a variance of 1
FEWEST = 10  # scores, for an agreement
# "More ratings change little": the agreement stayed within CHANGE for LAST ratings.
LAST, CHANGE = 20, 0.02


class Questions:
    """A ridge regression on pictures' features that knows where it is uncertain.

    Features are standardised and scaled to unit length, so that no strange picture
    counts more than others. With the kernel matrix `K = A Aᵀ` and the scored pictures
    `R`, picture `i` has the variance `K_ii - K_iR (K_RR + λ I)⁻¹ K_Ri`, whatever its
    scores are. The picture of the largest variance is asked for, and the next one is
    chosen as if that were scored: the greedy D-optimal design, which is uncertain and
    diverse.

    Example:
    ```python
    questions = Questions(np.random.rand(40, 8))
    first, second = questions.ask([], count=2)
    questions.learn({first: 5, second: 1})
    questions.ask([first, second])
    ```

    Args:
        features: `(n, features)`; see `facescore.scorer.transfer.features_of`.
        ask: "informative", or "random" for an order that no score changes. Defaults to
            "informative".

    Raises:
        UserError: If `ask` is neither.

    Reference:
        Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006),
        equation 2.26; Krause et al., "Near-Optimal Sensor Placements in Gaussian
        Processes" (2008), section 3.
    """

    def __init__(self, features: np.ndarray, ask: str = "informative") -> None:
        check_choice("ask", ask, ASK)
        self.ask_by = ask
        rows, *_ = standardised(np.asarray(features, np.float32))
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows / np.maximum(lengths, 1e-12)
        self.kernel = (rows @ rows.T).astype(np.float64)
        self.order = np.random.default_rng(0).permutation(len(rows)).tolist()
        self.curve: dict[int, float] = {}  # number of scores -> agreement

    def ask(self, scored: Collection[int], count: int = 1) -> list[int]:
        """Choose the pictures to ask for, the first one first.

        Args:
            scored: Numbers of the scored pictures.
            count: Most pictures to choose. Defaults to 1.

        Returns:
            List of numbers of pictures.
        """
        if self.ask_by == "random":
            return [i for i in self.order if i not in scored][:count]
        return self._informative(list(scored), count)

    def learn(self, scores: Mapping[int, int]) -> None:
        """Put the agreement of the scores on the curve.

        Args:
            scores: Dict from the numbers of the scored pictures to their scores.
        """
        # Scores that were taken back leave the curve.
        curve = {n: value for n, value in self.curve.items() if n < len(scores)}
        self.curve = {**curve, len(scores): self.agreement(scores)}

    @property
    def settled(self) -> bool:
        """Whether the agreement stayed within 0.02 for the last 20 scores."""
        now = max(self.curve, default=0)
        last = [value for n, value in self.curve.items() if n >= now - LAST]
        return len(last) > LAST and float(np.ptp(last)) < CHANGE

    def _informative(self, scored: Sequence[int], count: int) -> list[int]:
        kernel, chosen = self.kernel, list(scored)
        known = kernel[np.ix_(chosen, chosen)] + NOISE * np.eye(len(chosen))
        # Rows of a triangular root: the sum of their squares is what is explained.
        root = np.linalg.solve(np.linalg.cholesky(known), kernel[chosen])
        variance = np.diag(kernel) - np.square(root).sum(axis=0)
        variance[chosen] = -1.0
        for _ in range(min(count, len(kernel) - len(scored))):
            i = int(np.argmax(variance))
            row = kernel[i] - root[:, i] @ root
            row /= np.sqrt(variance[i] + NOISE)
            root = np.concatenate([root, row[None]])
            variance -= np.square(row)
            variance[i] = -1.0
            chosen.append(i)
        return chosen[len(scored) :]

    def agreement(self, scores: Mapping[int, int]) -> float:
        """Return how well each score is predicted by the others.

        Args:
            scores: Dict from the numbers of the scored pictures to their scores.

        Returns:
            Spearman correlation, -1 to 1; nan for fewer than 10 scores, or equal ones.
        """
        values = np.asarray(list(scores.values()), np.float64)
        if len(values) < FEWEST or np.ptp(values) == 0:
            return float("nan")
        scored = list(scores)
        kernel = self.kernel[np.ix_(scored, scored)]
        *_, errors = leave_one_out(kernel, values - values.mean())
        return spearman(values, values - errors)


def choose_candidates(count: int, most: int, rated: Collection[int]) -> list[int]:
    """Return the numbers of the pictures to choose from: the rated ones, and others.

    Args:
        count: Number of pictures.
        most: Most of them that are not rated.
        rated: Numbers of the rated ones.

    Returns:
        Sorted list; the others are drawn at random, the same at every start.
    """
    known = set(rated)
    order = np.random.default_rng(0).permutation(count).tolist()
    return sorted([*known, *[i for i in order if i not in known][:most]])
