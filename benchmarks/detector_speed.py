"""How many pictures a second do the face detectors and the cascade search?

    python benchmarks/detector_speed.py [--pictures 40] [--image-size 640]

The networks have random weights, because the speed does not depend on them. A detection
takes one picture in memory through letterbox, network, decoding and suppression. For
each engine of the detector that ships, the time of a fresh Python from its start to the
faces of one picture is given too, and how far its raw predictions are from Keras'.
"""

import argparse
import os
import subprocess
import sys
import time

from devices import processor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

START = """
import numpy as np, facescore
facescore.detect_faces(np.zeros((640, 640, 3), np.uint8), engine="{}")
"""


def pictures_a_second(detect, pictures):
    """Return one over the median seconds of a picture, after two warm-up pictures."""
    for picture in pictures[:2]:
        detect(picture)
    times = []
    for picture in pictures:
        start = time.perf_counter()
        detect(picture)
        times.append(time.perf_counter() - start)
    return 1 / sorted(times)[len(times) // 2]


def engines(pictures, image_size):
    """Print one line for each engine of the detector that ships, timed in turn."""
    import numpy as np

    from facescore.detector.prediction import load_detector

    names = "keras", "onnx", "opencv"
    detectors = {name: load_detector("default", engine=name) for name in names}
    pair = np.stack(pictures[:2])
    raws = {
        n: np.asarray(d.network.predict_on_batch(pair)) for n, d in detectors.items()
    }
    times = {name: [] for name in names}
    for picture in [*pictures[:2], *pictures]:
        for name, detector in detectors.items():
            start = time.perf_counter()
            detector.detect(picture, image_size=image_size)
            times[name].append(time.perf_counter() - start)
    starts = {name: [] for name in names}
    for _ in range(3):
        for name in names:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", START.format(name)], check=True)
            starts[name].append(time.perf_counter() - start)
    for name in names:
        print(
            f"default on {name:6s}  {1 / np.median(times[name][2:]):6.1f} pictures/s"
            f"  start {min(starts[name]):5.2f} s  furthest from Keras "
            f"{np.abs(raws[name] - raws['keras']).max():.0e}"
        )


def main():
    """Print one line for each detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--image-size", type=int, default=640)
    options = parser.parse_args()

    import keras

    from facescore.detector.cascade import Cascade
    from facescore.detector.network import DetectorNetwork
    from facescore.detector.prediction import Detector
    from facescore.detector.training import DETECTOR_PRESETS
    from facescore.synthetic.scenes import draw_scene
    from illustkit.errors import UserError

    scenes = [draw_scene(seed)[0] for seed in range(8)]
    pictures = [scenes[i % len(scenes)] for i in range(options.pictures)]
    print(
        f"{processor()}, Keras {keras.__version__} on "
        f"{keras.backend.backend()}; scenes of 640x640, image size {options.image_size}"
    )
    for name in ("tiny", "small"):
        preset = DETECTOR_PRESETS[name]
        network = DetectorNetwork(preset.widths, preset.depths, preset.head)
        detector = Detector(network)
        speed = pictures_a_second(
            lambda picture, d=detector: d.detect(
                picture, image_size=options.image_size
            ),
            pictures,
        )
        millions = network.count_params() / 1e6
        print(f"{name:8s} {millions:5.2f} M parameters  {speed:6.1f} pictures/s")
    engines(pictures, options.image_size)
    try:
        cascade = Cascade()
    except UserError as error:
        print(f"cascade: {error}")
    else:
        speed = pictures_a_second(cascade.detect, pictures)
        print(f"{'cascade':8s}                     {speed:6.1f} pictures/s")


if __name__ == "__main__":
    main()
