import numpy as np
import pytest

from illustkit.samples import (
    draw_background,
    draw_character,
    draw_face_icon,
    draw_head,
)

cv2 = pytest.importorskip("cv2")

SKIN = {
    "fair": (255, 232, 218),
    "light": (253, 222, 200),
    "tan": (232, 190, 154),
    "brown": (182, 130, 98),
}

CLOTH = {"white": (250, 250, 252), "navy": (52, 66, 112), "pink": (250, 182, 196)}
CLOTH |= {"purple": (124, 96, 166), "mint": (176, 228, 208), "wine": (142, 52, 74)}


def overlap(one, other):
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    both = max(wide, 0) * max(high, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return both / (sum(areas) - both)


def test_same_seed_same_bytes():
    size = (75, 106)
    first = [draw_character(seed, size) for seed in (0, 5)]
    again = [draw_character(seed, size) for seed in (5, 0)][::-1]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert one[1:] == other[1:]
    np.testing.assert_array_equal(draw_face_icon(4, 48), draw_face_icon(4, 48))


def test_pictures_differ_between_seeds():
    pictures = np.stack([draw_character(s, (48, 68)).image for s in range(12)])
    icons = np.stack([draw_face_icon(s, 48) for s in range(12)])
    for stack, least in ((pictures.astype(int), 20), (icons.astype(int), 8)):
        for k in range(12):
            change = np.abs(np.delete(stack, k, axis=0) - stack[k]).mean((1, 2, 3))
            assert change.min() > least


@pytest.mark.parametrize("size", [(60, 84), (96, 64), (16, 16), (30, 200), (200, 30)])
def test_size_is_honoured_and_boxes_lie_inside(size):
    width, height = size
    for seed in range(6):
        character = draw_character(seed, size)
        assert character.image.shape == (height, width, 3)
        assert character.image.dtype == np.uint8
        for left, top, right, bottom in (character.face_box, character.garment_box):
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
        assert character.face_box[1] < character.garment_box[1]


def test_another_size_shows_the_same_character():
    large = draw_character(3, (300, 424))
    small = draw_character(3, (100, 141))
    shrunk = cv2.resize(large.image, (100, 141), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small.image).mean() < 8
    assert small.attributes == large.attributes
    np.testing.assert_allclose(
        np.array(small.face_box) * 3, np.array(large.face_box), atol=4
    )


def test_face_box_holds_the_skin_that_is_named():
    for seed in range(12):
        character = draw_character(seed, (100, 141))
        left, top, right, bottom = character.face_box
        third = (bottom - top) // 3
        cheeks = character.image[bottom - third : bottom, left:right].astype(int)
        near = np.abs(cheeks - SKIN[character.attributes["skin"]]).max(axis=2) < 40
        assert near.mean() > 0.25


def test_garment_box_holds_the_colour_that_is_named():
    seen = set()
    for seed in range(24):
        character = draw_character(seed, (60, 84))
        name = character.attributes["garment_colour"]
        if name not in CLOTH or character.attributes["pattern"] != "plain":
            continue
        left, top, right, bottom = character.garment_box
        cloth = character.image[top:bottom, left:right].astype(int)
        assert (np.abs(cloth - CLOTH[name]).max(axis=2) < 12).mean() > 0.1
        seen.add(name)
    assert len(seen) >= 2


@pytest.mark.parametrize("size", [48, 128])
def test_icons_stand_free_on_white(size):
    for seed in range(30):
        icon = draw_face_icon(seed, size)
        assert icon.shape == (size, size, 3) and icon.dtype == np.uint8
        rim = np.concatenate([icon[0], icon[-1], icon[:, 0], icon[:, -1]])
        assert rim.min() == 255
        assert (icon < 128).any(axis=2).mean() > 0.1


def test_head_is_transparent_around_and_right_on_any_colour():
    picture, box = draw_head(5, 40)
    assert picture.shape[-1] == 4
    assert 30 < box[2] - box[0] < 55 and 30 < box[3] - box[1] < 60
    alpha = picture[..., 3]
    assert alpha[0, 0] == 0 and ((alpha > 0) & (alpha < 255)).any()
    left, top, right, bottom = box.round().astype(int)
    assert (alpha[top:bottom, left:right] == 255).mean() > 0.9


def test_backgrounds_are_whole_and_differ():
    size = (64, 48)
    drawn = np.stack([draw_background(seed, size) for seed in range(8)])
    assert drawn.shape == (8, 48, 64, 3) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[3], draw_background(3, size))
    assert len({picture.tobytes() for picture in drawn}) == 8
    # A generator goes on: two pictures of one are not the same.
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(draw_background(rng, size), drawn[3])
    assert (draw_background(rng, size) != drawn[3]).any()


def test_attributes_vary():
    drawn = [draw_character(seed, (16, 16)).attributes for seed in range(40)]
    assert len({tuple(a.values()) for a in drawn}) == 40
    least = {"hair_colour": 12, "hair_style": 8, "eye_colour": 8, "expression": 8}
    least |= {"garment": 8, "pattern": 6, "background": 8, "framing": 4, "skin": 4}
    for name, count in least.items():
        assert len({a[name] for a in drawn}) >= count


def test_cascade_finds_the_faces(real_data):
    model = real_data / "lbpcascade_animeface.xml"
    if not model.is_file():
        pytest.skip(f"no {model.name} in {real_data}")
    cascade = cv2.CascadeClassifier(str(model))
    found = 0
    for seed in range(24):
        character = draw_character(seed, (225, 318))
        grey = cv2.equalizeHist(cv2.cvtColor(character.image, cv2.COLOR_RGB2GRAY))
        boxes = cascade.detectMultiScale(
            grey, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24)
        )
        best = [
            overlap(character.face_box, (x, y, x + w, y + h)) for x, y, w, h in boxes
        ]
        found += max(best, default=0) >= 0.5
    assert found >= 12


@pytest.mark.parametrize("size", [(15, 100), (100, 0), (-5, 40)])
def test_a_size_too_small_is_refused(size):
    with pytest.raises(ValueError, match="Received: size="):
        draw_character(0, size)
    with pytest.raises(ValueError, match="Received: size="):
        draw_face_icon(0, size=8)
    with pytest.raises(ValueError, match="Received: size="):
        draw_background(0, size)
    with pytest.raises(ValueError, match="Received: size=0"):
        draw_head(0, size=0)
