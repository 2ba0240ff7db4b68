"""Which values do the convolutions of the packaged restorers take and give?

    python benchmarks/int8_ranges.py CLIPART [--patches 24]

CLIPART is a folder with a `meta.json`. Restores patches of 256 pixels, around boxes of
pictures that are not kept apart, in the kinds and blocks of `mosaic_quality.py`, and
writes the least and the largest value in and after each convolution but the first and
the last to `oppai/weights/int8_ranges.json`. `restoring_speed.py` measures what int8
gains and loses with them. Needs `onnx` and ONNX Runtime.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from mosaic_quality import CELLS, boxed_patches
from restoring_speed import censored_patch

from illustkit.files import write_whole
from illustkit.training.shipped import read_network
from oppai.models.engines import EngineRestorer, network_graph
from oppai.models.pretrained import RANGES, SHIPPED

EXACT = "stem", "last"  # convolutions that stay in float32


def watched(name):
    """Return a restorer, and the ranges that its convolutions take so far."""
    settings, arrays = read_network(SHIPPED[name])
    restorer = EngineRestorer(settings, arrays, "onnx", passes=settings["passes"])
    model = onnx.load_model_from_string(network_graph(settings, arrays))
    nodes = {
        node.output[0]: node for node in model.graph.node if node.op_type == "Conv"
    }
    names = [k for k in nodes if f"{k}/kernel" in arrays and k not in EXACT]
    tensors = dict.fromkeys(t for k in names for t in (nodes[k].input[0], k))
    for tensor in tensors:
        model.graph.output.append(onnx.ValueInfoProto(name=tensor))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    ranges = {k: [np.inf, -np.inf] * 2 for k in names}

    def run(**inputs):
        last, *values = session.run(None, inputs)
        ends = {
            tensor: (float(value.min()), float(value.max()))
            for tensor, value in zip(tensors, values, strict=True)
        }
        for k, own in ranges.items():
            least, most = ends[nodes[k].input[0]]
            own[:2] = min(own[0], least), max(own[1], most)
            own[2:] = min(own[2], ends[k][0]), max(own[3], ends[k][1])
        return last

    restorer._run = run
    return restorer, ranges


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clipart", type=Path)
    parser.add_argument("--patches", type=int, default=24)
    options = parser.parse_args()
    kept = Path(__file__).with_name("held_out_clipart.txt").read_text("utf-8")
    kept = set(kept.split("\n"))
    files = sorted(path.name for path in (options.clipart / "images").iterdir())
    names = [name for name in files if name not in kept][: 4 * options.patches]
    _, patches, boxes = boxed_patches(
        options.clipart, options.clipart / "meta.json", names
    )
    result = {}
    for name in SHIPPED:
        restorer, ranges = watched(name)
        for i in range(min(options.patches, len(patches))):
            cell = list(CELLS.values())[i % len(CELLS)]
            seen, mask, grid = censored_patch(patches[i], boxes[i], cell, 1000 + i)
            restorer.restore_patches(seen[None], mask[None], [grid])
        # Four digits: what is rounded to 255 steps needs no more.
        result[name] = {
            k: [float(f"{v:.4g}") for v in own] for k, own in ranges.items()
        }
    write_whole(RANGES, f"{json.dumps(result)}\n".encode())
    print(f"{RANGES.name}: {len(result['default'])} convolutions of each restorer")


if __name__ == "__main__":
    main()
