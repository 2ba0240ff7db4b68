"""How much do exported restorers differ from Keras, and how fast do they run?

    python benchmarks/export_speed.py [--restorer default] [--rounds 20]

Exports to ONNX and TFLite and gives Keras and both runtimes the same two patches of a
drawn character: one with a mosaic, one whited out. Prints the largest difference over
both on the signed scale from -1 to 1. Keras' compiled prediction and the runtimes run
in turn on all cores, one patch at a time. Prints the time of the fastest round, and the
median ratio of the processor time to that of Keras in the same round, which is more
reliable on a busy machine. Without `--restorer`, the chapter's network and the network
that sees mosaics are used with random weights.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import oppai
from illustkit.images import uint8_to_signed
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import censor
from oppai.data.crops import cut_patch, expand_box
from oppai.data.mosaic_inputs import mosaic_inputs, stack_inputs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--restorer",
        action="append",
        help="a run or name for load_restorer; may be repeated",
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=256)
    options = parser.parse_args()
    print("| network | as | MB | largest difference | ms | × processor time |")
    print("|-|-|-|-|-|-|")
    for restorer in restorers(options.restorer, options.image_size):
        compare(restorer, options.image_size, options.rounds)


def restorers(names, size):
    if names:
        return [oppai.load_restorer(name) for name in names]
    from oppai.models.mosaic_unet import MosaicUNet
    from oppai.models.restorers import MosaicRestorer, Restorer

    weights = {"valid": 1.0, "hole": 1.0}
    return [Restorer(oppai.PConvUNet(size), weights), MosaicRestorer(MosaicUNet())]


def compare(restorer, size, rounds):
    from oppai.inference.export import export_restorer

    network = restorer.network
    batches = list(prepared(size, "grid" in names(network)))
    runners, megabytes = {"Keras": keras_runner(network)}, {"Keras": ""}
    with tempfile.TemporaryDirectory() as folder:
        for title, suffix, start in RUNTIMES:
            path = Path(folder, f"network{suffix}")
            export_restorer(restorer, path, image_size=size)
            megabytes[title] = f"{path.stat().st_size / 1e6:.1f}"
            runners[title] = start(path)
        expected = [runners["Keras"](x) for x in batches]
        seconds = {title: [] for title in runners}
        processor = {title: [] for title in runners}
        largest = dict.fromkeys(runners, 0.0)
        for number in range(rounds):
            x, y = batches[number % 2], expected[number % 2]
            for title, run in runners.items():
                begin = time.perf_counter(), time.process_time()
                result = run(x)
                seconds[title].append(time.perf_counter() - begin[0])
                processor[title].append(time.process_time() - begin[1])
                largest[title] = max(largest[title], np.abs(result - y).max())
    for title in runners:
        turns = zip(processor[title], processor["Keras"], strict=True)
        ratio = statistics.median(a / b for a, b in turns)
        print(
            f"| {type(network).__name__} | {title} | {megabytes[title]} | "
            f"{largest[title]:.1e} | {1000 * min(seconds[title]):.0f} | {ratio:.2f} |",
            flush=True,
        )


def names(network):
    return [x.name for x in network.inputs]


def prepared(size, sees_mosaics):
    """Yield the inputs of a patch with a mosaic and of a whited-out one, by name."""
    character = draw_character(0)
    height, width = character.image.shape[:2]
    square, _ = expand_box((width, height), character.face_box)
    patch = cut_patch(character.image, square, size)
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size * 3 // 4, size // 4 : size * 3 // 4] = 255
    for kind, grid in (("mosaic", Grid((8, 8))), ("white", None)):
        censored = censor(patch, mask, kind=kind)
        if sees_mosaics:
            x = stack_inputs([mosaic_inputs(censored, mask, grid)])
            yield {"picture": x["censored"], **x}  # what the files take is among them
        else:
            valid = (mask == 0).astype("float32")[None, ..., None]
            yield {"picture": uint8_to_signed(censored)[None], "mask": valid}


def keras_runner(network):
    takes_dict = isinstance(network.input, dict)

    def run(x):
        x = {name: x[name] for name in names(network)}
        x = x if takes_dict else list(x.values())
        return np.asarray(network.predict_on_batch(x))

    return run


def onnx_runner(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [x.name for x in session.get_inputs()]
    return lambda x: session.run(["restored"], {name: x[name] for name in names})[0]


def tflite_runner(path):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        from tensorflow import lite

        Interpreter = lite.Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    signature = interpreter.get_signature_runner()
    names = list(signature.get_input_details())
    return lambda x: signature(**{name: x[name] for name in names})["restored"]


RUNTIMES = (
    ("ONNX Runtime", ".onnx", onnx_runner),
    ("TFLite", ".tflite", tflite_runner),
)

if __name__ == "__main__":
    main()
