import cv2
import numpy as np
import pytest

from illustkit.images import ImageError
from illustkit.samples import draw_character, draw_face_icon
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region
from oppai.detection import mosaic as mosaic_finder
from oppai.detection.find_censored import find_censored
from oppai.detection.mosaic import find_mosaics

SIZE = 300, 424
BOX = 85, 140, 225, 300


@pytest.fixture(scope="module")
def character():
    return draw_character(3, SIZE).image


def hole_of(box=BOX, size=SIZE):
    left, top, right, bottom = box
    hole = np.zeros(size[::-1], bool)
    hole[top:bottom, left:right] = True
    return hole


def mosaic_of(picture, block, origin):
    out = picture.copy()
    for y in range(origin[1] % block[1] - block[1], len(out), block[1]):
        for x in range(origin[0] % block[0] - block[0], out.shape[1], block[0]):
            cell = out[max(y, 0) : y + block[1], max(x, 0) : x + block[0]]
            if cell.size:
                cell[:] = np.rint(cell.mean((0, 1)))
    return out


def put(picture, filling, hole):
    return np.where(hole[..., None], filling, picture).astype(np.uint8)


def through_jpeg(picture, quality):
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("quality", [None, 75])
@pytest.mark.parametrize(
    "block, origin", [((6, 6), (1, 4)), ((10, 13), (7, 2)), ((20, 20), (5, 11))]
)
def test_a_mosaic_and_its_grid_are_found(character, block, origin, quality):
    hole = hole_of()
    censored = put(character, mosaic_of(character, block, origin=origin), hole)
    censored = censored if quality is None else through_jpeg(censored, quality)
    found = find_censored(censored)
    (region,) = found.regions
    assert region.kind == "mosaic" and 0.5 < region.confidence <= 1
    assert region.grid == Grid(block, origin)
    assert iou(found.mask == 255, hole) > 0.9


def test_an_ellipse_with_a_soft_rim_is_found(character):
    share = np.zeros(SIZE[::-1], np.float32)
    cv2.ellipse(share, (150, 220), (80, 100), 0, 0, 360, 1, cv2.FILLED)
    soft = cv2.GaussianBlur(share, (0, 0), 2)[..., None]
    mosaic = mosaic_of(character, (8, 8), origin=(3, 3))
    censored = np.rint(character * (1 - soft) + mosaic * soft).astype(np.uint8)
    found = find_censored(censored)
    assert found.regions[0].grid == Grid((8, 8), (3, 3))
    assert iou(found.mask == 255, share > 0.5) > 0.7


def test_two_mosaics_are_two_regions_and_make_up_the_mask(character):
    boxes = (100, 40, 190, 130), (90, 230, 230, 360)
    censored = character.copy()
    for box, block in zip(boxes, (7, 12), strict=True):
        mosaic = mosaic_of(character, (block, block), origin=box[:2])
        censored = put(censored, mosaic, hole_of(box))
    before = censored.copy()
    found = find_censored(censored)
    assert {region.grid.block for region in found.regions} == {(7.0, 7.0), (12.0, 12.0)}
    hole = np.zeros(SIZE[::-1], int)
    for region in found.regions:
        left, top, right, bottom = region.box
        assert region.mask.shape == (bottom - top, right - left)
        assert region.mask[[0, -1]].any(1).all()
        assert region.mask[:, [0, -1]].any(0).all()
        hole[top:bottom, left:right] += region.mask
    np.testing.assert_array_equal(found.mask, np.where(hole, 255, 0))
    assert hole.max() == 1 and found.mask.dtype == np.uint8
    np.testing.assert_array_equal(censored, before)


@pytest.mark.parametrize("kind", ["white", "black", "light"])
def test_plain_censors_upon_detail_are_found(kind):
    # Stripes: lines end on every side of the censor.
    y, x = np.mgrid[:240, :240]
    picture = np.where(((x + y) // 9 % 2)[..., None], (60, 110, 90), (190, 160, 120))
    share = hole_of((70, 80, 180, 150), (240, 240)).astype(np.float32)[..., None]
    if kind == "light":
        share = cv2.GaussianBlur(share, (0, 0), 4)[..., None]
    colour = 0 if kind == "black" else 255
    censored = np.rint(picture * (1 - share) + colour * share).astype(np.uint8)
    found = find_censored(censored)
    (region,) = found.regions
    assert region.kind == kind and region.grid is None
    least = 0.8 if kind == "light" else 0.85
    assert iou(found.mask == 255, share[..., 0] > 0.5) > least


def clean_pictures():
    for seed in range(4):
        yield f"character {seed}", draw_character(seed, SIZE).image
        yield f"icon {seed}", draw_face_icon(seed)
    yield "JPEG", through_jpeg(draw_character(1, SIZE).image, 12)
    board = np.indices((20, 20)).sum(0) % 2 * 200
    yield "checkerboard", board.repeat(12, 0).repeat(12, 1)[..., None].repeat(3, 2)
    yield "pixel art", draw_face_icon(1, size=40).repeat(8, 0).repeat(8, 1)
    yield "noise", np.random.default_rng(0).integers(0, 256, (200, 200, 3))
    yield "white", np.full((200, 200, 3), 255)
    page = np.full((200, 200, 3), 120)
    page[50:150, 40:160] = 255  # a plain rectangle upon one colour is no censor
    yield "page", page


def test_nothing_is_found_in_clean_pictures():
    pictures = ((name, picture.astype(np.uint8)) for name, picture in clean_pictures())
    found = {name: find_censored(picture) for name, picture in pictures}
    assert {name for name, f in found.items() if f.regions} == set()
    assert all((f.mask == 0).all() for f in found.values())


def draw_window(size=(118, 113)):
    """A black frame around a shaded pane, on a shaded wall."""
    down, across = np.indices(size[::-1])[..., None]
    wall = (1 - down / 400) * (225, 180, 225)
    pane = np.array((225, 215, 190)) - (down + across - 92) / 60 * (125, 125, 20)
    wall[40:73, 40:78] = 0
    wall[45:68, 45:73] = pane[45:68, 45:73].clip(0, 255)
    return cv2.GaussianBlur(wall.astype(np.uint8), (0, 0), 0.4)


def test_a_frame_around_shading_is_no_mosaic(monkeypatch):
    assert find_mosaics(draw_window()) == []
    # Its lines alone would make it one.
    monkeypatch.setattr(mosaic_finder, "_doubt", lambda grey, regions: 0.0)
    assert len(find_mosaics(draw_window())) == 1


def test_marked_crops_may_show_nothing_but_a_mosaic():
    pixels = draw_face_icon(1, size=40).repeat(8, 0).repeat(8, 1)
    assert {region.grid for region in find_mosaics(pixels)} == {Grid((8, 8))}
    assert not find_censored(pixels).regions


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (2, 3000), (3000, 30), (11, 11)])
def test_odd_sizes_are_searched(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert find_censored(picture).mask.shape == size


def test_a_mosaic_of_any_blocks_fills_its_box():
    levels = np.random.default_rng(0).permutation(144).reshape(12, 12)
    grey = levels.repeat(10, 0).repeat(10, 1).astype(np.uint8)
    for fraction, confidence in ((1.0, 0.5), (0.1, 0.0)):
        mask = np.arange(120)[:, None] < 120 * fraction
        grid = Grid((10.0, 10.0))
        region = Region((0, 0, 120, 120), mask.repeat(120, 1), "mosaic", grid, 0.5)
        checked = mosaic_finder._checked(grey, region, 0.0).confidence
        assert checked > confidence if confidence else checked == 0


def test_a_blended_mosaic_is_whole_where_a_part_of_it_looks_opaque():
    picture = draw_character(67_771, (300, 424)).image
    part = picture[4:142, 70:177]
    small = cv2.resize(part, (8, 10), interpolation=cv2.INTER_AREA)
    mosaic = cv2.resize(small, (107, 138), interpolation=cv2.INTER_NEAREST)
    picture[4:142, 70:177] = cv2.addWeighted(part, 0.5, mosaic, 0.5, 0)
    (region,) = find_mosaics(picture)
    assert region.opacity == pytest.approx(0.5, abs=0.01)
    assert region.grid.block == pytest.approx((107 / 8, 13.8), rel=0.01)


def test_bad_pictures_are_told_in_one_line(tmp_path):
    for bad in (tmp_path / "none.png", np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ImageError) as error:
            find_censored(bad)
        assert "\n" not in str(error.value)


def test_strips_find_what_the_whole_finds(character, monkeypatch):
    mosaic = mosaic_of(character, (5, 5), origin=(2, 3))
    censored = put(character, mosaic, hole_of((40, 60, 260, 380)))
    whole = find_censored(censored)
    monkeypatch.setattr(mosaic_finder, "_STRIP", 900)
    strips = find_censored(censored)
    assert iou(whole.mask == 255, strips.mask == 255) > 0.97


@pytest.mark.parametrize("scale, way", [(0.8, cv2.INTER_AREA), (1.6, cv2.INTER_CUBIC)])
def test_a_mosaic_is_found_after_the_picture_was_resized(character, scale, way):
    hole = hole_of()
    censored = put(character, mosaic_of(character, (10, 10), origin=(5, 0)), hole)
    resized = cv2.resize(censored, None, fx=scale, fy=scale, interpolation=way)
    (region,) = find_mosaics(resized)
    assert region.grid.block == pytest.approx((10 * scale, 10 * scale), rel=0.01)


def test_what_is_found_at_half_the_size_lies_in_the_picture(character, monkeypatch):
    """Where nothing is found at its own size, never over nearly all, nor a JPEG's."""
    small = Region((10, 12, 40, 30), np.ones((18, 30), bool), "mosaic", Grid((5, 4)))
    most = Region((0, 0, 150, 150), np.ones((150, 150), bool), "mosaic", Grid((5, 4)))
    flat = Region((60, 40, 90, 58), np.ones((18, 30), bool), "mosaic", Grid((9, 3)))
    jpeg = Grid((4, 8), (0, 20))  # of 8×16 pixels, from multiples of 8
    jpeg = Region((60, 60, 90, 78), np.ones((18, 30), bool), "mosaic", jpeg)
    sizes = []

    def find(picture, least, marked):
        sizes.append(picture.shape[:2])
        return [] if len(sizes) == 1 else [small, most, flat, jpeg]

    monkeypatch.setattr(mosaic_finder, "_find_at_its_size", find)
    (region,) = find_mosaics(character[:, :299])
    assert sizes == [(424, 299), (212, 149)]
    assert region.box == (20, 24, 80, 60)
    assert region.mask.shape == (36, 60) and region.mask.all()
    assert region.grid == Grid((10, 8))
