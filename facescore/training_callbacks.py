"""Callbacks of the trainings: held-out pictures are judged after each epoch."""

import keras
import numpy as np

from facescore.detector.evaluation import draw_faces, measure
from facescore.detector.network import refold
from facescore.detector.prediction import Detector
from facescore.scorer.agreement import mean_absolute_error, spearman
from illustkit.figures import sheet
from illustkit.images import write_image
from illustkit.runtime import worker_index


class HeldOutFaces(keras.callbacks.Callback):
    """Measures AP on held-out pictures after each epoch, and draws what was found.

    Logs `val_ap50` and `val_ap`. It has to stand before the callbacks that save.

    Args:
        pictures: `LabelledPictures`, as they are stored.
        run: The `Run` whose `pictures/` get the sheets.
        preset: The training's `DetectorPreset`.
        sheet_every: Epochs from one sheet to the next; 0 for none.
    """

    def __init__(self, pictures, run, preset, sheet_every):
        super().__init__()
        self.samples = [pictures[i] for i in range(len(pictures))]
        self.run, self.preset, self.sheet_every = run, preset, sheet_every
        self.detector = None

    def on_epoch_end(self, epoch, logs=None):
        network = self.model.network
        if self.detector is None:
            self.detector = Detector(network)
        refold(network, self.detector.network)
        scores, found = measure(
            self.samples, self.detector, imgsz=self.preset.validation_size
        )
        logs["val_ap50"], logs["val_ap"] = scores.ap50, scores.ap50_95
        last = epoch + 1 == self.params["epochs"]
        if not self.sheet_every or worker_index():
            return
        if last or (epoch + 1) % self.sheet_every == 0:
            examples = [
                draw_faces(image, [f for f in faces if f.confidence >= 0.25], truth)
                for (image, truth), faces in zip(self.samples[:12], found, strict=False)
            ]
            path = self.run.pictures / f"epoch-{epoch + 1:04d}.png"
            write_image(path, sheet(examples, columns=4))


class HeldOutScores(keras.callbacks.Callback):
    """Logs `val_mae` and `val_spearman` after each epoch.

    It has to stand before the callbacks that save.

    Args:
        crops: `RatedCrops` that are not trained on.
    """

    def __init__(self, crops):
        super().__init__()
        self.crops = crops

    def on_epoch_end(self, epoch, logs=None):
        step = 256
        predicted = np.concatenate(
            [
                self.model.predict_scores(self.crops[slice(i, i + step)])
                for i in range(0, len(self.crops), step)
            ]
        )
        logs["val_mae"] = mean_absolute_error(self.crops.scores, predicted)
        # nan where every prediction, or every score, is the same: no order to be seen
        order = spearman(self.crops.scores, predicted)
        logs["val_spearman"] = order if np.isfinite(order) else 0.0
