"""Training batches of crops, varied so that framing and sharpness tell nothing."""

import cv2
import numpy as np

from illustkit.batches import Batches


class CropBatches(Batches):
    """Batches `(pictures, scores)` of crops that are varied anew in every epoch.

    Mirroring, small shifts, scales and turns, light, contrast and lost resolution: what
    a detector and a file format vary, and a taste does not see. Colours stay.

    Args:
        crops: `facescore.rated_crops.RatedCrops`.
        preset: A `facescore.scorer_presets.ScorerPreset`.
        seed: Int. Defaults to 0.

    Returns:
        Of `batches[i]`: uint8 `(batch, height, width, 3)`, float32 `(batch,)`.
    """

    def __init__(self, crops, preset, *, seed=0):
        super().__init__(len(crops), batch_size=preset.batch_size, seed=seed)
        self.crops, self.preset = crops, preset

    def make(self, indices, rng):
        pictures = [vary(self.crops[int(i)], rng, self.preset) for i in indices]
        return np.stack(pictures), self.crops.scores[indices]


def vary(picture, rng, preset):
    """Vary one crop.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        rng: `np.random.Generator`.
        preset: `ScorerPreset`; its `flip`, `shift`, `zoom`, `turn`, `brightness` and
            `blur` say how much.

    Returns:
        uint8 RGB of the same shape; the border is drawn out where the crop moved in.
    """
    height, width = picture.shape[:2]
    if rng.random() < preset.flip:
        picture = picture[:, ::-1]
    zoom = np.exp(rng.uniform(*np.log(preset.zoom)))
    turn = rng.uniform(-preset.turn, preset.turn)
    shift = rng.uniform(-preset.shift, preset.shift, 2) * (width, height)
    light, contrast = 1 + rng.uniform(-preset.brightness, preset.brightness, 2)
    blurred, lost = rng.random() < preset.blur, rng.uniform(1, 1.6)
    if (zoom, turn, *shift) != (1, 0, 0, 0):
        centre = (width - 1) / 2, (height - 1) / 2
        matrix = cv2.getRotationMatrix2D(centre, turn, zoom)
        matrix[:, 2] += shift
        picture = cv2.warpAffine(
            np.ascontiguousarray(picture),
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    if blurred:
        less = max(1, round(width / lost)), max(1, round(height / lost))
        picture = cv2.resize(
            np.ascontiguousarray(picture), less, interpolation=cv2.INTER_AREA
        )
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    if (light, contrast) != (1, 1):
        grey = 127.5
        table = ((np.arange(256) * light - grey) * contrast + grey).round()
        picture = np.clip(table, 0, 255).astype(np.uint8)[picture]
    return np.ascontiguousarray(picture)
