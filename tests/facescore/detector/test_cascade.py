import functools
import http.server
import threading

import cv2
import numpy as np
import pytest

from facescore.boxes import iou_matrix
from facescore.detector import cascade
from facescore.detector.cascade import Cascade, find_cascade
from illustkit.samples import draw_character


@pytest.fixture
def xml(real_data):
    return real_data / "lbpcascade_animeface.xml"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A loopback server that the download goes to; its folder, and what was asked."""
    folder, asked = tmp_path / "site", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/cascade.xml"
        monkeypatch.setattr(cascade, "URL", url)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("FACESCORE_CASCADE", raising=False)
        yield folder / "cascade.xml", asked
        server.shutdown()


def test_the_cascade_is_fetched_once_and_checked(site, xml, tmp_path):
    file, asked = site
    file.write_bytes(xml.read_bytes())
    cached = find_cascade()
    assert cached == tmp_path / "cache" / "illustkit" / "cascade.xml"
    assert cached.read_bytes() == xml.read_bytes()
    assert find_cascade() == cached and len(asked) == 1
    cached.write_bytes(b"damaged")
    assert find_cascade().read_bytes() == xml.read_bytes() and len(asked) == 2
    assert [p.name for p in cached.parent.iterdir()] == ["cascade.xml"]


def test_another_file_is_refused_and_not_kept(site, tmp_path):
    file, _ = site
    file.write_bytes(b"<opencv_storage>another</opencv_storage>")
    with pytest.raises(ValueError, match="another file than the one known"):
        find_cascade()
    file.unlink()
    with pytest.raises(ValueError, match="could not be fetched.*FACESCORE_CASCADE"):
        find_cascade()
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_path_and_the_variable_come_before_the_cache(tmp_path, monkeypatch):
    mine, other = tmp_path / "mine.xml", tmp_path / "other.xml"
    mine.write_text("x")
    other.write_text("x")
    monkeypatch.setenv("FACESCORE_CASCADE", str(other))
    assert find_cascade(mine) == mine and find_cascade() == other
    with pytest.raises(ValueError, match="gone.xml: no such file"):
        find_cascade(tmp_path / "gone.xml")
    with pytest.raises(ValueError, match="mine.xml: is no OpenCV cascade"):
        Cascade(mine)


def test_faces_of_sample_characters(xml):
    image = np.concatenate([draw_character(s).image[:530] for s in (0, 2)], axis=1)
    truth = np.asarray([draw_character(s).face_box for s in (0, 2)], float)
    truth[1, [0, 2]] += 600
    faces = Cascade(xml).detect(image)
    overlap = iou_matrix([face.box for face in faces], truth)
    assert (overlap.max(axis=0) > 0.5).all()
    # The boxes and options of the README, one call further down.
    plain = cv2.CascadeClassifier(str(xml)).detectMultiScale(
        cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)),
        scaleFactor=1.1,
        minNeighbors=5,
        minSize=(24, 24),
    )
    whole = Cascade(xml).detect(image, shrink=1)
    corners = [(x, y, x + w, y + h) for x, y, w, h in plain.tolist()]
    assert sorted(face.box for face in whole) == sorted(corners)
    confidences = [face.confidence for face in whole]
    assert confidences == sorted(confidences, reverse=True)
    assert all(0.5 <= c < 1 for c in confidences)
    assert Cascade(xml).detect(np.zeros((30, 30, 3), np.uint8)) == []
    with pytest.raises(ValueError, match="`scale_factor` must be over 1"):
        Cascade(xml).detect(image, scale_factor=1)


@pytest.mark.parametrize("size", [(1, 1), (200_000, 1), (1, 40_000), (23, 500)])
def test_pictures_too_thin_for_a_face(xml, size):
    assert Cascade(xml).detect(np.zeros((size[1], size[0], 3), np.uint8)) == []


def test_an_opencv_without_cascades_is_named(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(ValueError, match="OpenCV .* has no CascadeClassifier"):
        Cascade()
