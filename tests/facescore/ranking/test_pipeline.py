import os
from types import SimpleNamespace

import numpy as np
import pytest

from facescore.detector.engines import EngineNetwork
from facescore.detector.prediction import Detector
from facescore.detector.pretrained import read_shipped
from facescore.ranking.pipeline import fingerprint
from illustkit.images import read_image, write_image
from tests.facescore.rankings import (
    Scorer,
    find_bright,
    make_folder,
    picture,
    run,
)


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


def test_interrupted_and_resumed(folder, monkeypatch):
    monkeypatch.setattr("facescore.ranking.pipeline._BATCH", 2)
    whole = run(folder, output=folder.parent / "whole")
    seen = []

    def interrupted(image):
        seen.append(image)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return find_bright(image)

    interrupted.__qualname__ = find_bright.__qualname__  # one detector, to the journal
    with pytest.raises(KeyboardInterrupt):
        run(folder, detector=interrupted)
    journal = folder.parent / "ranking" / "ranking.jsonl"
    done = journal.read_bytes().splitlines()[1:]
    assert len(done) == 4  # two batches
    # A kill in the middle of a line.
    with open(journal, "ab") as file:
        file.write(b'{"file":"two.png","fac')
    again = run(folder)
    assert again.done == 3 and again.pictures == whole.pictures  # two, and the broken
    assert run(folder).done == 2

    # A picture that changed, one that is new, one that went.
    write_image(folder / "low.png", picture(255, 255))
    os.utime(folder / "low.png", ns=(1, 1))
    write_image(folder / "new.png", picture(0, 30))
    (folder / "two.png").unlink()
    again = run(folder)
    assert again.done == 4
    names = [p.file for p in again.pictures]
    assert names[:3] == ["low.png", "sub/high.png", "new.png"] and len(names) == 6

    class Other(Scorer):
        pass

    with pytest.raises(ValueError, match="another scorer"):
        run(folder, scorer=Other())
    assert run(folder, scorer=Other(), resume=False).done == 6
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"nonsense\n" + lines[1])
    with pytest.raises(ValueError, match="line 2: is no record"):
        run(folder, scorer=Other())


def test_memory_holds_a_few_pictures_only(tmp_path):
    """What is alive at a time does not depend on how many there are."""
    import gc
    import weakref

    for n in range(60):
        write_image(tmp_path / "pictures" / f"{n}.png", picture(4 * n, 0))
    alive, most = weakref.WeakSet(), []

    class Held(Scorer):
        def predict_scores(self, crops):
            gc.collect()
            most.append(sum(1 for _ in alive))
            return super().predict_scores(crops)

    class Marked(np.ndarray):  # plain arrays take no weak references in a set
        __hash__ = object.__hash__

    from facescore.ranking import pipeline

    def read(path):
        image = read_image(path).view(Marked)
        alive.add(image)
        return image

    gc.collect()
    gc.freeze()  # what came before, all of Keras, is not looked through eight times
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "read_image", read)
            ranking = run(tmp_path / "pictures", scorer=Held())
    finally:
        gc.unfreeze()
    assert ranking.done == 60 and len(most) == 8
    assert 1 <= max(most) <= 2 * 8 + 2


def test_other_weights_of_an_engine_or_a_file_have_another_fingerprint(tmp_path):
    """A ranking must not go on with what another network has found."""
    settings, arrays = read_shipped()
    changed = {**arrays, min(arrays): arrays[min(arrays)] + 1}
    detectors = [
        Detector(EngineNetwork(settings, each, "opencv")) for each in (arrays, changed)
    ]
    prints = [fingerprint(detector) for detector in detectors]
    assert prints[0] != prints[1]
    again = Detector(EngineNetwork(settings, dict(arrays), "opencv"))
    assert fingerprint(again) == prints[0]

    class Opened:
        """As a scorer that was opened from a file."""

        def __init__(self, path):
            self.network = SimpleNamespace(path=path)

    for i in range(2):
        (tmp_path / f"{i}.onnx").write_bytes(bytes([i]))
    files = [fingerprint(Opened(tmp_path / f"{i}.onnx")) for i in (0, 1, 0)]
    assert files[0] == files[2] != files[1]
