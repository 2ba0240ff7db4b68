"""What a detector has to reach on what it was shown; a minute or two."""

import json

import pytest

from facescore.detector_evaluation import evaluate_detector
from facescore.detector_training import train_detector
from facescore.scenes import write_scenes

pytestmark = pytest.mark.large


def test_a_detector_overfits_eight_scenes(tmp_path):
    scenes = {"size": (224, 224), "n_faces": (1, 4), "face_size": (24, 150)}
    # One of nine is held out, as every training does.
    paths = write_scenes(tmp_path / "scenes", 9, seed=5, **scenes)
    still = {"scale": (1.0, 1.0), "translate": 0.0, "flip": 0.0, "mosaic": 0.0}
    colours = {"hue": 0.0, "saturation": 0.0, "value": 0.0}
    run = train_detector(
        paths,
        tmp_path / "run",
        preset="tiny",
        epochs=8,
        epoch_size=240,
        validation_size=224,
        verbose=2,
        **still,
        **colours,
    )
    shown = json.loads((run.folder / "split.json").read_text())["train"]
    scores = evaluate_detector(shown, run, imgsz=224)
    assert len(shown) == 8 and scores.n_faces >= 12
    print(f"AP50 {scores.ap50:.3f}, AP50-95 {scores.ap50_95:.3f}")
    assert scores.ap50 >= 0.95
