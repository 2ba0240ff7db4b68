"""Files that commit a0b91a7 wrote still load, and give what that commit made of them.

`tests/data/a0b91a7` holds the files, and beside each the arrays to compare with.
"""

import csv
import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("eagerly")
DATA = Path(__file__).parent / "data" / "a0b91a7"
MODELS = sorted(path.stem for path in DATA.glob("*.keras"))
LOADED = {
    "pconv_restorer": "oppai.load_restorer",
    "mosaic_restorer": "oppai.load_restorer",
    "scorer_regression": "facescore.load_scorer",
    "scorer_coral": "facescore.load_scorer",
    "scorer_animecnn": "facescore.load_scorer",
}
OPTIMIZERS = {
    "pconv_restorer": "Adam",
    "mosaic_restorer": "illustkit>ClippedAdam",
    "detector": "illustkit>ClippedSGD",
    "scorer_regression": "illustkit>ClippedAdamW",
    "scorer_coral": "illustkit>ClippedAdamW",
    "unet_0_25_3": "illustkit>ClippedAdam",
    "unet_2": "illustkit>ClippedAdam",
}

# Runs in a process of its own, so that no class is registered beforehand.
LOADING = """
import importlib
import json
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np

data, output = Path(sys.argv[1]), sys.argv[2]
names, loaded = json.loads(sys.argv[3]), json.loads(sys.argv[4])
ours = "illustkit", "oppai", "facescore", "diffusion"
results = {}
if keras.backend.backend() == "tensorflow":  # traces nothing, which takes long
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)


def run(model, name, key):
    with np.load(data / f"{name}.npz") as file:
        x = {k[3:]: file[k] for k in file.files if k.startswith("in_")}
    if name == "mosaic_restorer":
        hints = x["hints"]  # as `with_grid` below does
        x = {name: x[name] for name in ("censored", "base")}
        x |= {"hole": hints[..., :1], "missing": hints[..., 1:2]}
        out = model.network({**x, "grid": np.float32([[4, 4, 0, 0]])})
    elif name == "pconv_restorer":
        out = model.network([x["picture"], x["mask"]])
        results[f"{key} {name} config"] = [model.blend, model.minimum]
    else:
        x = list(x.values())
        out = model(x if len(x) > 1 else x[0])
        if name.startswith("scorer"):
            results[f"{key} {name} scores"] = model.predict_scores(x[0])
    out = out if isinstance(out, list) else [out]
    for place, array in zip(("out", "mask"), out):
        results[f"{key} {name} {place}"] = np.asarray(array)


def recorded(config):
    if isinstance(config, dict):
        if str(config.get("module")).split(".")[0] in ours:
            yield config["module"], config["class_name"], config["registered_name"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from recorded(value)


for name, function in loaded.items():
    package, function = function.split(".")
    load = getattr(importlib.import_module(package), function)
    run(load(str(data / f"{name}.keras")), name, "loader")

for name in names:
    path = data / f"{name}.keras"
    with zipfile.ZipFile(path) as file:
        config = json.loads(file.read("config.json"))
    try:
        for module, class_name, registered in recorded(config):
            item = getattr(importlib.import_module(module), class_name)
            assert item is keras.saving.get_registered_object(registered), registered
        model = keras.models.load_model(path)
    except (ImportError, AttributeError, TypeError) as error:
        results[f"error {name}"] = str(error)
        continue
    run(model, name, "keras")
    if getattr(model, "optimizer", None) is not None:
        optimizer = keras.saving.get_registered_name(type(model.optimizer))
        results[f"optimizer {name}"] = optimizer
np.savez(output, **results)
"""


@pytest.fixture(scope="module", autouse=True)
def loading(tmp_path_factory):
    """Starts the process that loads the `.keras` files; the other tests run beside."""
    output = tmp_path_factory.mktemp("loaded") / "results.npz"
    arguments = [str(DATA), str(output), json.dumps(MODELS), json.dumps(LOADED)]
    process = subprocess.Popen(
        [sys.executable, "-c", LOADING, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process, output
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def loaded(loading):
    """Dict of what the process made of all `.keras` files."""
    process, output = loading
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    with np.load(output) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    """A function that unpacks a run's ZIP into the working directory of the test."""
    monkeypatch.chdir(tmp_path)

    def unpack(name):
        with zipfile.ZipFile(DATA / f"{name}.zip") as file:
            file.extractall(tmp_path)
        return arrays(name)

    return unpack


def arrays(name):
    """Inputs and outputs that stand beside a file: two dicts."""
    with np.load(DATA / f"{name}.npz") as file:
        both = {key: file[key] for key in file.files}
    split = {"in": {}, "out": {}}
    for key, value in both.items():
        side, _, rest = key.partition("_")
        split[side][rest or "out"] = value
    return split["in"], split["out"]


def with_grid(given, grid):
    """Inputs of `MosaicUNet` as it took them: the matrices are made of a grid now."""
    hints = given["hints"]
    return {
        "censored": given["censored"],
        "base": given["base"],
        "hole": hints[..., :1],
        "missing": hints[..., 1:2],
        "grid": np.float32([grid]),
    }


def assert_close(result, expected, atol=1e-5):
    assert np.shape(result) == expected.shape
    if expected.dtype == np.uint8:
        # A difference of 1e-6 before the rounding may give the next level.
        atol, expected = 1, expected.astype(int)
        result = np.asarray(result).astype(int)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=atol)


def history(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {k: [float(row[k]) for row in rows] for k in rows[0]}


def assert_resumes(train, arguments):
    """The stopped run goes on to the history of the one that was never stopped."""
    options = json.loads(Path("train.json").read_text("utf-8"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that have changed since
        run = train(*arguments, "stopped", **options)
    expected, result = history("whole/history.csv"), history("stopped/history.csv")
    assert set(expected) <= set(result)
    for name, values in expected.items():
        np.testing.assert_allclose(result[name], values, rtol=1e-4, err_msg=name)
    return run


def test_a_run_of_train_restores_and_goes_on(unpacked):
    import oppai

    given, expected = unpacked("oppai_train")
    restorer = oppai.load_restorer("stopped")
    inputs = [given["signed"], given["valid"]]
    assert_close(restorer.network(inputs), expected["network"])
    restored = oppai.restore(
        given["picture"], mask=given["hidden"], restorer=restorer, feather=4
    )
    assert_close(restored, expected["restored"])
    run = assert_resumes(oppai.train, ("pictures", "meta.json"))
    network = oppai.load_restorer(run).network
    assert_close(network(inputs), expected["trained"], atol=1e-4)


def test_a_run_of_train_mosaic_and_its_exported_weights_restore(unpacked):
    import oppai

    given, expected = unpacked("oppai_train_mosaic")
    picture, hidden = given.pop("picture"), given.pop("hidden")
    given = with_grid(given, (8, 8, 0, 0))
    restorer = oppai.load_restorer("whole")
    assert_close(restorer.network(given), expected["network"])
    missing = oppai.Censored(None, hidden)
    restored = oppai.restore(picture, found=missing, restorer=restorer, feather=4)
    assert_close(restored, expected["restored"])

    for variable in restorer.weights:
        variable.assign(np.zeros(variable.shape))
    restorer.load_weights("exported.weights.h5")
    assert_close(restorer.network(given), expected["network"])


def test_weights_as_the_package_ships_them_fit_the_network_by_name(unpacked):
    import oppai

    given, expected = unpacked("oppai_train_mosaic")
    given = with_grid(given, (8, 8, 0, 0))
    with np.load("exported.npz", allow_pickle=False) as file:
        weights = {name: file[name] for name in file.files}
    network = oppai.MosaicUNet(**json.loads(weights.pop("network.json").tobytes()))
    assert {variable.path for variable in network.weights} == set(weights)
    for variable in network.weights:
        variable.assign(weights[variable.path].astype("float32"))
    assert_close(network(given), expected["shipped"])


def test_the_restorer_of_the_package_gives_the_same_picture():
    import oppai

    given, expected = arrays("default_restorer")
    restored = oppai.restore(
        given["picture"], mask=given["hidden"], feather=4, fill=True
    )
    assert_close(restored, expected["restored"])


def test_a_run_of_train_detector_finds_the_same_boxes(unpacked, monkeypatch):
    import facescore
    from facescore.boxes import iou_matrix
    from facescore.detector import prediction, views

    def best_ones(boxes, scores, levels, n_levels, *, iou, least, top):
        kept = []
        for i in np.argsort(-scores, kind="stable"):
            if scores[i] >= least and len(kept) < top:
                others = boxes[kept].reshape(-1, 4)
                if not (iou_matrix(boxes[i : i + 1], others) > iou).any():
                    kept.append(i)
        return boxes[kept], scores[kept]

    given, expected = unpacked("facescore_train_detector")
    detector = facescore.load_detector("whole")
    options = {"conf": 0.0, "iou": 0.3, "imgsz": 256}
    # It searched squares, kept the pieces of faces, and of alike boxes the best one.
    monkeypatch.setattr(views, "choose_shape", lambda size, shapes: (256, 256))
    monkeypatch.setattr(
        prediction, "is_piece", lambda boxes: np.zeros(len(boxes), bool)
    )
    monkeypatch.setattr(prediction, "fuse", best_ones)
    faces = facescore.detect_faces(given["picture"], detector, **options)
    boxes = np.array([face.box for face in faces[:6]])
    confidences = np.array([face.confidence for face in faces[:6]])
    # Two confidences differ by 1e-7: either may come first.
    boxes = boxes[np.lexsort(np.rint(boxes).T)]
    expected["boxes"] = expected["boxes"][np.lexsort(np.rint(expected["boxes"]).T)]
    assert_close(np.sort(confidences), np.sort(expected["confidences"]))
    assert_close(boxes, expected["boxes"], atol=1e-2)


def test_a_run_of_train_scorer_scores_and_goes_on(unpacked):
    import facescore

    given, expected = unpacked("facescore_train_scorer")
    crops = given["pictures"]
    scorer = facescore.load_scorer("stopped")
    assert_close(scorer.predict_scores(crops), expected["scores"])
    faces = [facescore.score(crop, scorer=scorer, detector=None)[0] for crop in crops]
    assert_close([face.score for face in faces], expected["whole"])
    run = assert_resumes(facescore.train_scorer, ("crops",))
    trained = facescore.load_scorer(run).predict_scores(crops)
    assert_close(trained, expected["trained"], atol=1e-4)


def test_a_run_of_diffusion_makes_the_same_pictures(unpacked):
    import diffusion

    given, expected = unpacked("diffusion_train")
    diffuser = diffusion.load_diffuser("whole")
    inputs = [given[name] for name in ("x_t", "t", "x_self_cond")]
    assert_close(diffuser.average(inputs), expected["network"])
    assert_close(diffuser.unet(inputs), expected["unet"])
    options = {"steps": 4, "seed": 5, "progress": False}
    for sampler in ("ddim", "dpm++"):
        pictures = diffusion.sample(diffuser, 2, sampler=sampler, **options)
        assert_close(pictures, expected[sampler.replace("+", "p")])


@pytest.mark.parametrize("name", LOADED)
def test_a_loader_reads_a_keras_file_of_its_models(loaded, name):
    for key, expected in arrays(name)[1].items():
        assert_close(loaded[f"loader {name} {key}"], expected)


@pytest.mark.parametrize("name", MODELS)
def test_keras_reads_a_file_once_its_recorded_modules_are_imported(loaded, name):
    assert str(loaded.get(f"error {name}", "")) == ""
    for key, expected in arrays(name)[1].items():
        # The Caffe scale goes to 255.
        atol = 1e-3 if name == "oppai_layers" else 1e-5
        assert_close(loaded[f"keras {name} {key}"], expected, atol=atol)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_of_a_file_is_that_of_its_training(loaded, name):
    assert str(loaded[f"optimizer {name}"]) == OPTIMIZERS[name]
