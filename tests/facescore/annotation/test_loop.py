import numpy as np
import pytest

from facescore.annotation import loop
from facescore.annotation.store import Annotations
from facescore.boxes import Face
from facescore.detector import prediction, training
from facescore.labels import label_path, read_labels, write_labels
from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.training.runs import Run

SIZE = 40, 30


@pytest.fixture
def folder(tmp_path):
    for name in ("1.png", "2.png", "10.png", "deep/3.png"):
        write_image(tmp_path / "in" / name, np.full((30, 40, 3), 200, np.uint8))
    return tmp_path / "in"


class FakeCascade:
    """Finds one face wherever it looks, and remembers how often it has looked."""

    looked = 0

    def __init__(self, path=None):
        self.path = path

    def detect(self, image, *, shrink, **options):
        type(self).looked += 1
        side = 20 * shrink
        return [Face((2.0, 2.0, 2 + side, 2 + side), 0.5)]


@pytest.fixture
def cascade(tmp_path, monkeypatch):
    xml = tmp_path / "cascade.xml"
    xml.write_text("xml")
    fake = type("Fake", (FakeCascade,), {"looked": 0})
    monkeypatch.setattr(loop, "Cascade", lambda path: fake(xml))
    return fake


def quiet_start(folder, **options):
    return loop.start(folder, detector="cascade", progress=False, **options)


def test_start_asks_the_detector_of_the_package_and_resumes(folder, monkeypatch):
    looked = []

    class Finds:
        detect = None

        def detect_all(self, images, **options):
            looked.append(options["confidence"])
            return [[Face((1.0, 1.0, 9.0, 9.0), 0.8)] for _ in images]

    def found(name):
        assert name == "default"
        return Finds()

    monkeypatch.setattr(loop, "as_detector", found)
    options = {"progress": False, "confidence": 0.4, "limit": 2}
    assert loop.start(folder, **options).faces == 2
    assert loop.start(folder, **options).already == 2 and looked == [0.4, 0.4]
    state, faces, _ = Annotations(folder).load(folder / "1.png")
    assert state == "suggested" and faces[0].confidence == pytest.approx(0.8)
    with pytest.raises(UserError, match="detector='cascade'"):
        loop.start(folder, shrink=0.7)


def test_start_suggests_in_the_first_pictures_and_resumes(folder, cascade):
    (folder / "2.png").write_text("broken")
    write_labels(folder / "1.txt", [(0, 0, 9, 9)], SIZE)
    before = (folder / "1.txt").read_bytes()
    report = quiet_start(folder, limit=3)
    assert (report.pictures, report.faces, report.already) == (1, 1, 1)
    assert [path.name for path, _ in report.left_out] == ["2.png"]
    assert "1 faces in 1 of 1 pictures (100%); 1 were done before, 1" in str(report)
    assert (folder / "1.txt").read_bytes() == before
    assert list(folder.glob("**/[0-9]*.txt")) == [folder / "1.txt"] + [
        *folder.glob(".facescore/suggestions/*/10.txt")
    ]
    annotations = Annotations(folder)
    state, faces, _ = annotations.load(folder / "10.png")
    assert state == "suggested" and len(faces) == 1
    assert np.allclose(faces[0].box, (2, 2, 19, 19), atol=1e-3)  # 20 · 0.85 = 17
    assert annotations.accepted() == [folder / "1.png"]
    assert quiet_start(folder, limit=3).already == 2 and cascade.looked == 1
    # Other options are another labelling, whose suggestions count.
    assert quiet_start(folder, limit=3, shrink=1.0).pictures == 1
    faces = Annotations(folder).load(folder / "10.png").faces
    assert np.allclose(faces[0].box, (2, 2, 22, 22), atol=1e-3)
    with pytest.raises(ValueError, match="`limit` must be a whole number"):
        quiet_start(folder, limit=0)


def test_states_follow_what_a_person_does(folder, cascade):
    quiet_start(folder, limit=2)
    assert loop.count_states(folder) == {
        **{"new": 2, "suggested": 2, "draft": 0},
        **{"accepted": 0, "problem": 0, "skipped": 0, "unsure": 0},
    }
    annotations, image = Annotations(folder), folder / "1.png"
    assert annotations.summary(image) == ("suggested", 0.5)
    annotations.save(
        image, [Face((1, 1, 9, 9), 0.75), Face((5, 5, 9, 9))], accept=False
    )
    assert annotations.summary(image) == ("draft", 0.75)
    assert not label_path(image).exists()
    annotations.save(image, [Face((1, 1, 9, 9), 0.75)], accept=True)
    assert annotations.load(image).state == "accepted"
    assert not list(folder.glob(".facescore/drafts/*"))
    assert label_path(image).read_text().split()[1:] == [
        *("0.12500000", "0.16666667"),
        *("0.20000000", "0.26666667"),
    ]
    annotations.save(image, [], accept=True)  # no face
    assert label_path(image).read_bytes() == b""
    assert annotations.load(image) == ("accepted", [], "")
    annotations.save(image, [Face((1, 1, 9, 9))], accept=False)  # taken back
    assert not label_path(image).exists()
    assert annotations.summary(image) == ("draft", 1.0)
    assert annotations.load(folder / "deep/3.png") == ("new", [], "")


def test_files_of_other_tools_are_suggestions_or_problems_and_are_kept(folder):
    annotations = Annotations(folder)
    foreign, wrong = folder / "1.txt", folder / "2.txt"
    write_labels(foreign, [(1, 1, 9, 9)], SIZE, [0.25])
    wrong.write_text("3 0.5 0.5 0.1 0.1\n")
    assert annotations.load(folder / "1.png")[:1] == ("suggested",)
    assert annotations.summary(folder / "1.png") == ("suggested", 0.25)
    state, faces, message = annotations.load(folder / "2.png")
    assert (state, faces) == ("problem", []) and "2.txt, line 1: class 3" in message
    with pytest.raises(ValueError, match="2.txt, line 1: class 3"):
        loop.train(folder, folder / "run")
    kept = {path.name: path.read_bytes() for path in (foreign, wrong)}
    annotations.save(folder / "1.png", [], accept=True)
    annotations.save(folder / "2.png", [], accept=False)
    for name, data in kept.items():
        assert (folder / ".facescore/replaced" / name).read_bytes() == data
    assert annotations.summary(folder / "2.png")[0] == "draft"


def test_two_pictures_of_one_label_file_are_refused(folder):
    write_image(folder / "2.jpg", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="would share its labels with 2.jpg"):
        Annotations(folder)


def test_train_takes_what_is_accepted_and_knows_its_labels(
    folder, tmp_path, monkeypatch
):
    calls = []

    def fake(images, run, *, root, callbacks, **settings):
        assert root == folder
        if settings["epochs"] < 1:
            raise ValueError("refused")
        for callback in callbacks:
            callback.on_train_begin(None)
        calls.append((images, settings))
        return Run.start(run, settings)

    monkeypatch.setattr(training, "train_detector", fake)
    run = tmp_path / "run"
    with pytest.raises(ValueError, match="no picture is accepted yet"):
        loop.train(folder, run)
    write_labels(folder / "1.txt", [(1, 1, 9, 9)], SIZE)
    write_labels(folder / "deep/3.txt", [], SIZE)
    write_labels(folder / "2.txt", [(1, 1, 9, 9)], SIZE, [0.9])  # a prediction
    with pytest.raises(ValueError, match="refused"):
        loop.train(folder, run, epochs=0)
    assert not run.exists()  # nothing of it is left where another run may stand
    loop.train(folder, run, epochs=2)
    assert calls == [([folder / "1.png", folder / "deep/3.png"], {"epochs": 2})]
    loop.train(folder, run, epochs=2)  # resumes
    (run / "history.csv").write_text("epoch,loss\n0,1.0\n")
    write_labels(folder / "10.txt", [], SIZE)
    with pytest.raises(ValueError, match="on other labels; now 3 pictures"):
        loop.train(folder, run, epochs=2)
    loop.train(folder, tmp_path / "second", epochs=2)
    assert len(calls) == 3


def test_label_leaves_a_persons_work_alone_and_resumes(
    folder, tmp_path, monkeypatch, cascade
):
    run = Run.start(tmp_path / "run", {})
    run.weights_path.write_bytes(b"weights")
    seen = []

    def detect(image, detector, *, confidence, **options):
        seen.append(confidence)
        if len(seen) == 2:
            raise KeyboardInterrupt
        beyond = Face((-9.0, 3.0, 0.0, 12.0), 0.5)  # as an untrained one may give
        return [Face((3.0, 3.0, 12.0, 12.0), 0.9), beyond]

    monkeypatch.setattr(prediction, "load_detector", lambda run, **options: "detector")
    monkeypatch.setattr(prediction, "detect_faces", detect)
    quiet_start(folder)
    annotations = Annotations(folder)
    annotations.save(folder / "1.png", [Face((1, 1, 9, 9))], accept=True)
    annotations.save(folder / "2.png", [Face((1, 1, 8, 8))], accept=False)
    with pytest.raises(KeyboardInterrupt):
        loop.label(folder, run.folder, conf=0.4, progress=False)
    assert annotations.summary(folder / "10.png") == ("suggested", 0.5)  # the cascade's
    report = loop.label(folder, run.folder, conf=0.4, progress=False)
    assert (report.pictures, report.already) == (2, 2) and len(seen) == 4
    assert set(seen) == {0.4}
    assert annotations.summary(folder / "10.png") == ("suggested", 0.9)
    assert annotations.load(folder / "2.png").state == "draft"
    assert np.allclose(read_labels(folder / "1.txt", SIZE), [(1, 1, 9, 9)], atol=1e-3)
    sources = list((folder / ".facescore/suggestions").iterdir())
    assert [s.name.split("-")[1] for s in sources] == ["detector"]
    # A cascade that starts again later does not hide the detector's.
    quiet_start(folder)
    assert annotations.summary(folder / "10.png") == ("suggested", 0.9)
    run.weights_path.write_bytes(b"better weights")
    assert loop.label(folder, run.folder, progress=False).pictures == 3


def test_a_picture_that_is_taken_out_or_unsure_is_neither_asked_about_nor_learnt(
    folder,
):
    annotations, image = Annotations(folder), folder / "1.png"
    face = Face((1, 1, 9, 9), 0.75)
    annotations.save(image, [face], accept=True)
    for state in ("skipped", "unsure"):
        annotations.save(image, [face], accept=False, aside=state)
        assert annotations.summary(image) == (state, 0.75)
        assert annotations.load(image).state == state
        assert len(annotations.load(image).faces) == 1
        assert annotations.accepted() == [] and not label_path(image).exists()
    with pytest.raises(ValueError, match="is skipped or unsure"):
        annotations.save(image, [face], accept=True, aside="skipped")
    annotations.save(image, [face], accept=False)  # taken back
    assert annotations.summary(image)[0] == "draft"
    annotations.save(image, [face], accept=False, aside="skipped")
    annotations.forget(image)
    assert annotations.summary(image)[0] == "new"


def test_faces_of_one_class_are_reviewed_and_the_lines_of_others_stay(folder):
    label, image = folder / "1.txt", folder / "1.png"
    others = "0 0.5 0.5 0.1 0.1"
    label.write_text(f"{others}\n2 0.5 0.5 0.5 0.5\n")
    assert Annotations(folder).summary(image)[0] == "problem"
    annotations = Annotations(folder, face_class=2)
    state, (face,), _ = annotations.load(image)
    assert state == "accepted"
    annotations.save(image, [face], accept=False)  # taken back: no face is accepted
    assert label.read_text() == f"{others}\n"
    assert annotations.summary(image)[0] == "draft" and not annotations.accepted()
    annotations.save(image, [face], accept=True)
    assert [line.split()[0] for line in label.read_text().splitlines()] == ["2", "0"]
    assert annotations.accepted() == [image]
    assert loop.count_states(folder, face_class=2)["accepted"] == 1
    annotations.forget(image)
    assert label.read_text() == f"{others}\n"
