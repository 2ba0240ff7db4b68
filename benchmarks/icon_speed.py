"""How much processor time does one wished 64×64 icon take, on which engine?

    python benchmarks/icon_speed.py [--student RUN] [--rounds 3]
    python benchmarks/icon_speed.py --only preprint

The packaged model with a wish and guidance 3 in 12 steps of dpm++, through Keras and
through the exported files, on one thread; students of `illust-diffusion distill` beside
it. Processor time counts, not the clock, and the best of the rounds. "preprint" takes
the preprint's network at 128×128 as a student; it is untrained, which is as fast.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from diffusion.attributes import encode
from diffusion.sampling.exporting import (
    describe_file,
    export,
    network_of,
    sampler_graph,
    sampling_table,
)

KINDS = "onnx", "students", "keras", "tflite", "start"
ONE_THREAD = "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"
WISH = {"hair": "red", "glasses": "yes"}


def seconds(make, rounds):
    """Return the least processor time of some calls, after one that warms up."""
    make()
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        make()
        best = min(best, time.process_time() - start)
    return best


def onnx(data):
    """Return what runs an ONNX file on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        data, options, providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_inputs()]
    return lambda given: session.run(None, {k: given[k] for k in names})[0]


def tflite(path):
    """Return what runs a TFLite file on one thread."""
    import tensorflow as tf

    runner = tf.lite.Interpreter(str(path), num_threads=1).get_signature_runner()
    names = runner.get_input_details()
    return lambda given: runner(**{k: given[k] for k in names})["icons"]


def preprint(patch, steps):
    """Return the preprint's network as a student of 128×128 icons, untrained."""
    import diffusion

    network = {"image_size": 128, "dim": 64, "dim_mults": (1, 2, 4, 8), "patch": patch}
    times = list(range(999, 0, -1000 // steps))[:steps]
    known = {"timesteps": times, "guidance": 1.0}
    return diffusion.Diffuser(network, objective="v", distilled=known)


def start(engine, folder):
    """Return the processor time of a fresh `illust-diffusion sample` of one icon."""
    command = [sys.executable, "-m", "diffusion", "sample", "--n", "1", "--engine"]
    before = os.times()
    subprocess.run(
        [*command, engine, "--output", folder / engine],
        check=True,
        capture_output=True,
    )
    after = os.times()
    own = after.children_user + after.children_system
    return own - before.children_user - before.children_system


def main():
    """Print the table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ONE_THREAD:  # before TensorFlow is imported
        os.environ.setdefault(name, "1")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help=", ".join((*KINDS, "preprint")))
    asked = parser.parse_args()
    kinds = asked.only or KINDS
    settings, arrays = network_of("default")
    width, height = settings["image_size"]
    rng = np.random.default_rng(0)
    given = {
        "noise": rng.standard_normal((1, height, width, 3), dtype="float32"),
        "attributes": encode(settings["attributes"], [WISH]),
        "guidance": np.full(1, 3, "float32"),
    }

    def row(name, make, evaluations):
        taken = seconds(make, asked.rounds)
        print(f"| {name} | {evaluations} | {taken:.3f} |", flush=True)

    def graph(steps, **more):
        of = {**settings, **more}
        table = sampling_table(of, None if more else steps)
        about = describe_file(of, steps)
        return onnx(sampler_graph(of, arrays, table, about))

    print("| way | evaluations | s |\n|-|-|-|")
    if "onnx" in kinds:
        run = graph(12)
        row("ONNX, guided, 12 steps", lambda: run(given), 24)
        times = [int(t) for t in sampling_table(settings, 12)[:, 0]]
        for steps in (4, 2, 1):
            # Any student has this network: its weights do not change its speed.
            known = {"timesteps": times[:: 12 // steps], "guidance": 3.0}
            run = graph(steps, distilled=known)
            row(f"ONNX, distilled, {steps} steps", lambda run=run: run(given), steps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "students" in kinds:
            for student in asked.student:
                run = onnx(export(student, folder / "student.onnx").read_bytes())
                row(f"ONNX, {student.name}", lambda run=run: run(given), "its own")
        if "keras" in kinds:
            import diffusion

            model = diffusion.load_diffuser("default")
            options = {"attributes": WISH, "progress": False}
            row(
                "Keras, guided, 12 steps",
                lambda: diffusion.sample(model, 1, **options),
                24,
            )
        for int8 in (False, True) if "tflite" in kinds else ():
            path = export("default", folder / "icon.tflite", int8=int8)
            run = tflite(path)
            row(
                f"LiteRT{', int8' * int8}, guided, 12 steps",
                lambda run=run: run(given),
                24,
            )
        noise = {"noise": rng.standard_normal((1, 128, 128, 3), dtype="float32")}
        for patch in (1, 2) if "preprint" in kinds else ():
            for steps in (4, 2, 1):
                model = preprint(patch, steps)
                run = onnx(export(model, folder / "preprint.onnx").read_bytes())
                size = f"128×128, squares of {patch}, {steps} steps"
                row(f"ONNX, {size}", lambda run=run: run(noise), steps)
                path = export(model, folder / "preprint.tflite", int8=True)
                run = tflite(path)
                row(f"LiteRT, int8, {size}", lambda run=run: run(noise), steps)
        for engine in ("keras", "onnx") if "start" in kinds else ():
            print(f"| fresh `sample --n 1 --engine {engine}` | | ", end="")
            print(f"{start(engine, folder):.1f} |", flush=True)


if __name__ == "__main__":
    main()
