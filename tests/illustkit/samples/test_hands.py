from dataclasses import replace

import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.samples import HANDS, draw_character, draw_crowd, draw_head
from illustkit.samples.canvas import Canvas
from illustkit.samples.clothes.outfits import choose_outfit
from illustkit.samples.colours import Tones
from illustkit.samples.hands import Hand, choose_hand
from illustkit.samples.heads.poses import GESTURES, HATS, Turn, choose_pose
from illustkit.samples.heads.whole import choose_head
from illustkit.samples.illustrator import Person, draw_person, restyled

OTHERS = HANDS[1:]
SIZE = (60, 84)

# Seed, face box, mean values of a 3 by 3 grid.
RECORDED = [
    (0, (9, 15, 42, 47), [[156, 135, 173], [163, 155, 180], [188, 139, 202]]),
    (5, (14, 16, 46, 46), [[174, 156, 164], [125, 169, 191], [193, 120, 178]]),
    (9, (19, 13, 45, 37), [[220, 136, 201], [173, 88, 137], [232, 95, 221]]),
    (14, (13, 18, 49, 53), [[207, 136, 192], [140, 154, 142], [165, 106, 176]]),
]


def thumbnail(picture):
    """Mean values of a 3 by 3 grid, by reshaping alone."""
    height, width = (n // 3 * 3 for n in picture.shape[:2])
    cells = picture[:height, :width].mean(axis=2)
    return cells.reshape(3, height // 3, 3, width // 3).mean(axis=(1, 3))


def test_cel_stays_what_it_was_before_there_were_other_hands():
    # Recorded from the illustrator that knew "cel" alone.
    for seed, box, values in RECORDED:
        drawn = draw_character(seed, SIZE)
        assert drawn.face_box == box
        np.testing.assert_allclose(thumbnail(drawn.image), values, atol=1)


@pytest.mark.parametrize("hand", HANDS)
def test_a_hand_gives_the_same_bytes_for_a_seed_and_its_own_picture(hand):
    drawn = draw_character(11, SIZE, hand)
    np.testing.assert_array_equal(drawn.image, draw_character(11, SIZE, hand).image)
    assert drawn.image.shape == (84, 60, 3) and drawn.attributes["hand"] == hand
    change = np.abs(drawn.image.astype(int) - draw_character(11, SIZE).image).mean()
    assert (change > 5) == (hand != "cel")


@pytest.mark.parametrize("hand", OTHERS)
def test_face_boxes_lie_inside_the_picture(hand):
    for seed in range(8):
        left, top, right, bottom = draw_character(seed, SIZE, hand).face_box
        assert 0 <= left < right <= 60 and 0 <= top < bottom <= 84


def test_the_box_of_a_face_holds_its_eyes_however_the_head_is_held():
    magenta = (255, 0, 255)
    views, seen = set(), 0
    for seed in range(24):
        rng = np.random.default_rng(seed)
        head = choose_head(rng)
        person = Person(head, choose_outfit(rng), ["down", "down"], 0.0, 0.0, seed)
        person = restyled(person, Hand("thin"), rng)
        face = replace(person.head.face, iris=Tones(*[magenta] * 4), states=("", ""))
        person = person._replace(head=replace(person.head, face=face))
        sheet = Canvas.blank((128, 160))
        body = sheet.placed(64, 100, scale=24)
        frame, rim = draw_person(body, person, Hand())
        rows, columns = np.nonzero((sheet.pixels == magenta).all(axis=2))
        rim = frame.to_sheet(rim)
        if len(rows):  # closed eyes show no iris
            seen += 1
            views.add(person.pose.view)
            assert rim[:, 0].min() < columns.min() and columns.max() < rim[:, 0].max()
            assert rim[:, 1].min() < rows.min() and rows.max() < rim[:, 1].max()
    assert seen >= 12 and views == {"front", "three-quarter", "profile"}


@pytest.mark.parametrize("turn", [-1.0, -0.4, 0.7, 1.0])
def test_a_turn_moves_the_features_and_keeps_the_skull(turn):
    warp = Turn(turn, pitch=0.5)
    np.testing.assert_allclose(warp(np.array([0.0, -0.15])), [0.4 * turn, -0.095])
    far = np.sign(turn) * 1.12  # the far side of the skull
    np.testing.assert_allclose(warp(np.array([far, -0.26]))[0], far, atol=1e-9)
    for height in (-0.8, -0.2, 0.17, 0.6):  # what is on the left stays on the left
        x = np.linspace(-1.6, 1.6, 200)
        moved = warp(np.stack([x, np.full(200, height)], axis=1))
        assert (np.diff(moved[:, 0]) > 0).all()


def test_poses_vary():
    poses = [choose_pose(np.random.default_rng(seed)) for seed in range(300)]
    assert {pose.view for pose in poses} == {"front", "three-quarter", "profile"}
    assert {pose.hat for pose in poses} == {*HATS, "none"}
    assert {pose.gesture for pose in poses} == {*GESTURES, "none"}
    assert {pose.veil for pose in poses} == {-1, 0, 1}
    tilts = np.array([pose.tilt for pose in poses])
    assert tilts.min() >= -45 and tilts.max() <= 45
    assert (np.abs(tilts) > 25).sum() > 10


def test_manga_is_grey_and_night_is_darker_than_day():
    pictures = {
        hand: np.stack([draw_character(s, SIZE, hand).image for s in range(6)])
        for hand in ("manga", "dark", "thin")
    }
    assert np.ptp(pictures["manga"], axis=-1).max() == 0
    assert pictures["dark"].mean() < 0.8 * pictures["thin"].mean()


@pytest.mark.parametrize("hand", OTHERS)
def test_a_head_to_paste_is_transparent_around(hand):
    picture, (left, top, right, bottom) = draw_head(4, 40, hand)
    height, width = picture.shape[:2]
    assert picture.shape[-1] == 4 and picture[0, 0, 3] == 0
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    rows, columns = np.s_[int(top) : int(bottom)], np.s_[int(left) : int(right)]
    assert (picture[rows, columns, 3] > 200).mean() > 0.75


@pytest.mark.parametrize("hand", ["cel", "dark", "manga"])
def test_a_crowd_has_faces_of_several_sizes_inside_the_picture(hand):
    crowd = draw_crowd(2, (160, 120), hand, people=(4, 6))
    assert crowd.image.shape == (120, 160, 3)
    assert 3 <= len(crowd.face_boxes) <= 6
    assert (crowd.face_boxes[:, :2] >= 0).all()
    assert (crowd.face_boxes[:, 2:] <= (160, 120)).all()
    wide = crowd.face_boxes[:, 2] - crowd.face_boxes[:, 0]
    assert wide.max() > 1.3 * wide.min() > 0
    again = draw_crowd(2, (160, 120), hand, people=(4, 6))
    np.testing.assert_array_equal(crowd.image, again.image)


def test_an_unknown_hand_and_an_empty_crowd_are_refused():
    for draw in (draw_character, draw_crowd):
        with pytest.raises(UserError, match="cel, thin, painted, dark, manga, chibi"):
            draw(0, SIZE, "oil")
    with pytest.raises(UserError, match="Received: 'oil'"):
        draw_head(0, 32, "oil")
    with pytest.raises(UserError, match="least, greatest"):
        draw_crowd(0, SIZE, people=(4, 2))
    assert choose_hand("cel", np.random.default_rng(0)) == Hand()
