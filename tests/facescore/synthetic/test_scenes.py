import numpy as np
import pytest

from facescore.labels import read_labels
from facescore.synthetic.scenes import _Scene, cut_out, draw_scene, write_scenes
from illustkit.errors import UserError
from illustkit.images import read_image, write_image

PURPLE = (150, 0, 200)


def block():
    """A face for the tests: a purple square with a rim of nothing."""
    picture = np.zeros((60, 60, 4), np.uint8)
    picture[10:50, 10:50] = (*PURPLE, 255)
    return picture


def test_the_same_seed_gives_the_same_scene():
    one, boxes = draw_scene(3, size=(96, 64), face_size=(16, 40))
    again, boxes_again = draw_scene(3, size=(96, 64), face_size=(16, 40))
    other, _ = draw_scene(4, size=(96, 64), face_size=(16, 40))
    assert one.shape == (64, 96, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(boxes, boxes_again)
    assert (one != other).any()


def test_boxes_are_inside_and_of_the_sizes_asked_for():
    sides, counts = [], []
    for seed in range(6):
        _, boxes = draw_scene(seed, size=(128, 128), n_faces=(2, 4), face_size=(16, 48))
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= 128).all()
        sides += (boxes[:, 2:] - boxes[:, :2]).max(axis=1).tolist()
        counts.append(len(boxes))
    assert 1 <= min(counts) and max(counts) <= 4
    assert max(sides) < 48 * 1.3 and min(sides) > 0.5 * 16  # tilted; half outside
    assert len(draw_scene(0, size=(64, 64), n_faces=(0, 0))[1]) == 0


def test_boxes_fit_the_pixels():
    alone = 0
    for seed in range(20):
        image, boxes = draw_scene(
            seed, size=(96, 96), n_faces=(1, 1), face_size=(20, 60), faces=[block()]
        )
        purple = np.abs(image.astype(int) - PURPLE).max(axis=-1) < 30
        left, top, right, bottom = boxes[0].round().astype(int)
        share = purple[top:bottom, left:right].mean()
        assert share > 0.35  # half is asked for, of a square that may be turned
        if share > 0.78 and boxes.min() > 2 and boxes.max() < 94:
            rows, columns = np.nonzero(purple)
            middle = [(columns.min() + columns.max() + 1) / 2]
            middle.append((rows.min() + rows.max() + 1) / 2)
            expected = (boxes[0, :2] + boxes[0, 2:]) / 2
            np.testing.assert_allclose(middle, expected, atol=1.5)
            alone += 1
    assert alone >= 5


def test_what_hides_more_than_half_of_a_face_is_not_pasted():
    class Middle:
        """Puts a face in the middle of its range, well inside."""

        choice = staticmethod(lambda values, p: values[0])
        uniform = staticmethod(lambda low, high: (low + high) / 2)

    scene = _Scene(np.zeros((100, 100, 3), np.uint8))
    assert scene.paste_face(Middle, block(), (10, 10, 50, 50))
    np.testing.assert_array_equal(scene.boxes, [(30, 30, 70, 70)])
    bar = np.full((100, 10, 4), 255, np.uint8)
    assert scene.paste(bar, (30, 0)) and scene.paste(bar, (40, 0))  # a half is left
    before = scene.image.copy()
    assert not scene.paste(bar, (55, 0))
    np.testing.assert_array_equal(scene.image, before)
    assert scene.paste(bar, (35, 0))  # hides nothing that is still seen
    assert not scene.paste_face(Middle, block(), (10, 10, 50, 50))
    assert not scene.paste(bar, (200, 0))


def test_cut_out_takes_the_white_that_touches_the_rim():
    image = np.full((20, 20, 3), 255, np.uint8)
    image[5:15, 5:15] = (10, 20, 30)
    image[8:12, 8:12] = 255  # white inside, as eyes are
    alpha = cut_out(image)[..., 3]
    assert alpha[0, 0] == 0 and alpha[10, 10] == 255 and alpha[7, 7] == 255
    rgba = block()
    assert cut_out(rgba) is rgba


def test_written_scenes_read_back(tmp_path):
    write_image(tmp_path / "ground.png", np.full((50, 40, 3), (0, 90, 0), np.uint8))
    options = {"size": (64, 48), "face_size": (12, 24)}
    options["backgrounds"] = [tmp_path / "ground.png"]
    paths = write_scenes(tmp_path / "scenes", 2, seed=1, **options)
    image, boxes = draw_scene(1_000_004, **options)
    np.testing.assert_array_equal(read_image(paths[1]), image)
    read = read_labels(paths[1].with_suffix(".txt"), (64, 48))
    np.testing.assert_allclose(read, boxes, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (8, 99)}, "16 pixels"),
        ({"face_size": (9, 3)}, "face_size"),
        ({"n_faces": (3, 1)}, "n_faces"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        draw_scene(0, **options)


def test_scenes_by_other_hands_and_crowds_have_their_faces():
    options = {"size": (96, 72), "face_size": (16, 40), "n_faces": (1, 2)}
    plain, boxes = draw_scene(3, **options)
    named, same = draw_scene(3, **options, hands=("cel",))
    np.testing.assert_array_equal(plain, named)
    np.testing.assert_array_equal(boxes, same)
    grey, boxes = draw_scene(3, **options, hands=("manga",))
    heads = [grey[int(t) : int(b), int(x) : int(y)] for x, t, y, b in boxes]
    assert heads and all(np.ptp(head, axis=-1).max() < 12 for head in heads)
    crowd, faces = draw_scene(3, size=(96, 72), hands=("thin",), crowds=1.0)
    assert crowd.shape == (72, 96, 3) and len(faces) > 2
    assert (faces[:, :2] >= 0).all() and (faces[:, 2:] <= (96, 72)).all()


def test_a_scene_by_an_unknown_hand_is_refused():
    with pytest.raises(UserError, match="cel, thin, .*Received"):
        draw_scene(0, size=(32, 32), hands=("cel", "oil"))
    with pytest.raises(UserError, match="Received: \\(\\)"):
        draw_scene(0, size=(32, 32), hands=())
