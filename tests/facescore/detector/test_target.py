"""What a detector has to reach on what it was shown; a minute or two."""

import keras
import pytest

from facescore.detector.data import DetectorBatches, build_pictures
from facescore.detector.evaluation import evaluate_detector
from facescore.detector.losses import FaceDetector
from facescore.detector.network import DetectorNetwork
from facescore.detector.prediction import Detector
from facescore.detector.training import choose_detector_settings
from facescore.synthetic.scenes import write_scenes

pytestmark = pytest.mark.large


def test_a_detector_overfits_eight_scenes(tmp_path):
    scenes = {"size": (224, 224), "n_faces": (1, 4), "face_size": (24, 150)}
    paths = write_scenes(tmp_path / "scenes", 8, seed=5, **scenes)
    still = {"scale": (1.0, 1.0), "translate": 0.0, "flip": 0.0, "mosaic": 0.0}
    colours = {"hue": 0.0, "saturation": 0.0, "value": 0.0}
    chosen = choose_detector_settings("tiny", epoch_size=240, **still, **colours)
    pictures = build_pictures(paths, side=224, cache=tmp_path / "cache")
    batches = DetectorBatches(pictures, chosen)
    keras.utils.set_random_seed(0)
    network = DetectorNetwork(chosen.widths, chosen.depths, chosen.head)
    model = FaceDetector(network)
    steps = chosen.epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(chosen.learning_rate, steps)
    model.compile(keras.optimizers.AdamW(rate, global_clipnorm=10.0))
    model.fit(
        batches,
        epochs=chosen.epochs,
        shuffle=False,
        verbose=2,
        callbacks=[batches.follow()],
    )
    scores = evaluate_detector(paths, Detector(network), imgsz=224)
    print(f"AP50 {scores.ap50:.3f}, AP50-95 {scores.ap50_95:.3f}")
    assert scores.n_faces >= 12 and scores.ap50 >= 0.95
