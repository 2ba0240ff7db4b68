"""Processes of Ray restore what one process does; most is skipped without it."""

from pathlib import Path

import numpy as np
import pytest

from illustkit.images import read_image, write_image
from illustkit.samples import draw_character
from oppai.inference.files import SHARDS, restore_files


def test_what_is_opened_cannot_be_spread(tmp_path):
    write_image(tmp_path / "a.png", draw_character(0, (64, 64)).image)
    with pytest.raises(ValueError, match="opens the restorer in each process"):
        restore_files(tmp_path / "a.png", restorer=object(), engine="ray")


@pytest.mark.large  # Ray alone takes 25 s of processor time to start and end
def test_the_same_files_and_words_as_one_process(tmp_path, monkeypatch):
    pytest.importorskip("ray.data", reason="needs Ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        image = draw_character(i, (320, 320)).image
        if i:
            blocks = image[80:240, 80:240].reshape(20, 8, 20, 8, 3).mean((1, 3))
            image[80:240, 80:240] = np.kron(blocks.round(), np.ones((8, 8, 1)))
        write_image(Path("in") / f"{i % 2}" / f"{i}.png", image)
    Path("in/broken.png").write_bytes(b"no picture")
    options = {"copy_clean": True, "save_masks": None, "progress": False}
    one = restore_files("in", output="one", **options)
    many = restore_files("in", output="many", engine="ray", workers=2, **options)
    assert one.counts == "2 restored, 1 copied as they are, 1 left out."
    assert str(many).replace("many", "one") == str(one)
    assert [p.relative_to("many") for p in [*many.written, *many.copied]] == [
        p.relative_to("one") for p in [*one.written, *one.copied]
    ]
    assert not Path("many", SHARDS).exists()
    for path in one.written + one.copied:
        twin = Path("many", path.relative_to("one"))
        # A process has one thread here, where ONNX Runtime sums in another order.
        gaps = np.abs(read_image(twin).astype(int) - read_image(path))
        assert gaps.max() <= 1 and (gaps > 0).mean() < 1e-4, path
    Path("in/broken.png").unlink()  # all else is there: no process starts
    again = restore_files("in", output="many", engine="ray", **options)
    assert len(again.skipped) == 3 and not again.written
