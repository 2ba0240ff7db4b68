import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import diffusion.sampling.editing
from diffusion.cli.main import COMMANDS, app
from diffusion.watermark import read_note
from illustkit.images import list_images, read_image, write_image
from illustkit.training.runs import Run

runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, [str(a) for a in arguments])


def done(*arguments):
    result = run(*arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def walked(slim, model, icons, monkeypatch, tmp_path):
    """A folder to write to, where models are small, and loaded once for editing."""
    monkeypatch.setattr(diffusion.sampling.editing, "load_diffuser", lambda run: model)
    return tmp_path


def test_train_then_sample(walked, icons):
    folder = walked / "run"
    output = done(
        *("train", icons, "--run", folder, "--preset", "tiny", "--steps", 2),
        *("--epoch-steps", 2, "--image-size", "16x24", "--dim", 8),
        *("--dim-mults", "1,2", "--timesteps", 20, "--objective", "v"),
        *("--loss", "mse", "--min-snr-gamma", 5, "--self-condition", 0.5),
        *("--batch-size", 2, "--accumulation", 2, "--learning-rate", 0.002),
        *("--flip", 0, "--schedule", "sigmoid", "--version", "2", "--seed", 7),
        *("--strategy", "one", "--sample-every", 0, "--channels", 3),
        *("--precision", "mixed_bfloat16"),
    )
    assert "7 pictures of 16x24, 7 of them resized, 0 left out." in output
    assert f"illust-diffusion sample {folder}" in output
    expected = {
        **{"image_size": [16, 24], "dim": 8, "dim_mults": [1, 2], "steps": 2},
        **{"timesteps": 20, "objective": "v", "loss": "mse", "min_snr_gamma": 5.0},
        **{"self_condition": 0.5, "batch_size": 2, "accumulation": 2, "flip": 0.0},
        **{"learning_rate": 0.002, "schedule": "sigmoid", "version": "2", "seed": 7},
        **{"precision": "mixed_bfloat16", "channels": 3, "epoch_steps": 2},
    }
    settings = Run(folder).settings
    assert {key: settings[key] for key in expected} == expected

    new = walked / "new"
    options = "--steps", 3, "--sampler", "dpm++", "--batch-size", 2
    output = done("sample", folder, "--output", new, "--n", 3, *options)
    assert str(new / "grid.png") in output
    made = [path for path in list_images(new) if path.name.startswith("icon-")]
    assert len(made) == 3 and read_image(made[0]).shape == (24, 16, 3)
    assert {read_note(path) for path in made} == {"AI-generated"}
    plain = walked / "plain"
    done("sample", folder, "--output", plain, "--n", 3, *options, "--no-watermark")
    same = plain / made[0].relative_to(new)
    assert read_note(same) is None
    assert (read_image(same) != read_image(made[0])).any()
    result = run("sample", folder, "--output", new, "--n", 3, *options, "--seed", 1)
    assert result.exit_code == 2 and "other settings" in result.output


def test_interpolate_and_inpaint(walked, icons):
    first, second = icons / "0.png", icons / "1.png"
    out = walked / "between.png"
    options = "--watermark-text", "AI", "--opacity", 0.5
    output = done(
        *("interpolate", "a-run", first, second, "--output", out, "--n", 2, "--t", 10),
        *options,
    )
    assert str(out) in output and read_note(out) == "AI"
    row = read_image(out)
    assert row.shape == (20, 2 + 4 * 18, 3)
    np.testing.assert_array_equal(row[2:18, 2:18], read_image(first))
    np.testing.assert_array_equal(row[2:18, -18:-2], read_image(second))

    mask = np.zeros((16, 16, 3), np.uint8)
    mask[:, 8:] = 255
    write_image(walked / "mask.png", mask)
    out = walked / "versions.png"
    output = done(
        *("inpaint", "a-run", first, walked / "mask.png", "--output", out),
        *("--n", 2, "--steps", 3, "--no-watermark"),
    )
    assert str(out) in output and read_note(out) is None
    versions = read_image(out)
    assert versions.shape == (20, 2 + 2 * 18, 3)
    for left in (2, 20):
        kept = versions[2:18, left : left + 8]
        np.testing.assert_array_equal(kept, read_image(first)[:, :8])


MISTAKES = [
    (["train", "nowhere"], "nowhere: no such folder"),
    (["train", "empty"], "empty: no pictures here"),
    (["train", "icons", "--preset", "huge"], "'tiny'"),
    (["train", "icons", "--image-size", "wide"], "64 or 96x64"),
    (["train", "icons", "--image-size", "33"], "multiples of"),
    (["train", "icons", "--dim-mults", "1;2"], "numbers with commas"),
    (["train", "icons", "--objective", "eps"], "'noise', 'x0', 'v'"),
    (["train", "icons", "--strategy", "gpu9"], "Received: kind='gpu9'"),
    (["train", "icons", "--run", "other"], "other"),
    (["sample", "nowhere"], "nowhere holds no run"),
    (["sample", "other"], "something else than a diffusion model"),
    (["sample", "RUN", "--n", "0"], "Received: 0"),
    (["sample", "RUN", "--sampler", "euler"], "'ddim', 'ddpm'"),
    (["sample", "RUN", "--steps", "21"], "Received: steps=21"),
    (["sample", "RUN", "--image-size", "8"], "16x16 pixels"),
    (["sample", "RUN", "--precision", "float8"], "float8"),
    (["interpolate", "nowhere", "a.png", "a.png"], "nowhere holds no run"),
    (["interpolate", "RUN", "none.png", "a.png"], "none.png: no such file"),
    (["interpolate", "RUN", "a.png", "a.png", "--t", "99"], "Received: 99"),
    (["inpaint", "nowhere", "a.png", "a.png"], "nowhere holds no run"),
    (["inpaint", "RUN", "a.png", "none.png"], "none.png: no such file"),
    (["inpaint", "RUN", "a.png", "black.png"], "black everywhere"),
    (["inpaint", "RUN", "a.png", "small.png"], "of the picture's size, 16x16"),
]


@pytest.mark.parametrize("arguments, message", MISTAKES, ids=lambda v: str(v)[:44])
def test_mistakes_end_in_one_line_and_exit_code_2(
    slim, trained, icons, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(icons, "icons")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "settings.json").write_text('{"objective": "coral"}')
    shutil.copy(icons / "0.png", "a.png")
    write_image("black.png", np.zeros((16, 16, 3), np.uint8))
    write_image("small.png", np.full((8, 8, 3), 255, np.uint8))
    result = run(*[trained.folder if a == "RUN" else a for a in arguments])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("illust-diffusion: ")
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"icons", "empty", "other", "a.png", "black.png", "small.png"}


def test_help_has_examples_and_loads_nothing_heavy():
    code = (
        "import sys, diffusion, diffusion.__main__; "
        "print({'keras', 'cv2', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout.strip() == "set()", shown.stderr
    names = [command.__name__.replace("_", "-") for command, _ in COMMANDS]
    assert {"train", "sample", "interpolate", "inpaint"} <= set(names)
    for name in names:
        shown = " ".join(done(name, "--help").split())
        assert f"Example: illust-diffusion {name} " in shown


def test_old_options_still_work_and_say_so(walked, icons):
    first, second = icons / "0.png", icons / "1.png"
    out = walked / "between.png"
    arguments = "interpolate", "a-run", first, second, "--n", 1, "--t", 2
    output = done(*arguments, f"--out={out}")
    assert "--out is deprecated: use --output." in output and out.exists()
    assert "--out " not in done("sample", "--help")
    for name, old in (("evaluate", "--mae"), ("serve", "--size"), ("demo", "--folder")):
        assert old not in done(name, "--help")


def test_the_version_is_printed():
    from illustkit import __version__

    assert done("--version") == f"illust-diffusion {__version__}\n"
