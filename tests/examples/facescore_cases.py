"""What the examples of `facescore` stand among."""

import contextlib
import dataclasses
import importlib
from typing import Any

import numpy as np
import pytest

from .case import (
    Case,
    Make,
    answering_page,
    drawn,
    face,
    icons,
    name_of,
    open_run,
    signed,
    value,
)

CASCADE = (
    '<?xml version="1.0"?><opencv_storage><cascade><stageType>BOOST</stageType>'
    "<featureType>LBP</featureType><height>24</height><width>24</width><stageParams>"
    "<boostType>GAB</boostType><minHitRate>0.99</minHitRate><maxFalseAlarm>0.5"
    "</maxFalseAlarm><weightTrimRate>0.95</weightTrimRate><maxDepth>1</maxDepth>"
    "<maxWeakCount>1</maxWeakCount></stageParams><featureParams><maxCatCount>256"
    "</maxCatCount><featSize>1</featSize></featureParams><stageNum>1</stageNum>"
    "<stages><_><maxWeakCount>1</maxWeakCount><stageThreshold>2."
    "</stageThreshold><weakClassifiers><_><internalNodes>0 -1 0 -1 -1 -1 -1 -1 -1 -1 "
    "-1</internalNodes><leafValues>-1. 1.</leafValues></_></weakClassifiers></_>"
    "</stages><features><_><rect>0 0 8 8</rect></_></features></cascade>"
    "</opencv_storage>"
)


def cascade(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """A cascade that finds nothing stands in for the one that is fetched."""
    from pathlib import Path

    Path("cascade.xml").write_text(CASCADE)
    patch.setenv("FACESCORE_CASCADE", str(Path("cascade.xml").resolve()))


def eager_cascade(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """A cascade that finds a face in the middle of each picture."""
    from facescore import Cascade, Face
    from illustkit import read_image

    def detect(self, image, **options):
        picture = image if isinstance(image, np.ndarray) else read_image(image)
        height, width = picture.shape[:2]
        return [Face((width / 3, height / 3, width / 1.5, height / 1.5), 0.9)]

    cascade(patch, stack)
    patch.setattr(Cascade, "detect", detect)


def tiny_demo(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    tiny_scorer(patch, stack)
    eager_cascade(patch, stack)


def scored() -> np.ndarray:
    return np.repeat([1, 2, 3, 4, 5], 4)


def predicted() -> np.ndarray:
    return scored() + np.random.default_rng(0).normal(0, 0.5, 20)


def ranked() -> Any:
    import facescore

    options = {"scorer": "runs/taste", "detector": "runs/faces", "progress": False}
    return facescore.rank_folder("pictures", output="ranking", **options)


def random_crops(side: int, n: int = 4) -> np.ndarray:
    return icons(n, side)


def detector_network() -> Any:
    from facescore.detector.network import DetectorNetwork

    return DetectorNetwork((4, 4, 4, 4, 4), (1, 1, 1, 1), 4)


def lite_network() -> Any:
    from facescore.efficientnet_lite import EfficientNetLite0

    return EfficientNetLite0(32)


VALUES: dict[str, Make] = {
    "a": lambda: icons(1, 64)[0],
    "b": lambda: icons(1, 64, 1)[0],
    "batches": lambda: detector_batches(),
    "boxes": value(np.array([(10.0, 10.0, 60.0, 60.0)])),
    "crop": lambda: icons(1, 96)[0],
    "crops": lambda: random_crops(96),
    "detector": lambda: importlib.import_module("facescore").load_detector(
        "runs/faces"
    ),
    "explanation": lambda: importlib.import_module("facescore").Explainer("runs/taste")(
        icons(1, 96)[0]
    ),
    "face": face,
    "image": lambda: drawn().copy(),
    "images": lambda: [
        *icons(1, 64),
        *icons(1, 64, 1),
        *icons(1, 64),
        *icons(1, 64, 3),
    ],
    "picture": lambda: importlib.import_module("illustkit").list_images("pictures")[0],
    "pictures": lambda: icons(2, 96),
    "predicted": predicted,
    "run": lambda: open_run("runs/taste"),
    "scorer": lambda: importlib.import_module("facescore").load_scorer("runs/taste"),
    "scores": value(np.array([1.0, 2.0, 4.0, 5.0])),
    "size": value((72, 96)),
    "true": scored,
}


def detector_batches() -> Any:
    """Batches of squares of 64 pixels with a face in each."""
    from facescore.detector.data import DetectorBatches, build_pictures
    from facescore.detector.training import DETECTOR_PRESETS

    with pytest.MonkeyPatch.context() as patch:
        tiny_detector(patch, contextlib.ExitStack())
        chosen = DETECTOR_PRESETS["small"]
    paths = importlib.import_module("illustkit").list_images("pictures")
    return DetectorBatches(build_pictures(paths, side=64, cache=None), chosen, seed=0)


def slim_detector(patch: pytest.MonkeyPatch) -> None:
    """The detector's network is one of three convolutions, built in a moment."""
    patch.setattr(
        "facescore.detector.losses.DetectorNetwork",
        name_of("tests.facescore.slim", "Slim")(),
    )


def tiny_detector(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The presets of `facescore.train_detector` have a network of a moment."""
    from facescore.detector.training import DETECTOR_PRESETS

    small = {"image_size": 64, "batch_size": 2, "epoch_size": 4, "validation_size": 64}
    small |= {"widths": (2, 2, 4, 4, 4), "depths": (1, 1, 1, 1), "head": 2}
    slim_detector(patch)
    for name, preset in DETECTOR_PRESETS.items():
        patch.setitem(DETECTOR_PRESETS, name, dataclasses.replace(preset, **small))


def tiny_scorer(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The presets of `facescore.train_scorer` have a network of a moment."""
    from facescore.scorer.training import SCORER_PRESETS

    small = {"network": "small", "image_size": (16, 16), "batch_size": 4}
    small |= {"network_options": {"widths": (4, 6), "places": 2}}
    for name, preset in SCORER_PRESETS.items():
        patch.setitem(SCORER_PRESETS, name, dataclasses.replace(preset, **small))


def tiny_trainings(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    tiny_detector(patch, stack)
    tiny_scorer(patch, stack)


CASES: dict[str, Case] = {
    "facescore:serve": Case(
        prepare=answering_page,
        smaller=(('"runs/faces"', '"runs/faces", port=0, open_browser=False'),),
    ),
    "facescore:start": Case(prepare=cascade),
    "facescore:crop_faces": Case(prepare=cascade),
    "facescore:crop_folder": Case(
        prepare=cascade,
        without=("crops",),
        values={"Cascade": name_of("facescore", "Cascade")},
    ),
    "facescore:Cascade": Case(prepare=cascade),
    "facescore:find_cascade": Case(prepare=cascade),
    "facescore:train_detector": Case(
        prepare=tiny_detector, without=("runs/detector",), smaller=(("20", "1"),)
    ),
    "facescore:read_labels": Case(files=("pictures",)),
    "facescore:write_labels": Case(files=("pictures",)),
    "facescore:to_coco": Case(without=("faces.json",)),
    "facescore:write_gallery": Case(
        files=("pictures", "runs/taste", "runs/faces"), values={"ranking": ranked}
    ),
    "facescore:FaceDetector": Case(
        files=("pictures",),
        smaller=(("DetectorNetwork()", "DetectorNetwork((2, 2, 4, 4, 4), head=2)"),),
    ),
    "facescore:held_out_ratings": Case(
        files=("runs/taste",),
        values={"score_crops": name_of("facescore.scorer.prediction", "score_crops")},
    ),
    "facescore:evaluate_stability": Case(
        prepare=eager_cascade, smaller=(('"runs/faces"', '"cascade"'),)
    ),
    "facescore:stability": Case(
        values={"detect_faces": value(lambda image: [(16, 16, 48, 48)])}
    ),
    "facescore:load_scorer": Case(prepare=cascade),
    "facescore:explain": Case(prepare=cascade),
    "facescore:Explainer": Case(files=("runs/taste",)),
    "facescore:draw_veil": Case(files=("runs/taste",)),
    "facescore:explain_pictures": Case(
        smaller=(('detector="runs/faces"', "detector=None"),)
    ),
    "facescore:save_shipped": Case(values={"network": detector_network}),
    "facescore:shipped_features": Case(values={"network": lite_network}),
    "facescore:EfficientNetLite0": Case(
        values={"pictures": lambda: np.zeros((2, 224, 224, 3), "uint8")}
    ),
    "facescore:TransferNet": Case(values={"pictures": lambda: signed(2, 160, 160, 3)}),
    "facescore:feature_places": Case(
        values={
            "network": lambda: importlib.import_module(
                "facescore.scorer.networks"
            ).SmallNet(32)
        }
    ),
    "facescore:AlexNet": Case(
        values={"pictures": lambda: signed(2, 360, 360, 3)},
        smaller=(("1024", "8"),),
    ),
    "facescore:AnimeCNN": Case(values={"pictures": lambda: signed(2, 96, 144, 3)}),
    "facescore:SmallNet": Case(values={"pictures": lambda: signed(2, 96, 96, 3)}),
    "facescore:DetectorNetwork": Case(
        values={"pictures": lambda: np.zeros((2, 640, 640, 3), "uint8")}
    ),
    "facescore:score_crops": Case(files=("runs/taste",)),
    "facescore:train_scorer": Case(prepare=tiny_scorer, without=("runs/taste",)),
    "facescore:demo": Case(
        prepare=tiny_demo,
        smaller=(
            (
                '"facescore-demo"',
                '"facescore-demo", detector="cascade", per_score=4, per_score_unseen=2',
            ),
        ),
    ),
    "facescore:write_scenes": Case(smaller=(("200", "2"),)),
    "facescore:rate": Case(),
    "facescore:rated_characters": Case(smaller=(("100", "2"),)),
    "docs/facescore.md:1": Case(
        prepare=tiny_trainings, without=("runs/faces", "runs/taste"), smaller=()
    ),
}
