"""Every command that trains takes a strategy and a precision."""

import importlib

import numpy as np
import pytest
import typer

from illustkit.images import write_image
from tests.commands import imported

TRAINING = {
    "oppai": {"train", "demo"},
    "facescore": {"train-detector", "train-scorer", "annotate train", "demo"},
    "diffusion": {"train", "experiment", "demo"},
}


def commands(group, path=()):
    """Yield every command of an app with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


@pytest.mark.parametrize("package", TRAINING)
def test_training_commands_take_a_strategy_and_a_precision(package):
    app = importlib.import_module(f"{package}.cli.main").app
    options = {
        name: {option for p in command.params for option in p.opts}
        for name, command in commands(typer.main.get_command(app))
    }
    trains = {name for name in options if {"train", "demo"} & set(name.split())}
    assert trains <= TRAINING[package] <= set(options)
    for name in TRAINING[package]:
        assert {"--strategy", "--precision"} <= options[name], name


@pytest.mark.parametrize("package", TRAINING)
def test_trainings_of_a_run_end_early_and_show_in_tensorboard(package):
    app = importlib.import_module(f"{package}.cli.main").app
    for name, command in commands(typer.main.get_command(app)):
        words = name.split()[-1].split("-")
        if "train" in words or "distill" in words:
            options = {option for p in command.params for option in p.opts}
            assert "--tensorboard" in options, name
            # A GAN and a student hold nothing out by which to judge them.
            judged = name not in ("train-gan", "distill")
            assert judged == ("--early-stopping" in options), name


LOOKS_FIRST = {
    "oppai": [
        *("train-translation clean missing", "translate missing --run missing"),
        *("clean missing", "colorize missing", "segment missing"),
        *("clean a.png --run missing", "complete a.png --mask missing"),
        *("complete a.png", "complete a.png --box 1,1,4,4 --mask a.png"),
        *("stylize missing --run missing --style a.png",),
        "stylize a.png --run missing --style missing",
    ],
    "facescore": [
        *("explain missing", "explain a.png --scorer missing"),
        *("train-detector missing", "evaluate-detector missing"),
        *("train-scorer missing", "evaluate-scorer missing"),
        *("annotate train missing", "annotate label missing"),
    ],
    "diffusion": [
        *("train missing", "train-gan missing", "compare missing", "sample missing"),
    ],
}


@pytest.mark.parametrize("package", LOOKS_FIRST)
def test_what_is_missing_is_told_before_keras_is_loaded(package, tmp_path):
    write_image(tmp_path / "a.png", np.full((8, 8, 3), 9, "uint8"))
    code = f"""
from {package}.cli.main import app
for command in {LOOKS_FIRST[package]!r}:
    try:
        app(command.split())
    except SystemExit as end:
        assert end.code == 2, command
"""
    assert not imported(code, "keras", "tensorflow", "jax", cwd=tmp_path)
