import numpy as np
import pytest

from facescore.boxes import Face, iou_matrix
from facescore.detector.folder import detect_folder
from facescore.detector.grid import BINS, grid_cells
from facescore.detector.prediction import (
    Detector,
    as_detector,
    candidates,
    detect_faces,
    load_detector,
)
from facescore.detector.views import (
    View,
    choose_shape,
    fuse,
    is_piece,
    network_shapes,
    plan_views,
    whole,
    windows,
)
from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.samples import draw_character

RED = (255, 0, 0)


class RedSquares:
    """In the place of a network: each cell whose pixel is red gives its red square.

    It knows squares of 16 pixels whose corner has coordinates that 16 divides.
    """

    def predict_on_batch(self, pictures):
        centres, strides = grid_cells(pictures.shape[2:0:-1])
        raw = np.full((len(pictures), len(centres), 4 * BINS + 1), -9.0, "float32")
        for i, picture in enumerate(pictures.astype(int)):
            for c in np.flatnonzero(strides == 8):
                x, y = centres[c].astype(int)
                if picture[y, x, 0] - picture[y, x, 1:].max() < 128:
                    continue
                red = picture[..., 0] - picture[..., 1:].max(axis=-1) > 128
                left, right, top, bottom = x, x, y, y
                while left > 0 and red[y, left - 1]:
                    left -= 1
                while right < red.shape[1] and red[y, right]:
                    right += 1
                while top > 0 and red[top - 1, x]:
                    top -= 1
                while bottom < red.shape[0] and red[bottom, x]:
                    bottom += 1
                raw[i, c, -1] = 3.0
                sides = np.array([x - left, y - top, right - x, bottom - y]) / 8
                for k, side in enumerate(sides):
                    low = int(side)
                    part = np.clip(np.array([1 - side + low, side - low]), 1e-9, 1)
                    logits = np.full(BINS, -40.0)
                    logits[low : low + 2] = np.log(part)[: BINS - low]
                    raw[i, c, k * BINS : (k + 1) * BINS] = logits
        return raw


@pytest.fixture
def detector():
    detector = object.__new__(Detector)
    detector.network = RedSquares()
    return detector


def picture(size, squares):
    image = np.full((size[1], size[0], 3), 180, np.uint8)
    for left, top, right, bottom in squares:
        image[top:bottom, left:right] = RED
    return image


def found(faces):
    return sorted(tuple(np.round(face.box).astype(int).tolist()) for face in faces)


def test_candidates_are_decoded_by_the_loop():
    rng = np.random.default_rng(0)
    raw = rng.normal(0, 1, (21, 65)).astype("float32")
    boxes, scores = candidates(raw, (32, 32), 0.5)
    centres, strides = grid_cells((32, 32))
    rows = [c for c in range(21) if raw[c, -1] >= 0]
    assert len(boxes) == len(rows) > 3
    for row, c in enumerate(rows):
        sides = []
        for logits in raw[c, :-1].reshape(4, BINS).astype("float64"):
            p = np.exp(logits) / np.exp(logits).sum()
            sides.append(strides[c] * (p * np.arange(BINS)).sum())
        expected = np.tile(centres[c], 2) + np.multiply(sides, (-1, -1, 1, 1))
        np.testing.assert_allclose(boxes[row], expected, rtol=1e-5)
        assert scores[row] == pytest.approx(1 / (1 + np.exp(-raw[c, -1])))


def test_faces_come_back_in_pixels_of_the_picture(detector):
    squares = [(10, 20, 50, 60), (70, 10, 110, 50)]
    faces = detector.detect(picture((120, 80), squares), image_size=96)
    np.testing.assert_allclose(found(faces), squares, atol=2)
    assert all(face.confidence == pytest.approx(1 / (1 + np.exp(-3))) for face in faces)
    assert (
        detector.detect(picture((120, 80), squares), image_size=96, confidence=0.96)
        == []
    )
    assert detector.detect(picture((64, 64), []), image_size=64) == []
    # Other sizes are rounded up to what the network takes.
    rounded = detector.detect(picture((120, 80), squares), image_size=70)
    assert rounded == detector.detect(picture((120, 80), squares), image_size=96)
    with pytest.raises(ValueError, match="Received: 0"):
        detector.detect(picture((64, 64), []), image_size=0)


def test_tiles_find_what_is_small_once_each(detector):
    # Too small to be seen whole at 64 pixels; some lie on the rims of the windows.
    squares = [
        (3, 5, 13, 15),
        (90, 100, 101, 111),
        (180, 44, 192, 56),
        (60, 60, 70, 70),
    ]
    large = picture((256, 192), squares)
    assert len(detector.detect(large, image_size=64)) < 4
    faces = detector.detect(large, image_size=64, tile=64)
    np.testing.assert_allclose(found(faces), sorted(squares), atol=1)


def test_windows_cover_the_picture_and_overlap():
    assert windows((100, 50), 128) == windows((100, 50)) == [(0, 0, 100, 50)]
    first, *rest = windows((200, 90), 64)
    assert first == (0, 0, 200, 90)
    sheet = np.zeros((90, 200), int)
    for left, top, right, bottom in rest:
        assert (right - left, bottom - top) == (64, 64)
        sheet[top:bottom, left:right] += 1
    assert sheet.min() >= 1
    lefts = sorted({window[0] for window in rest})
    assert np.diff(lefts).max() <= 48
    with pytest.raises(ValueError, match="tile"):
        windows((200, 90), 8)


def test_a_window_gives_up_what_it_cuts():
    boxes = np.array([(60, 10, 70, 20), (66, 10, 90, 20), (100, 10, 127.5, 20)])
    kept = whole(boxes, (64, 0, 128, 64), (200, 64), 2)
    assert kept.tolist() == [False, True, False]
    assert whole(boxes, (64, 0, 128, 64), (128, 64), 2).tolist() == [False, True, True]


def test_any_detector_can_be_given(tmp_path):
    class Other:
        def detect(self, image):
            return [Face((0, 0, 1, 1))]

    other = Other()
    assert as_detector(other) is other
    assert detect_faces(np.zeros((8, 8, 3), np.uint8), other) == [Face((0, 0, 1, 1))]
    with pytest.raises(ValueError, match="holds no run"):
        load_detector(tmp_path)


def test_what_lies_outside_the_picture_is_no_face(detector, tmp_path):
    class Padding(RedSquares):
        def predict_on_batch(self, pictures):
            raw = super().predict_on_batch(pictures)
            raw[:, 0, -1] = 3.0  # the corner of the letterbox, no pixel of the picture
            raw[:, 0, :-1] = 0.0
            raw[:, 0, : 4 * BINS : BINS] = 40.0  # all four sides at 0
            return raw

    detector.network = Padding()
    image = picture((128, 32), [(40, 8, 64, 24)])
    write_image(tmp_path / "in" / "a.png", image)
    options = {"save_txt": True, "image_size": 128}
    ((_, faces),) = detect_folder(tmp_path / "in", detector, tmp_path / "o", **options)
    np.testing.assert_allclose(found(faces), [(40, 8, 64, 24)], atol=1)


def test_unsure_faces_of_any_detector_are_left_out():
    class Two:
        def detect(self, image):
            return [Face((0, 0, 4, 4), 0.7), Face((4, 4, 8, 8), 0.5)]

    image = np.zeros((8, 8, 3), np.uint8)
    assert len(detect_faces(image, Two())) == 2
    sure = [Face((0, 0, 4, 4), 0.7)]
    assert detect_faces(image, Two(), confidence=0.6) == sure
    assert detect_faces(image, Two(), conf=0.6) == sure  # Ultralytics' name
    for options in ({"imgsz": 64}, {"iou": 0.5}, {"tile": 64}, {"image_size": 640}):
        with pytest.raises(ValueError, match="Only a trained detector has `"):
            detect_faces(image, Two(), **options)
    # A function is a detector too, and without one the picture is the face.
    assert detect_faces(image, lambda image: [(0, 0, 4, 4)]) == [Face((0, 0, 4, 4))]
    assert detect_faces(image, None) == [Face((0, 0, 8, 8))]


def test_broad_and_tall_pictures_are_searched_without_grey_squares():
    shapes = network_shapes(640)
    assert shapes == sorted(set(shapes), key=lambda s: s[0] * s[1])
    assert all(max(s) == 640 and s[0] % 32 == s[1] % 32 == 0 for s in shapes)
    assert choose_shape((640, 360), shapes) == (640, 416)
    assert choose_shape((1401, 992), shapes) == (640, 480)
    assert choose_shape((992, 1401), shapes) == (480, 640)
    assert choose_shape((30, 3000), shapes) == (320, 640)
    assert choose_shape((77, 77), shapes) == (640, 640)


@pytest.mark.parametrize("size", [(192, 64), (40, 96), (64, 64)])
def test_every_shape_gives_boxes_in_pixels_of_the_picture(detector, size):
    square = (10, 12, 30, 32)
    faces = detector.detect(picture(size, [square]), image_size=192)
    np.testing.assert_allclose(found(faces), [square], atol=2)


def test_a_batch_of_many_shapes_keeps_the_order(detector):
    pictures = [picture(s, [(5, 5, 25, 25)]) for s in ((96, 40), (40, 96), (96, 96))]
    pictures = pictures * 4 + [picture((96, 40), [])]
    faces = detector.detect_all(pictures, image_size=96, batch_size=2)
    assert [len(f) for f in faces] == [1] * 12 + [0]
    for one in faces[:12]:
        np.testing.assert_allclose(found(one), [(5, 5, 25, 25)], atol=2)


def test_a_piece_of_a_face_is_no_second_face():
    whole_face, piece = (10, 10, 50, 50), (12, 30, 48, 50)  # 720 of 1600, within
    small = (20, 20, 30, 32)  # 120 of 1600: a face before the other
    beside = (40, 20, 70, 44)  # a quarter of it within
    boxes = np.float64([whole_face, piece, small, beside])
    assert is_piece(boxes).tolist() == [False, True, False, False]
    assert not is_piece(boxes[[1, 0]]).any()  # the better of the two stays
    assert is_piece(boxes[:0]).tolist() == []


def fused_by_loops(boxes, scores, levels, scales, iou, least):
    """The definition, one box after the other."""
    rest = sorted(range(len(boxes)), key=lambda i: -scores[i])
    faces = []
    while rest:
        first, cluster = boxes[rest[0]], []
        for i in rest:
            a, b = first, boxes[i]
            w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
            h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
            areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
            if i == rest[0] or w * h / (sum(areas) - w * h) > iou:
                cluster.append(i)
        best = [
            max((scores[i] for i in cluster if levels[i] == level), default=0)
            for level in range(len(scales))
        ]
        side = ((first[2] - first[0]) * (first[3] - first[1])) ** 0.5
        counted = [
            b for b, s in zip(best, scales, strict=True) if b or 8 <= s * side <= 512
        ]
        confidence = 0.2 * max(best) + 0.8 * sum(counted) / len(counted)
        weights = [scores[i] ** 2 for i in cluster]
        box = [
            sum(w * boxes[i][k] for w, i in zip(weights, cluster, strict=True))
            / sum(weights)
            for k in range(4)
        ]
        if confidence >= least:
            faces.append((confidence, box))
        rest = [i for i in rest if i not in cluster]
    return sorted(faces, reverse=True)


def test_boxes_of_several_levels_are_fused_as_the_loop_fuses_them():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (80, 2))], axis=1)
    scores, levels = rng.uniform(0.05, 1, 80), rng.integers(0, 2, 80)
    for scales, iou, least in (
        ([1], 0.5, 0.2),
        ([1, 1], 0.5, 0.2),
        ([1, 1, 20], 0.3, 0.4),
        ([0.3, 1], 0.5, 0.2),
    ):
        levels_of = levels * (len(scales) > 1)
        ours = fuse(boxes, scores, levels_of, scales, iou=iou, least=least, top=99)
        loop = fused_by_loops(boxes, scores, levels_of, scales, iou, least)
        assert len(loop) > 5
        np.testing.assert_allclose(ours[1], [c for c, _ in loop])
        np.testing.assert_allclose(ours[0], [b for _, b in loop])
    best = fuse(boxes, scores, levels, [1, 1], iou=0.5, least=0.2, top=3)
    assert len(best[0]) == 3
    nothing = fuse(
        *(boxes[:0], scores[:0], levels[:0], [1, 1]), iou=0.5, least=0.2, top=3
    )
    assert nothing[0].shape == (0, 4) and nothing[1].shape == (0,)


def test_a_face_seen_at_both_sizes_is_surer():
    boxes = np.array([(0, 0, 10, 10), (0, 0, 10, 14), (50, 50, 60, 60)], float)
    scores, levels = np.array([0.8, 0.4, 0.8]), np.array([0, 1, 0])
    fused, sure = fuse(boxes, scores, levels, [1, 1], iou=0.5, least=0.1, top=9)
    np.testing.assert_allclose(sure, [0.16 + 0.8 * 0.6, 0.16 + 0.8 * 0.4])
    np.testing.assert_allclose(fused[0], (0, 0, 10, (0.64 * 10 + 0.16 * 14) / 0.8))


def test_a_size_at_which_a_face_cannot_be_seen_says_nothing_of_it():
    boxes = np.array([(0, 0, 600, 600), (700, 0, 710, 10), (700, 50, 740, 90)], float)
    scores, levels = np.array([0.8, 0.8, 0.8]), np.array([0, 1, 1])
    _, sure = fuse(boxes, scores, levels, [0.5, 1.0], iou=0.5, least=0.1, top=9)
    # 600 pixels of the finer size are too many, 5 of the coarser one too few.
    np.testing.assert_allclose(sure, [0.8, 0.8, 0.16 + 0.8 * 0.4])


def test_a_face_that_fills_a_large_picture_is_found():
    character = draw_character(9, (1200, 1700), hand="dark")
    left, top, right, bottom = (int(n) for n in character.face_box)
    margin = (right - left) // 5
    x, y = max(0, left - margin), max(0, top - margin)
    picture = character.image[y : bottom + margin, x : right + margin]
    assert max(picture.shape) > 1200
    (face,) = detect_faces(picture)
    truth = np.array([[left - x, top - y, right - x, bottom - y]], float)
    assert iou_matrix(truth, np.array([face.box]))[0, 0] > 0.7


def test_pictures_are_searched_at_several_sizes_by_themselves():
    assert plan_views((1000, 1400)) == [
        View((0, 0, 1000, 1400), (256, 320), 0),  # the rectangles that fit
        View((0, 0, 1000, 1400), (384, 480), 1),
        View((0, 0, 1000, 1400), (736, 960), 2),
        View((0, 0, 1000, 1400), (1440, 1920), 3),
    ]
    assert plan_views((900, 900)) == [
        View((0, 0, 900, 900), (320, 320), 0),
        View((0, 0, 900, 900), (640, 640), 1),
    ]
    assert [len(plan_views((1000, 1400), None, t)) for t in (None, 1400)] == [1, 1]
    assert plan_views((1000, 1400), tile=None)[0].shape[1] == 640
    assert plan_views((1000, 1400), 640) == plan_views((1000, 1400), tile=None)
    assert plan_views((900, 600))[1].shape == plan_views((900, 600), 640)[0].shape
    assert [len(plan_views((900, 600), None, t)) for t in (None, 900)] == [1, 1]
    assert len(plan_views((900, 600), fixed=(640, 640))) == 1
    # A file of one size takes windows of half the side.
    fixed = plan_views((1000, 1400), fixed=(640, 640))
    assert fixed[0] == View((0, 0, 1000, 1400), (640, 640), 0)
    sides = {(v.window[2] - v.window[0], v.window[3] - v.window[1]) for v in fixed[1:]}
    assert sides == {(700, 700)} and {v.level for v in fixed[1:]} == {1}
    assert {v.shape for v in fixed} == {(640, 640)}


def test_small_faces_of_a_large_picture_are_found_without_an_option(detector):
    squares = [(17, 17, 21, 21), (901, 301, 905, 305)]
    large = picture((960, 480), squares)
    assert len(detector.detect(large, tile=None)) < 2
    np.testing.assert_allclose(found(detector.detect(large)), sorted(squares), atol=1)
    with pytest.raises(UserError, match="auto, None or a number"):
        detect_faces(large, detector, tile="many")
