"""How many pictures a second do the face detectors search, beside YOLO's smallest?

    python benchmarks/detector_speed.py [--pictures 20] [--image-size 640]

Everything takes the same picture in turn, so that other work on the machine slows all
of them: the detector that ships on each of its engines, the preset `tiny`, the cascade
if its file is here, and Ultralytics' YOLO11n and YOLO26n if `ultralytics` can be
imported. YOLO and `tiny` have random weights, because the speed does not depend on
them. A detection takes one picture in memory through letterbox, network, decoding and
suppression. The least time counts, and that of the processor, which other work disturbs
least: its ratio to YOLO11n's, or to that of Keras.

Then the time of a comic page of 992x1401, as it is searched by default and with
`tile=None`; and for each engine the time of a fresh Python from its start to the faces
of one picture, and how far its raw predictions are from Keras'.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np
from devices import processor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ENGINES = "keras", "onnx", "opencv"
SHAPES = {"square": (640, 640), "broad": (640, 360)}
START = """
import numpy as np, facescore
facescore.detect_faces(np.zeros((640, 640, 3), np.uint8), engine="{}")
"""


def searchers(image_size):
    """Return a dict from a name to a function from a picture to its faces."""
    from facescore.detector.cascade import Cascade
    from facescore.detector.network import DetectorNetwork
    from facescore.detector.prediction import Detector, load_detector
    from facescore.detector.training import DETECTOR_PRESETS
    from illustkit.errors import UserError

    def search(detector):
        return lambda picture: detector.detect(picture, image_size=image_size)

    preset = DETECTOR_PRESETS["tiny"]
    tiny = DetectorNetwork(preset.widths, preset.depths, preset.head)
    found = {
        f"default, {engine}": search(load_detector("default", engine=engine))
        for engine in ENGINES
    }
    found["tiny, keras"] = search(Detector(tiny))
    try:
        found["cascade"] = Cascade().detect
    except UserError as error:
        print(f"cascade: left out. {error}")
    try:
        import ultralytics
    except ImportError:
        print("YOLO: left out. `ultralytics` cannot be imported.")
        return found
    options = {"imgsz": image_size, "device": "cpu", "verbose": False}
    for name in ("yolo11n", "yolo26n"):
        model = ultralytics.YOLO(f"{name}.yaml")
        found[name] = lambda picture, m=model: m.predict(picture, **options)
    return found


def timed(functions, pictures):
    """Return a dict from names to (seconds, processor's seconds) of each picture."""
    times = {name: [] for name in functions}
    for number, picture in enumerate([*pictures[:2], *pictures]):
        for name, function in functions.items():
            start, worked = time.perf_counter(), time.process_time()
            function(picture)
            if number >= 2:  # the first ones warm up
                both = time.perf_counter() - start, time.process_time() - worked
                times[name].append(both)
    return times


def table(functions, pictures, baseline=None):
    """Print a row for each function."""
    times = timed(functions, pictures)
    if baseline is None:
        baseline = "yolo11n" if "yolo11n" in times else "default, keras"
    print(f"| | least ms | processor ms | work of {baseline} |\n|-|-|-|-|")
    least = {name: np.min(pairs, axis=0) for name, pairs in times.items()}
    for name, (seconds, work) in least.items():
        ratio = work / least[baseline][1]
        print(f"| {name} | {seconds * 1e3:.0f} | {work * 1e3:.0f} | {ratio:.2f} |")


def starts():
    """Print the start of each engine, and its furthest raw prediction from Keras'."""
    from facescore.detector.prediction import load_detector

    pair = np.random.default_rng(0).integers(0, 256, (2, 640, 640, 3), "uint8")
    raws, seconds = {}, {name: [] for name in ENGINES}
    for name in ENGINES:
        network = load_detector("default", engine=name).network
        raws[name] = np.asarray(network.predict_on_batch(pair))
    for _ in range(3):
        for name in ENGINES:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", START.format(name)], check=True)
            seconds[name].append(time.perf_counter() - start)
    print("| engine | start, s | furthest from Keras |\n|-|-|-|")
    for name in ENGINES:
        furthest = np.abs(raws[name] - raws["keras"]).max()
        print(f"| {name} | {min(seconds[name]):.2f} | {furthest:.0e} |")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=640)
    options = parser.parse_args()

    import cv2
    import keras

    from facescore.detector.prediction import load_detector
    from facescore.synthetic.scenes import draw_scene

    scenes = [draw_scene(seed)[0] for seed in range(8)]
    functions = searchers(options.image_size)
    print(f"{processor()}, Keras {keras.__version__} on {keras.backend.backend()}")
    for name, (width, height) in SHAPES.items():
        cut = [scene[:height, :width] for scene in scenes]
        print(f"\n{name}: {width}x{height}, image size {options.image_size}")
        table(functions, [cut[i % len(cut)] for i in range(options.pictures)])
    print("\na page of 992x1401")
    page = cv2.resize(scenes[0], (992, 1401))
    ways = {}
    for engine in ENGINES:
        detector = load_detector("default", engine=engine)
        ways[f"{engine}, auto"] = detector.detect
        ways[f"{engine}, tile=None"] = lambda p, d=detector: d.detect(p, tile=None)
    table(ways, [page] * max(3, options.pictures // 4), "keras, tile=None")
    print()
    starts()


if __name__ == "__main__":
    main()
