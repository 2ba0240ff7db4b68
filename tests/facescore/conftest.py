"""Pictures' features of a kind that is known."""

import numpy as np
import pytest


@pytest.fixture
def colours(monkeypatch):
    """Let pictures' features be how near they are to each of some greys."""

    def features_of(pictures):
        greys = np.arange(0, 256, 10)
        means = np.array([np.mean(picture) for picture in pictures])
        return np.exp(-(((means[:, None] - greys) / 60) ** 2))

    monkeypatch.setattr("facescore.scorer.transfer.features_of", features_of)
