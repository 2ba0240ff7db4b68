"""Settings of a training: a preset by its name, with some fields changed."""

import dataclasses


def choose_preset(presets, preset, settings):
    """Take a preset, with those settings that the caller names in their place.

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
        ValueError: for an unknown preset or field.
    """
    if preset not in presets:
        raise ValueError(
            f"`preset` must be one of {sorted(presets)}. Received: {preset!r}"
        )
    known = {field.name for field in dataclasses.fields(presets[preset])}
    if unknown := sorted(set(settings) - known):
        raise ValueError(f"Settings are {sorted(known)}. Received: {unknown}")
    return dataclasses.replace(presets[preset], **settings)
