import dataclasses

import numpy as np
import pytest

from facescore.detector.data import DetectorBatches, build_pictures, labelled_images
from facescore.detector.training import DETECTOR_PRESETS
from illustkit.images import write_image

PLAIN = dataclasses.replace(
    DETECTOR_PRESETS["tiny"],
    image_size=64,
    batch_size=3,
    epoch_size=6,
    epochs=4,
    scale=(1.0, 1.0),
    translate=0.0,
    flip=0.0,
    mosaic=0.0,
    close_mosaic=1,
    hue=0.0,
    saturation=0.0,
    value=0.0,
    max_faces=4,
)


@pytest.fixture
def folder(tmp_path):
    """Five squares of 64 pixels, each of a grey of its own; and one unlabelled."""
    for i in range(6):
        image = np.full((64, 64, 3), 20 * (i + 1), np.uint8)
        write_image(tmp_path / f"{i}.png", image)
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text(f"0 0.5 0.5 0.25 {0.125 * (i + 1)}\n")
    (tmp_path / "4.txt").write_text("")  # a picture without a face
    return tmp_path


def greys(batch):
    return [round(float(picture.mean()) / 20) - 1 for picture in batch]


def test_unlabelled_is_told_from_no_face(folder):
    labelled, unlabelled = labelled_images(folder)
    assert [p.name for p in labelled] == [f"{i}.png" for i in range(5)]
    assert [p.name for p in unlabelled] == ["5.png"]
    pictures = build_pictures(labelled, side=64, cache=folder / "cache")
    np.testing.assert_allclose(pictures[1][1], [(24, 24, 40, 40)])
    assert pictures[4][1].shape == (0, 4)
    (folder / "2.txt").write_text("0 0.5 0.5 0.25\n")
    with pytest.raises(ValueError, match=r"2\.txt"):
        labelled_images(folder)


def test_pictures_are_scaled_down_with_their_boxes_and_stored_once(folder):
    wide = np.zeros((30, 120, 3), np.uint8)
    wide[10:20, 60:90] = 255
    write_image(folder / "wide.png", wide)
    (folder / "wide.txt").write_text("0 0.625 0.5 0.25 0.333333\n")
    paths, _ = labelled_images(folder)
    pictures = build_pictures(paths, side=60, cache=folder / "cache")
    image, boxes = pictures[-1 + len(pictures)]
    assert image.shape == (15, 60, 3)
    np.testing.assert_allclose(boxes, [(30, 5, 45, 10)], atol=1e-3)
    assert image[7, 32].min() == 255 and image[7, 50].max() == 0

    steps = []
    build_pictures(paths, side=60, cache=folder / "cache", progress=steps.append)
    assert steps == []
    (folder / "wide.txt").write_text("")  # labels are read anew
    again = build_pictures(
        paths, side=60, cache=folder / "cache", progress=steps.append
    )
    assert steps == [] and len(again[5][1]) == 0
    write_image(folder / "wide.png", wide + 9)
    build_pictures(paths, side=60, cache=folder / "cache", progress=steps.append)
    assert steps == list(range(1, 7))


def test_epochs_go_through_every_picture_in_turn(folder):
    paths, _ = labelled_images(folder)
    pictures = build_pictures(paths, side=64, cache=folder / "cache")
    batches = DetectorBatches(pictures, PLAIN)
    seen = []
    for epoch in range(5):  # 5 epochs of 6 are 6 rounds of 5
        batches.epoch = epoch
        for i in range(len(batches)):
            images, rows = batches[i]
            assert images.shape == (3, 64, 64, 3) and images.dtype == np.uint8
            assert rows.shape == (3, 4, 5) and rows.dtype == np.float32
            for number, row in zip(greys(images), rows, strict=True):
                seen.append(number)
                height = 8.0 * (number + 1)
                box = (24, 32 - height / 2, 40, 32 + height / 2, 1)
                np.testing.assert_allclose(row[0], box if number < 4 else 0, atol=1e-4)
    assert np.bincount(seen).tolist() == [6] * 5


def test_a_batch_depends_on_seed_epoch_and_number_alone(folder):
    paths, _ = labelled_images(folder)
    pictures = build_pictures(paths, side=64, cache=folder / "cache")
    wild = dataclasses.replace(PLAIN, mosaic=1.0, flip=0.5, scale=(1, 2), value=0.4)
    one, other = DetectorBatches(pictures, wild), DetectorBatches(pictures, wild)
    one.epoch = 2
    one[0]
    other.epoch = 2
    np.testing.assert_array_equal(one[1][0], other[1][0])
    np.testing.assert_array_equal(one[1][1], other[1][1])
    one.epoch = 1
    assert (one[1][0] != other[1][0]).any()
    # The last epoch is without mosaics: each picture is of one grey.
    one.epoch = 3
    assert max(len(np.unique(image)) for image in one[0][0]) == 1
    assert min(len(np.unique(image)) for image in other[0][0]) >= 2


def test_nothing_labelled_is_told(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="None of the 1 pictures has labels"):
        labelled_images(tmp_path)
