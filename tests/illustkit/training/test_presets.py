from dataclasses import dataclass

import pytest

from illustkit.training.presets import choose_preset


@dataclass(frozen=True)
class Settings:
    epochs: int
    rate: float = 0.5


PRESETS = {"slow": Settings(9), "quick": Settings(2, 0.1)}


def test_a_preset_with_one_field_changed():
    assert choose_preset(PRESETS, "quick", {"epochs": 4}) == Settings(4, 0.1)
    assert choose_preset(PRESETS, "slow", {}) == Settings(9, 0.5)
    assert PRESETS["quick"] == Settings(2, 0.1)


def test_what_is_not_known_is_named():
    with pytest.raises(ValueError, match=r"\['quick', 'slow'\]. Received: 'fast'"):
        choose_preset(PRESETS, "fast", {})
    with pytest.raises(ValueError, match=r"\['epochs', 'rate'\]. Received: \['lr'\]"):
        choose_preset(PRESETS, "slow", {"lr": 1, "rate": 2})
