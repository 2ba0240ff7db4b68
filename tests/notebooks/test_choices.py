"""Settings other than the defaults: cells run here, with a stand-in for the network."""

from pathlib import Path

import numpy as np
import pytest

import illustkit
import oppai
from illustkit.images import read_image, write_image
from oppai.pages.demo import draw_samples
from tests.notebooks.reading import FOLDER, execute, titled

RESTORE = FOLDER / "oppai_restore.ipynb"
TRAIN = FOLDER / "oppai_train.ipynb"
PAINT, NEW = (0, 255, 0), (200, 10, 20)
BOX = np.s_[40:60, 30:56]  # rows and columns of what is censored
NEAR = np.s_[33:67, 23:63]  # the blended pixels round paint count as paint


class OneColour(oppai.BaseRestorer):
    """Paints everything in one colour, as a network would that saw only that."""

    image_size, minimum, blend = 32, 32, 0.5

    def predict(self, picture, hole, grid=None, missing=None):
        return np.broadcast_to(np.float32(NEW) / 127.5 - 1, picture.shape)


def settings_of(path, **changed):
    space = {"illustkit": illustkit}
    execute(titled(path, "Settings"), space)
    assert changed.keys() <= space.keys()
    return space | changed


@pytest.mark.parametrize(
    "marks",
    [
        {"boxes": [(30, 40, 56, 60)]},
        {"mask": "mask.png"},
        {"mask_colour": PAINT, "tolerance": 1},
    ],
    ids=lambda marks: next(iter(marks)),
)
def test_an_upload_is_restored_where_it_is_marked(colab, marks):
    picture = illustkit.draw_character(3, (96, 128)).image.copy()
    mask = np.zeros(picture.shape[:2], np.uint8)
    mask[BOX] = 255
    if "mask_colour" in marks:
        picture[BOX] = PAINT
    write_image("mine.png", picture)
    write_image("mask.png", mask)
    colab.uploads = {"mine.png": b"", "mask.png": b""}
    space = settings_of(RESTORE, upload=True, feather=0, **marks)
    for title in ("Your picture", "What is censored"):
        execute(titled(RESTORE, title), space)
    space["restorer"] = OneColour()
    for title in ("Restore", "Compare", "Download"):
        execute(titled(RESTORE, title), space)
    restored = read_image("mine_restored.png")
    assert (restored[BOX] == NEW).all() and space["truth"] is None
    restored[NEAR] = picture[NEAR]
    np.testing.assert_array_equal(restored, picture)
    assert colab.downloads == ["mine_restored.png"]


def test_a_picture_that_is_not_marked_is_asked_about(colab):
    write_image("mine.png", illustkit.draw_character(3, (96, 128)).image)
    space = settings_of(RESTORE, picture="mine.png")
    execute(titled(RESTORE, "Your picture"), space)
    with pytest.raises(ValueError, match="Nothing censored was found.*Settings"):
        execute(titled(RESTORE, "What is censored"), space)


def test_the_chapters_zip_comes_from_drive(colab):
    dataset = Path("oppai_dataset")
    draw_samples(dataset / "images", dataset / "oppai_meta.json", 3, progress=False)
    oppai.pack(dataset, "gdrive/MyDrive/oppai/oppai_dataset.zip", progress=False)
    dataset.rename("gone")
    space = settings_of(TRAIN, data="chapter", use_drive=True)
    for title in ("Data", "Look at some"):
        execute(titled(TRAIN, title), space)
    assert len(space["found"]) == 3 and not space["check"].problems
    assert space["store"] == Path("gdrive/MyDrive/oppai")


def test_a_folder_of_ones_own_is_taken(colab):
    draw_samples("mine", "boxes.json", 2, progress=False)
    space = settings_of(TRAIN, data="folder", images="mine", metadata="boxes.json")
    execute(titled(TRAIN, "Data"), space)
    assert (space["pictures"], space["store"]) == (Path("mine"), Path())
    assert len(space["check"].entries) == 2
