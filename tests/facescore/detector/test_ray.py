"""Processes of Ray find and write what one process does; most is skipped without it."""

import json
from pathlib import Path

import numpy as np
import pytest

from facescore.detector.folder import SHARDS, detect_folder
from illustkit.images import write_image
from illustkit.samples import draw_character


def pictures(folder, n=6):
    for i in range(n):
        image = draw_character(i, (160, 160)).image
        write_image(folder / f"{i % 2}" / f"{i}.png", image)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_what_is_opened_or_written_nowhere_cannot_be_spread(tmp_path):
    folder = pictures(tmp_path / "in", 1)
    with pytest.raises(ValueError, match="opens the detector in each process"):
        list(detect_folder(folder, lambda _: [], tmp_path / "out", engine="ray"))
    with pytest.raises(ValueError, match="name one as `output`"):
        list(detect_folder(folder, engine="ray"))


@pytest.mark.large  # Ray alone takes 25 s of processor time to start and end
def test_the_same_files_as_one_process(tmp_path, monkeypatch):
    pytest.importorskip("ray.data", reason="needs Ray")
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "in")
    options = {"save": True, "save_txt": True, "save_crop": True, "confidence": 0.2}
    left_out, as_well = [], []
    one = list(detect_folder("in", output="one", left_out=left_out, **options))
    many = list(
        detect_folder(
            *("in", "default", "many"),
            **{"engine": "ray", "workers": 2, "left_out": as_well, **options},
        )
    )
    assert [p for p, _ in many] == [p for p, _ in one] and len(one) == 6
    assert sum(len(faces) for _, faces in one) > 6
    for (_, theirs), (_, mine) in zip(many, one, strict=True):
        a, b = (np.array([f.box for f in faces]) for faces in (theirs, mine))
        np.testing.assert_allclose(a, b, atol=0.005 + 1e-6)
    assert [p for p, _ in left_out] == [Path("in/broken.png")]
    assert [p for p, _ in as_well] == [p for p, _ in left_out]
    listed = sorted(p.relative_to("one") for p in Path("one").rglob("*"))
    assert listed == sorted(p.relative_to("many") for p in Path("many").rglob("*"))
    for name in listed:
        if Path("one", name).is_file():
            assert Path("one", name).read_bytes() == Path("many", name).read_bytes()

    # What an interrupted run has found is not looked for again.
    entries = json.loads(Path("many/faces.json").read_text())
    Path("many/faces.json").unlink()
    Path("many/faces.csv").unlink()
    Path("in/broken.png").unlink()  # all else is done: Ray need not start
    table = pyarrow.table({"record": [json.dumps(entry) for entry in entries]})
    Path("many", SHARDS).mkdir()
    parquet.write_table(table, Path("many", SHARDS, "0.parquet"))
    skipped = []
    again = {"engine": "ray", "left_out": [], "skipped": skipped, **options}
    assert not list(detect_folder("in", "default", "many", **again))
    assert len(skipped) == 6 and not Path("many", SHARDS).exists()
    for name in ("faces.json", "faces.csv"):
        assert Path("one", name).read_bytes() == Path("many", name).read_bytes()
