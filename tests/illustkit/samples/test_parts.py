"""Lines and parts lie where the illustrator draws the character."""

import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.samples import HANDS, PARTS, draw_character, draw_lines, draw_parts

SIZE = 120, 168


@pytest.mark.parametrize("hand", ["cel", "chibi"])
def test_lines_are_where_the_picture_has_its_dark_outlines(hand):
    lines = draw_lines(5, SIZE, hand)
    picture = draw_character(5, SIZE, hand).image
    assert lines.shape == SIZE[::-1] and lines.dtype == np.uint8
    drawn = lines < 64
    assert 0.02 < drawn.mean() < 0.3 and (lines == 255).mean() > 0.5
    # Outlines are the darkest of the character; all of it is darker on a line.
    inside = draw_parts(5, SIZE, hand) > 0
    grey = picture.mean(axis=2)
    assert grey[drawn].mean() < 0.6 * grey[inside & ~drawn].mean()


def test_hair_and_clothes_have_the_colours_that_the_character_is_said_to_have():
    """Seed 3 has blue hair; seed 7 is read back by its box of the garment."""
    picture, parts = draw_character(3, SIZE).image, draw_parts(3, SIZE)
    assert draw_character(3, SIZE).attributes["hair_colour"] == "blue"
    hair = picture[parts == PARTS.index("hair")].astype(int)
    assert np.median(hair[:, 2] - hair[:, 0]) > 40
    left, top, right, bottom = draw_character(7, SIZE).garment_box
    garment = draw_parts(7, SIZE)[top:bottom, left:right]
    assert (garment == PARTS.index("clothes")).mean() > 0.4
    left, top, right, bottom = draw_character(7, SIZE).face_box
    face = draw_parts(7, SIZE)[(top + bottom) // 2 : bottom, left:right]
    assert (face == PARTS.index("skin")).mean() > 0.5


def test_where_nothing_is_drawn_the_parts_are_background():
    """The lines' sheet is blank paper there, but for the rim of an outline."""
    for hand in HANDS:
        parts, lines = draw_parts(11, SIZE, hand), draw_lines(11, SIZE, hand)
        assert set(np.unique(parts)) <= set(range(len(PARTS)))
        assert 0.15 < (parts > 0).mean() <= 1
        assert (lines[parts == 0] > 128).mean() > 0.97 or not (parts == 0).any()


def test_the_same_seed_gives_the_same_lines_and_wrong_sizes_are_told():
    np.testing.assert_array_equal(draw_lines(2, (64, 64)), draw_lines(2, (64, 64)))
    for draw in (draw_lines, draw_parts):
        with pytest.raises(UserError, match="16 pixels"):
            draw(2, (8, 64))
        with pytest.raises(UserError, match="hand"):
            draw(2, (64, 64), "crayon")
