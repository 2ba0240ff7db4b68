"""A Python without Keras' backend: what the commands and the packages say."""

import importlib
import os
import subprocess
import sys
from unittest.mock import Mock

import pytest

import oppai
from illustkit.runtime import missing_backend
from tests.conftest import ROOT

ADVICE = (
    "Keras finds no TensorFlow. Set KERAS_BACKEND=jax, since JAX is here, "
    'or pip install "illustkit[tensorflow]"'
)


@pytest.fixture
def no_keras_yet(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setitem(sys.modules, "jax", None)  # found by no import


@pytest.mark.parametrize(
    "missing, advice",
    [
        (
            "tensorflow.python",
            'Keras finds no TensorFlow: pip install "illustkit[tensorflow]", '
            'or pip install "illustkit[jax]" and set KERAS_BACKEND=jax',
        ),
        ("jax", 'Keras finds no JAX: pip install "illustkit[jax]"'),
        (
            "torch",
            'Keras finds no PyTorch: pip install "illustkit[tensorflow]" '
            "and unset KERAS_BACKEND",
        ),
        ("PIL", None),
        (None, None),
    ],
)
def test_it_says_what_to_install(no_keras_yet, missing, advice):
    assert missing_backend(ModuleNotFoundError(name=missing)) == advice


def test_a_running_keras_has_its_backend(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", object())
    assert missing_backend(ModuleNotFoundError(name="tensorflow")) is None


def test_a_name_of_a_package_says_it_too(no_keras_yet, monkeypatch):
    # Another test may have asked for it, and then it stays.
    monkeypatch.delitem(vars(oppai), "PConv2D", raising=False)
    for missing, said in (("tensorflow", "illustkit.tensorflow"), ("PIL", "no PIL")):
        error = ModuleNotFoundError(f"no {missing}", name=missing)
        monkeypatch.setattr(importlib, "import_module", Mock(side_effect=error))
        with pytest.raises(ModuleNotFoundError, match=said):
            _ = oppai.PConv2D


def test_a_command_says_it_in_one_line(tmp_path):
    # JAX is only looked for, TensorFlow is only hidden: Keras itself fails here.
    (tmp_path / "jax.py").touch()
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.path.append('.'); "
        "from oppai.cli.main import app; app(['demo'], prog_name='oppai')"
    )
    variables = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    variables["PYTHONPATH"] = os.pathsep.join([p for p in sys.path if p])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, f"oppai: {ADVICE}\n")


TENSORFLOW = """
import os
os.write(2, b"I0000 port.cc: oneDNN is on\\n")
level = os.environ["TF_CPP_MIN_LOG_LEVEL"]
{}
"""


@pytest.mark.parametrize(
    "then, level, printed",
    [
        ("", None, ["level 3"]),
        ("", "2", ["level 2"]),
        ("", "1", ["I0000 port.cc: oneDNN is on", "level 1"]),
        ("import cuda", None, ["I0000 port.cc: oneDNN is on", "no cuda"]),
    ],
    ids=["silent", "set", "the user wants the log", "a failure shows it"],
)
def test_the_log_of_tensorflow_stays_off_the_terminal(tmp_path, then, level, printed):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(TENSORFLOW.format(then))
    code = (
        "import os, sys; from illustkit.runtime import silence_tensorflow\n"
        "silence_tensorflow()\n"
        "try:\n    import tensorflow\n"
        "except ImportError:\n    print('no cuda', file=sys.stderr)\n"
        "else:\n    print('level', tensorflow.level, file=sys.stderr)"
    )
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT)])
    if level is not None:
        env["TF_CPP_MIN_LOG_LEVEL"] = level
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True
    )
    assert done.stderr.splitlines() == printed
