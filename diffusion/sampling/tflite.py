"""Write a model with its sampler as a TFLite file, by Keras' exporter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from diffusion.network.model import build_diffuser
from illustkit.exported import export_network
from illustkit.runtime import precision


class _Sampler(keras.layers.Layer):
    """Samples by the steps of a table; see `diffusion.export`."""

    def __init__(self, diffuser, table, guided):
        super().__init__(dtype="float32")
        self.network, self.table, self.guided = diffuser.average, table, guided
        self.attributes = bool(diffuser.attributes)
        self.distilled = bool(diffuser.distilled)
        self.self_condition = diffuser.unet.self_condition

    def call(self, inputs):
        noise = inputs["noise"]
        wish = inputs["attributes"] if self.attributes else None
        table = ops.convert_to_tensor(self.table)

        def step(i, state):
            x, before = state
            row = table[i]
            own = ops.zeros_like(before) if self.distilled else before
            given, said = [x], wish
            if self.guided:
                given, own = [ops.concatenate([x, x])], ops.concatenate([own, own])
                said = ops.concatenate([wish, ops.zeros_like(wish)])
            n = given[0].shape[0]
            given.append(ops.broadcast_to(ops.cast(row[0], "int32"), (n,)))
            if self.self_condition:
                given.append(own)
            if self.attributes:
                given.append(said)
            output = self.network(given)
            if self.guided:
                wished, without = ops.split(output, 2)
                output = without + inputs["guidance"] * (wished - without)
            x0 = row[1] * x + row[2] * output
            x0 = x0 if self.distilled else ops.clip(x0, -1, 1)
            return row[3] * x + row[4] * x0 + row[5] * before, x0

        # A loop, which holds the network once.
        state = noise, ops.zeros_like(noise)
        x, _ = ops.fori_loop(0, len(self.table), step, state)
        return ops.cast(ops.clip(ops.round((x + 1) * 127.5), 0, 255), "uint8")

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs["noise"].shape, "uint8")


def write_tflite(
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    table: np.ndarray,
    path: Path,
    about: dict[str, Any],
    *,
    int8: bool = False,
) -> Path:
    """Write the sampler and its network as a TFLite file for one icon at a time.

    Args:
        settings: A run's settings.
        arrays: The network's weights by their paths.
        table: What `diffusion.sampling.exporting.sampling_table` returned.
        path: The `.tflite`.
        about: What the file says of itself.
        int8: Whether the weights are stored in 8 bits.

    Returns:
        The path.
    """
    with precision("float32"):
        diffuser = build_diffuser(settings)
        for weight in diffuser.average.weights:
            weight.assign(arrays[weight.path])
        width, height = settings["image_size"]
        shape = (1, height, width, settings["channels"])
        inputs = {"noise": keras.Input(batch_shape=shape, name="noise")}
        guided = bool(diffuser.attributes) and not diffuser.distilled
        if diffuser.attributes:
            values = diffuser.unet.attributes
            wish = keras.Input(batch_shape=(1, values), name="attributes")
            inputs["attributes"] = wish
        if guided:
            inputs["guidance"] = keras.Input(batch_shape=(1,), name="guidance")
        icons = _Sampler(diffuser, table, guided)(inputs)
        network = keras.Model(inputs, {"icons": icons})
    return export_network(network, path, about, int8=int8)
