"""Choose the settings of a training: a preset by its name, with some fields changed."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from illustkit.errors import UserError

Preset = TypeVar("Preset")


def choose_preset(
    presets: Mapping[str, Preset], preset: str, settings: Mapping[str, Any]
) -> Preset:
    """Return a preset, with the fields replaced that the caller names.

    Example:
    ```python
    chosen = choose_preset(DETECTOR_PRESETS, "small", {"epochs": 20})
    ```

    Args:
        presets: Dict from names to instances of one dataclass.
        preset: The name.
        settings: Dict of fields that differ.

    Returns:
        An instance of that dataclass.

    Raises:
        UserError: If the preset or a field is unknown.
    """
    if preset not in presets:
        raise UserError(
            f"`preset` must be one of {sorted(presets)}. Received: {preset!r}"
        )
    chosen: Any = presets[preset]
    names = {field.name for field in dataclasses.fields(chosen)}
    if unknown := sorted(set(settings) - names):
        raise UserError(f"Settings are {sorted(names)}. Received: {unknown}")
    return dataclasses.replace(chosen, **settings)
