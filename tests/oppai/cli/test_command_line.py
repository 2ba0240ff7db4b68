import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.images import read_image, write_image
from oppai.cli.main import app
from oppai.pages.demo import demo, draw_samples
from tests.commands import commands_of, imported
from tests.oppai.test_training import TINIEST

run, _ = commands_of(app)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A demo of twelve small samples, run twice: the second goes on at its end."""
    folder = tmp_path_factory.mktemp("demo")
    settings = {k: v for k, v in TINIEST.items() if k != "holdout"}
    settings |= {"minimum": 256, "n_samples": 12, "n_shown": 1, "holdout": 0.3}
    page = demo(folder, **settings)
    before = page.stat().st_mtime_ns
    assert demo(folder, **settings).stat().st_mtime_ns > before
    return folder


def test_the_demo_shows_pictures_figure_table_and_curves(shown):
    page = (shown / "index.html").read_text("utf-8")
    sources = [part.split("'")[0] for part in page.split("<img src='")[1:]]
    assert len(sources) == 7
    for name in [*sources, "figures/0.png", "history.png"]:
        assert name in page
        assert read_image(shown / name).std() > 5
    for method in ("censored", "Telea", "prediction"):
        assert f"<td>{method}</td>" in page
    assert (shown / "evaluation.csv").read_text().count("\n") > 6
    pictures = [read_image(shown / source).astype(int) for source in sources]
    censored, restored, truth = pictures[:3]
    mosaic = (censored != truth).any(-1)
    error, before = (np.abs(p - truth)[mosaic].mean() for p in (restored, censored))
    assert error < 0.95 * before  # by the weights in the package
    censored, own, restored, truth = pictures[3:]
    assert (restored != censored).any() and (own != censored).any()
    assert (censored != truth).any()
    # Outside the hole nothing may have changed.
    untouched = (censored == truth).all(-1)
    assert 0.5 < untouched.mean() < 1


def test_samples_are_drawn_once(tmp_path):
    draw_samples(tmp_path / "a", tmp_path / "a.json", 2, size=(64, 96), progress=False)
    first = (tmp_path / "a" / "sample-0000.png").stat().st_mtime_ns
    draw_samples(tmp_path / "a", tmp_path / "a.json", 3, size=(64, 96), progress=False)
    assert (tmp_path / "a" / "sample-0000.png").stat().st_mtime_ns == first
    assert len(list((tmp_path / "a").iterdir())) == 3


def test_restore_by_box_by_mask_and_by_paint(shown, tmp_path):
    picture = next(iter(sorted((shown / "samples").iterdir())))
    options = ["--run", shown / "run"]
    by_box = "--box", "100,300,180,360", "--output", tmp_path / "box.png"
    done = run("restore", picture, *by_box, *options)
    assert done.exit_code == 0, done.output
    before, after = read_image(picture), read_image(tmp_path / "box.png")
    changed = (before != after).any(-1)
    assert changed[310:350, 110:170].mean() > 0.5
    changed[300 - 30 : 360 + 30, 100 - 30 : 180 + 30] = False
    assert not changed.any()

    mask = np.zeros(before.shape, "uint8")
    mask[300:360, 100:180] = 255
    write_image(tmp_path / "mask.png", mask)
    painted = before.copy()
    painted[300:360, 100:180] = 0, 255, 0
    write_image(tmp_path / "painted.png", painted)
    for source, *how in [
        (picture, "--mask", tmp_path / "mask.png"),
        (tmp_path / "painted.png", "--mask-colour", "0,255,0"),
    ]:
        output = tmp_path / f"by{how[0]}.png"
        done = run("restore", source, *how, *options, "--output", output)
        assert done.exit_code == 0, done.output
        result = read_image(output)
        assert (result[310:350, 110:170] != before[310:350, 110:170]).any()
        assert not (result == (0, 255, 0)).all(-1).any()


def test_evaluate_prints_the_table_and_writes_a_csv(shown, tmp_path):
    pictures = shown / "samples", shown / "samples.json"
    options = "--run", shown / "run", "--kind", "irregular"
    done = run("evaluate", *pictures, *options, "--output", tmp_path / "e.csv")
    assert done.exit_code == 0, done.output
    assert "Navier-Stokes" in done.output and "irregular" in done.output
    assert "patches from" in done.output  # what was left out is listed there
    assert (tmp_path / "e.csv").read_text().startswith("kind,hole_ratio,method")


MISTAKES = [
    (["train", "nowhere", "nothing.json"], "nothing.json"),
    (["evaluate", "a", "b.json", "--run", "no.keras"], "no.keras"),
    (["restore", "a.png", "--box", "1,2,3"], "4 numbers"),
    (["restore", "a.png"], "a.png: no such file"),
    (["restore", ".", "--box", "0.2,0.4,0.5,0.6"], "are fractions of the picture"),
    (["restore", ".", "--blend", "2"], "--blend must be at least 0 and at most 1"),
    (["restore", ".", "--tolerance", "9"], "differ from --mask-colour: give both"),
    (["restore", ".", "--mask-colour", "0,0.5,0"], "3 whole numbers"),
    (["restore", ".", "--output", "x.png"], "--output is the name of one picture"),
    (["evaluate", "a", "b.json", "--run", "nowhere"], "holds no run"),
    (["demo", "--images", "a"], "both the folder"),
    (["evaluate", "a", "b.json", "--blocks", "12,6"], "--blocks is the smallest and"),
    (["evaluate", "a", "b.json", "--blocks", "6.5,12"], "--blocks must be a whole"),
    (["evaluate", "a", "b.json", "--kind", "blur"], "--kind must be one of mosaic"),
    (["evaluate", "a", "b.json", "--rim", "x"], "--rim must be one of hard, soft"),
    (["evaluate", "a", "b.json", "--seed", "-1"], "--seed must be a whole number"),
    (["evaluate", "a", "b.json", "--output", "."], ".: is a folder. Name a file"),
    (["train", "a", "b.json", "--learning-rate", "-1"], "--learning-rate must be over"),
    (["train", "a", "b.json", "--batch-size", "0"], "--batch-size must be a whole"),
    (["train", "a", "b.json", "--epochs", "-2"], "--epochs must be a whole number"),
    (["train", "a", "b.json", "--holdout", "1"], "--holdout must be over 0 and under"),
    (["train", "a", "b.json", "--seed", "-1"], "--seed must be a whole number"),
    (["train", "a", "b.json", "--sheet-every", "-1"], "--sheet-every must be a whole"),
    (["train", "a", "b.json", "--losses", "mse"], "--losses must be one of book"),
    (["train-mosaic", "a", "--steps", "0"], "--steps must be a whole number"),
    (
        ["train-mosaic", "a", "--precision", "x"],
        "--precision must be one of auto, float32",
    ),
    (["train-mosaic", "a", "--held-out", "no.txt"], "no.txt: no such file"),
    (["annotate", "export", "no.json", "a", "--to", "voc"], "--to must be one of coco"),
    (["unpack", "a.zip", "--max-gigabytes", "nan"], "--max-gigabytes must be over 0"),
    (["download", "no.json", "--pause", "0"], "--pause must be at least 1"),
    (["evaluate", "a", "b.json", "--vgg-weights", "no.npz"], "VGG16 weights at no.npz"),
    (["convert-vgg", "no.h5", "a.npz"], "No file of VGG16 weights at no.h5"),
    (["convert-vgg", "no.h5", "a.npz", "--blocks", "6"], "--blocks must be"),
    (["demo", "--preset", "huge", "--images", "a", "--metadata", "b"], "'tiny'"),
]


@pytest.mark.parametrize("arguments, message", MISTAKES, ids=lambda v: str(v)[:40])
def test_mistakes_end_in_one_line_and_exit_code_2(
    arguments, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # away from a run of one's own
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output and done.output.count("\n") == 1
    assert "Traceback" not in done.output


def test_a_broken_picture_is_named_and_the_others_restored(shown, tmp_path):
    folder = tmp_path / "in"
    write_image(folder / "a.png", read_image(shown / "samples" / "sample-1000.png"))
    (folder / "b.png").write_bytes(b"no picture")
    command = "restore", folder, "--box", "100,300,180,360", "--run", shown / "run"
    done = run(*command)
    assert done.exit_code == 1
    assert done.stdout == f"{folder / 'restored' / 'a.png'}\n"
    lines = [line for line in done.stderr.splitlines() if line.startswith("oppai: ")]
    assert len(lines) == 2 and "1 restored, 1 left out." in lines[0]
    assert f"{folder / 'b.png'}: " in lines[1]
    assert sorted(p.name for p in folder.iterdir()) == ["a.png", "b.png", "restored"]
    # The second run skips what is done.
    (folder / "b.png").unlink()
    done = run(*command)
    assert done.exit_code == 0 and done.stdout == ""
    assert "restored/a.png: exists already and was skipped; --overwrite" in done.stderr
    assert "0 restored, 1 exist already." in done.stderr


def test_a_picture_that_shows_nothing_is_no_failure(tmp_path, monkeypatch):
    write_image(tmp_path / "in" / "a.png", np.full((64, 64, 3), 90, np.uint8))
    done = run("restore", tmp_path / "in")
    assert done.exit_code == 0 and done.stdout == ""
    assert "a.png: nothing censored was found: mark it" in done.stderr
    assert "0 restored, 1 show nothing censored." in done.stderr
    assert not (tmp_path / "in" / "restored").exists()


def test_a_stopped_run_says_how_it_goes_on(tmp_path, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("oppai.inference.files.restore_files", stop)
    done = run("restore", tmp_path)
    assert done.exit_code == 130 and "The same command goes on" in done.stderr
    done = run("restore", tmp_path, "--overwrite")
    assert done.exit_code == 130 and "begins anew" in done.stderr


@pytest.mark.parametrize(
    "command, function, message",
    [
        ("train", "oppai.training.train", "goes on from here"),
        ("train-mosaic", "oppai.training.train_mosaic", "goes on from here"),
        ("check", "oppai.data.metadata.check_metadata", "begins anew"),
    ],
)
def test_a_stopped_command_says_whether_it_goes_on(
    monkeypatch, command, function, message
):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(function, stop)
    done = run(command, "a", *["b.json"] * (command == "train"))
    assert done.exit_code == 130 and f"The same command {message}." in done.stderr


def test_help_has_an_example_and_loads_no_network():
    assert not imported("import oppai.__main__", "keras", "cv2")
    for command in ("train", "restore", "evaluate", "demo"):
        assert "Example" in run(command, "--help").output


def test_old_options_still_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("demo", "--preset", "huge", "--images", "a", "--meta", "b")
    assert done.exit_code == 2 and "'tiny'" in done.output
    assert "--meta is deprecated: use --metadata" in done.output


def test_every_command_is_found_in_the_file_of_its_name():
    from oppai.cli.main import COMMANDS

    files = {"fetch_metadata": "dataset", "download": "dataset", "pack": "dataset"}
    files |= {"unpack": "dataset", "check": "dataset", "train_mosaic": "train"}
    for name in "train_translation clean colorize complete segment stylize".split():
        files[name] = "translate"
    for command, *_ in COMMANDS:
        name = command.__name__
        assert command.__module__ == f"oppai.cli.{files.get(name, name)}"


def test_serve_takes_a_folder_a_port_and_an_address(tmp_path, monkeypatch):
    served = []
    monkeypatch.setattr(
        "oppai.pages.serve.serve_app",
        lambda app, **options: served.append((app.start()["names"], options)),
    )
    monkeypatch.setattr("oppai.pages.serve.RestoreApp.warm_up", lambda app: None)
    (tmp_path / "a.png").write_bytes(b"")
    done = run("serve", tmp_path, "--port", "8123", "--host", "0.0.0.0", "--no-browser")
    assert done.exit_code == 0, done.output
    options = {"port": 8123, "host": "0.0.0.0", "open_browser": False}
    assert served == [(["a.png"], options)]
    done = run("serve", tmp_path / "none")
    assert done.exit_code == 2 and "no such folder" in done.stderr


def test_the_version_is_shown():
    from illustkit import __version__

    assert run("--version").output == f"oppai {__version__}\n"


def test_what_shows_no_censor_is_told_with_the_option(tmp_path, monkeypatch):
    from oppai.inference.files import RestoreReport

    unmarked = [(tmp_path / "a.png", "shows no mosaic. `fill` fills it anyway.")]
    monkeypatch.setattr(
        "oppai.inference.files.restore_files",
        lambda *args, **options: RestoreReport(unmarked=unmarked),
    )
    done = run("restore", tmp_path)
    assert done.exit_code == 0
    assert "a.png: shows no mosaic. --fill fills it anyway." in done.stderr


def test_the_options_of_an_adversarial_training_arrive(monkeypatch, tmp_path):
    from oppai import training

    given = {}

    def train(*paths, **settings):
        given.update(settings)
        raise UserError("seen")

    monkeypatch.setattr(training, "train", train)
    options = ["--adversarial", "pix2pix", "--spectral-norm", "--adversarial-loss"]
    done = run("train", tmp_path, tmp_path / "meta.json", *options, "hinge")
    assert (done.exit_code, done.stderr) == (2, "oppai: seen\n")
    assert given["adversarial"] == "pix2pix" and given["adversarial_loss"] == "hinge"
    assert given["discriminator"] == {"spectral_norm": True}
    done = run("train", tmp_path, tmp_path / "meta.json", "--spectral-norm")
    assert "--spectral-norm needs --adversarial" in done.stderr


def test_trainings_are_watched_as_asked(monkeypatch, tmp_path):
    from illustkit.training.watching import StopEarly, TensorBoard
    from oppai import training

    given = {}

    def train(*paths, **settings):
        given.update(settings)
        raise UserError("seen")

    monkeypatch.setattr(training, "train", train)
    command = "train", tmp_path, tmp_path / "meta.json"
    assert run(*command).stderr == "oppai: seen\n" and given["callbacks"] == []
    run(*command, "--early-stopping", "4", "--tensorboard")
    early, board = given["callbacks"]
    assert isinstance(board, TensorBoard)
    assert isinstance(early, StopEarly) and early.patience == 4
    done = run(*command, "--early-stopping", "0")
    assert done.exit_code == 2 and "--early-stopping must be" in done.stderr
