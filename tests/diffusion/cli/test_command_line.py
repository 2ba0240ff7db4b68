import json
import shutil
from inspect import getfullargspec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import diffusion.sampling.editing
from diffusion.cli.main import COMMANDS, app
from diffusion.watermark import read_note
from illustkit.images import list_images, read_image, write_image
from illustkit.tables import write_table
from illustkit.training.runs import Run
from tests.commands import commands_of, imported

run, done = commands_of(app)


def signature(command):
    return getfullargspec(command).args


@pytest.fixture
def walked(slim, model, icons, monkeypatch, tmp_path):
    """A folder to write to, where models are small, and loaded once for editing."""
    monkeypatch.setattr(diffusion.sampling.editing, "load_diffuser", lambda run: model)
    return tmp_path


def test_train_then_sample(walked, icons):
    folder, table = walked / "run", walked / "table.csv"
    rows = [
        [path.name, ("red", "blue")[i % 2]] for i, path in enumerate(icons.iterdir())
    ]
    write_table(table, ["file", "hair"], rows)
    output = done(
        *("train", icons, "--run", folder, "--preset", "tiny", "--steps", 2),
        *("--epoch-steps", 2, "--image-size", "16x24", "--dim", 8),
        *("--dim-mults", "1,2", "--timesteps", 20, "--objective", "v"),
        *("--loss", "mse", "--min-snr-gamma", 5, "--self-condition", 0.5),
        *("--batch-size", 2, "--accumulation", 2, "--learning-rate", 0.002),
        *("--flip", 0, "--schedule", "sigmoid", "--version", "2", "--seed", 7),
        *("--strategy", "one", "--sample-every", 0, "--channels", 3),
        *("--precision", "mixed_bfloat16", "--attributes", table),
    )
    assert "7 pictures of 16x24, 7 of them resized, 0 left out." in output
    assert f"illust-diffusion sample {folder}" in output
    expected = {
        **{"image_size": [16, 24], "dim": 8, "dim_mults": [1, 2], "steps": 2},
        **{"timesteps": 20, "objective": "v", "loss": "mse", "min_snr_gamma": 5.0},
        **{"self_condition": 0.5, "batch_size": 2, "accumulation": 2, "flip": 0.0},
        **{"learning_rate": 0.002, "schedule": "sigmoid", "version": "2", "seed": 7},
        **{"precision": "mixed_bfloat16", "channels": 3, "epoch_steps": 2},
        **{"attributes": {"hair": ["blue", "red"]}},
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

    wish = "--attributes", "hair=red", "--guidance", 3
    done("sample", folder, "--output", walked / "red", "--n", 1, *options, *wish)
    recorded = json.loads((walked / "red" / "settings.json").read_text())
    assert recorded["attributes"] == {"hair": "red"} and recorded["guidance"] == 3
    for wish, said in (("hair=green", "one of: blue, red"), ("red", "hair=red,")):
        result = run("sample", folder, "--output", walked / "no", "--attributes", wish)
        assert result.exit_code == 2 and said in result.output
    assert not (walked / "no").exists()


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
    (
        ["train", "icons", "--objective", "eps"],
        "--objective must be one of noise",
    ),
    (["train", "icons", "--learning-rate", "-1"], "--learning-rate must be over 0"),
    (["train", "icons", "--seed", "-1"], "--seed must be"),
    (["train", "icons", "--sample-every", "-1"], "--sample-every must be"),
    (["train", "icons", "--dim", "7"], "--dim must be even"),
    (["train", "icons", "--dim-mults", "1,0"], "--dim-mults must be"),
    (["train", "icons", "--metrics", "none.npz"], "none.npz: no such file"),
    (["train", "icons", "--run", "icons/run"], "Name a --run elsewhere"),
    (["train", "a.png"], "a.png: is a file, not a folder"),
    (["train", "icons", "--strategy", "gpu9"], "--strategy must be one of auto"),
    (["train", "icons", "--run", "other"], "other"),
    (["train", "icons", "--run", "a.png"], "a.png: is a file, not a folder"),
    (["train", "icons", "--timesteps", "1000000000"], "--timesteps must be at most"),
    (["demo", "--output", "a.png"], "a.png: is a file, not a folder"),
    (["demo", "--strategy", "x"], "--strategy must be one of auto"),
    (["demo", "--precision", "x"], "--precision must be one of auto, float32"),
    (["demo", "--output", "theirs"], "theirs: holds another index.html"),
    (
        ["interpolate", "RUN", "a.png", "a.png", "--output", "a.png/b.png"],
        "a.png: is a",
    ),
    (["evaluate", "icons", "icons", "--output", "a.png/b.json"], "a.png: is a file"),
    (["sample", "nowhere"], "nowhere holds no run"),
    (["sample", "other"], "something else than a diffusion model"),
    (["sample", "RUN", "--n", "0"], "Received: 0"),
    (["sample", "RUN", "--sampler", "euler"], "--sampler must be one of ddim, ddpm"),
    (["sample", "RUN", "--seed", "-1"], "--seed must be"),
    (["sample", "RUN", "--batch-size", "0"], "--batch-size must be"),
    (["sample", "RUN", "--eta", "2"], "--eta must be"),
    (["sample", "RUN", "--opacity", "2"], "opacity=2"),
    (["sample", "RUN", "--watermark-text", ""], "text=''"),
    (["sample", "RUN", "--font", "none.ttf"], "none.ttf: no such file of a --font"),
    (["sample", "RUN", "--output", "a.png"], "a.png: is a file, not a folder"),
    (["sample", "RUN", "--output", "other"], "other: holds another settings.json"),
    (["sample", "a.png"], "a.png"),
    (["sample", "RUN", "--steps", "21"], "Received: steps=21"),
    (["sample", "RUN", "--image-size", "8"], "16x16 pixels"),
    (["sample", "RUN", "--precision", "float8"], "float8"),
    (["interpolate", "nowhere", "a.png", "a.png"], "nowhere holds no run"),
    (["interpolate", "RUN", "none.png", "a.png"], "none.png: no such file"),
    (["interpolate", "RUN", "a.png", "a.png", "--t", "99"], "Received: 99"),
    (["interpolate", "RUN", "a.png", "a.png", "--output", "b.xyz"], "b.xyz: no pict"),
    (["interpolate", "RUN", "a.png", "a.png", "--output", "b.gif"], "b.gif: no pict"),
    (["interpolate", "RUN", "a.png", "a.png", "--output", "icons"], "icons: is a fold"),
    (["interpolate", "RUN", "a.png", "a.png", "--output", "a.png"], "a.png: exists al"),
    (["interpolate", "RUN", "a.png", "a.png", "--seed", "-1"], "--seed must be"),
    (["interpolate", "RUN", "a.png", "a.png", "--n", "0"], "--n must be"),
    (["interpolate", "RUN", "a.png", "broken.png"], "broken.png: is empty"),
    (["inpaint", "RUN", "a.png", "a.png", "--output", "b.bmp"], "b.bmp: no picture wi"),
    (["inpaint", "RUN", "a.png", "white.png", "--steps", "21"], "--steps must be"),
    (["inpaint", "RUN", "a.png", "white.png", "--font", "a.png"], "read as a font"),
    (["evaluate", "icons", "nowhere"], "nowhere: no such folder"),
    (["evaluate", "icons", "icons", "--output", "a.png"], "a.png: name a .json file"),
    (["evaluate", "icons", "icons", "--output", "mine.json"], "mine.json: exists alre"),
    (["evaluate", "icons", "icons", "--definition", "x"], "--definition must be one"),
    (["evaluate", "icons", "icons", "--channels", "4"], "--channels must be one"),
    (["evaluate", "icons", "icons", "--image-size", "0"], "Received: 0"),
    (["evaluate", "icons", "icons", "--features", "no.npz"], "no.npz: no such file"),
    (["evaluate", "icons", "icons", "--engine", "x"], "--engine must be one"),
    (["features", "nowhere", "--output", "a.npz"], "nowhere: no such folder"),
    (["features", "icons", "--output", "a.png"], "a.png: name a .npz file"),
    (["features", "icons", "--output", "mine.npz"], "mine.npz: exists already"),
    (["validity", "icons", "icons", "empty"], "empty: no pictures here"),
    (["experiment", "icons", "--n", "0"], "--n must be"),
    (["experiment", "icons", "--training-steps", "0"], "--training-steps must be"),
    (["experiment", "icons", "--sampler", "x"], "--sampler must be"),
    (["experiment", "icons", "--steps", "5000"], "Received: steps=5000"),
    (["experiment", "icons", "--seed", "-1"], "--seed must be"),
    (["experiment", "icons", "--features", "no.npz"], "no.npz: no such file"),
    (["experiment", "empty"], "empty: no pictures here"),
    (["experiment", "few", "--features", "pixels"], "few: the figures need 4"),
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
    write_image("white.png", np.full((16, 16, 3), 255, np.uint8))
    (tmp_path / "broken.png").touch()
    (tmp_path / "mine.json").write_text("[]")
    (tmp_path / "mine.npz").touch()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "index.html").touch()
    (tmp_path / "few").mkdir()
    for i in range(5):
        shutil.copy("a.png" if i < 3 else "broken.png", tmp_path / "few" / f"{i}.png")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    result = run(*[trained.folder if a == "RUN" else a for a in arguments])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("illust-diffusion: ")
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_second_sample_makes_what_is_missing_and_says_so(walked, trained):
    new = walked / "new"
    command = "sample", trained.folder, "--output", new, "--steps", 2, "--batch-size", 4
    assert "3 icons made, 0 were there already." in done(*command, "--n", 3)
    before = {path: path.stat().st_mtime_ns for path in new.rglob("icon-*.png")}
    assert "0 icons made, 3 were there already." in done(*command, "--n", 3)
    assert "2 icons made, 3 were there already." in done(*command, "--n", 5)
    assert before.items() <= {p: p.stat().st_mtime_ns for p in before}.items()
    assert len(list(new.rglob("icon-*.png"))) == 5


def test_an_edited_picture_is_replaced_when_asked_alone(walked, icons):
    out = walked / "between.png"
    command = "interpolate", "a-run", icons / "0.png", icons / "1.png", "--n", 1
    done(*command, "--output", out)
    first = out.read_bytes()
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(walked / "moving.gif", save_all=True, append_images=frames[1:])
    moving = "interpolate", "a-run", icons / "0.png", walked / "moving.gif"
    told = done(*moving, "--n", 1, "--output", walked / "moving.png")
    assert "moving.gif is animated" in told
    result = run(*command, "--output", out, "--seed", 1)
    assert result.exit_code == 2 and "--overwrite" in result.stderr
    assert out.read_bytes() == first
    done(*command, "--output", out, "--seed", 1, "--overwrite")
    assert out.read_bytes() != first


def test_features_are_stored_and_compared(walked, icons, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(walked / "cache"))
    out = walked / "icons.npz"
    options = "--features", "pixels", "--output", out
    told = done("features", icons, *options, "--against", icons)
    n = len(list(icons.glob("*.png")))
    assert f"{n} pictures, 768 features of pixels" in told
    assert float(told.split()[-1]) == pytest.approx(0, abs=1e-6)
    with np.load(out) as stored:
        assert stored["mu"].shape == (768,) and stored["sigma"].shape == (768, 768)
    told = done("features", icons, *options, "--against", out, "--overwrite")
    assert float(told.split()[-1]) == pytest.approx(0, abs=1e-6)


def test_an_evaluation_is_replaced_by_the_next_and_nothing_else_is(walked, icons):
    out = walked / "figures.json"
    folder = Path(shutil.copytree(icons, walked / "icons"))
    command = "evaluate", folder, icons, "--features", "pixels", "--output", out
    assert "7 generated, 7 training, at 16x16" in done(*command)
    (folder / "broken.png").touch()
    result = run(*command)
    # What was left out ends in its line, and in exit code 1.
    assert result.exit_code == 1 and result.stderr.count("broken.png") == 1
    assert json.loads(out.read_text())["left_out"][0] in result.stderr
    out.unlink()  # now neighbours.png is somebody's
    result = run(*command)
    assert result.exit_code == 2 and "neighbours.png: exists already" in result.stderr
    assert run(*command, "--overwrite").exit_code == 1 and out.exists()


def test_gans_and_comparisons_are_given_their_options(tmp_path, monkeypatch):
    calls = []

    def called(*args, **options):
        calls.append((*map(str, args), options))
        return []

    monkeypatch.setattr("diffusion.training.gan.train_gan", called)
    monkeypatch.setattr("diffusion.comparison.compare_models", called)
    monkeypatch.setattr("diffusion.comparison.format_comparison", lambda rows: "| |")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "icons").mkdir()
    said = done(
        *("train-gan", "icons", "--run", "gan", "--model", "stylegan2"),
        *("--augment", "ada", "--image-size", 32, "--strategy", "one"),
    )
    assert "illust-diffusion sample gan --output new" in said
    images, folder, options = calls.pop()
    assert (images, folder) == ("icons", "gan")
    assert options.items() >= {"model": "stylegan2", "preset": "paper"}.items()
    assert options.items() >= {"augment": "ada", "image_size": 32}.items()
    assert "steps" not in options and "flip" not in options
    said = done(
        *("compare", "icons", "--models", "dcgan, ddpm", "--hours", 0.5),
        *("--n", 8, "--steps", 5, "--clock", "processor", "--output", tmp_path),
    )
    assert "| |" in said and str(tmp_path / "index.html") in said
    images, folder, options = calls.pop()
    assert (images, folder) == ("icons", str(tmp_path))
    expected = {"models": ["dcgan", "ddpm"], "hours": 0.5, "n": 8, "seed": 3407}
    expected |= {"sampling_steps": 5, "clock": "processor", "features": "vgg16"}
    assert options.items() >= expected.items()


def test_every_command_that_writes_a_mark_takes_a_font(walked, icons, monkeypatch):
    from tests.diffusion.test_watermark import DEJAVU

    marked = [c.__name__ for c, _ in COMMANDS if "watermark_text" in signature(c)]
    assert marked == ["sample", "interpolate", "inpaint", "export_web", "serve"]
    assert all("font" in signature(c) for c, _ in COMMANDS if c.__name__ in marked)
    command = "interpolate", "a-run", icons / "0.png", icons / "1.png", "--n", 1
    for name, font in (("a.png", ()), ("b.png", ("--font", DEJAVU))):
        done(*command, "--output", walked / name, *font)
    a, b = (read_image(walked / name) for name in ("a.png", "b.png"))
    assert (a != b).any()
    done(*command, "--output", walked / "c.png", "--watermark-text", "Généré par IA")
    assert read_note(walked / "c.png") == "Généré par IA"


def test_help_has_examples_and_loads_nothing_heavy():
    code = "import diffusion, diffusion.__main__"
    assert not imported(code, "keras", "cv2", "numpy", "PIL", "matplotlib")
    names = [command.__name__.replace("_", "-") for command, _ in COMMANDS]
    assert {"train", "sample", "interpolate", "inpaint"} <= set(names)
    for name in names:
        shown = " ".join(done(name, "--help").split())
        assert f"Example: illust-diffusion {name} " in shown


def test_old_options_still_work_and_say_so(walked, icons):
    first, second = icons / "0.png", icons / "1.png"
    out = walked / "between.png"
    arguments = "interpolate", "a-run", first, second, "--n", 1, "--t", 2
    result = run(*arguments, f"--out={out}")
    assert "--out is deprecated: use --output." in result.stderr and out.exists()
    assert "--out " not in done("sample", "--help")
    for name, old in (("evaluate", "--mae"), ("serve", "--size"), ("demo", "--folder")):
        assert old not in done(name, "--help")


def test_the_version_is_printed():
    from illustkit import __version__

    assert done("--version") == f"illust-diffusion {__version__}\n"
