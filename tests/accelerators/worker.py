"""Train the cases of one process's configurations and write the results.

    python -m tests.accelerators.worker DATA '[["one", OUT, [CASE, ...]], ...]'

Each part of the JSON is a configuration ("one", "mirrored", "workers" or "jax"), the
folder of its results, and its cases. The environment names Keras' backend, the workers
(`TF_CONFIG`) or the number of JAX's devices (`XLA_FLAGS`).
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

STRATEGIES = {"one": "one", "mirrored": "mirrored", "workers": "multiworker"}


def callbacks(record, *, eager):
    """Return callbacks that set the first weights and record losses and last weights.

    Args:
        record: Dict to record them in.
        eager: Whether TensorFlow runs the steps without tracing them, which takes a
            quarter of the time for a few steps.
    """
    import keras

    from illustkit._keras_compat import sync_jax_state
    from illustkit.runtime import n_workers

    class Recorder(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            set_fixed_weights(self.model)
            self.first = self.learnt()
            # Adam divides by the gradient's own size. If that is almost zero, its last
            # bit decides a whole step, and this bit differs between devices. With a
            # large epsilon these steps stay small.
            if hasattr(self.model.optimizer, "epsilon"):
                self.model.optimizer.epsilon = 1e-2

        def learnt(self):
            variables = self.model.trainable_variables
            return [keras.ops.convert_to_numpy(variable) for variable in variables]

        def on_epoch_begin(self, epoch, logs=None):
            run_eagerly(eager)

        def on_train_batch_end(self, batch, logs=None):
            logs = {name: float(value) for name, value in logs.items()}
            record["steps"].append(logs)

        def on_epoch_end(self, epoch, logs=None):
            # Several workers gather their predictions, which only works in a graph.
            run_eagerly(eager and n_workers() == 1)

        def on_train_end(self, logs=None):
            run_eagerly(False)
            sync_jax_state(self.model)
            record["weights"] = self.model.get_weights()
            pairs = zip(self.first, self.learnt(), strict=True)
            record["moved"] = max(float(np.abs(a - b).max()) for a, b in pairs)
            names = [variable.name for variable in self.model.weights]
            record["moving"] = [
                i for i, name in enumerate(names) if name.startswith("moving_")
            ]

    return [Recorder()]


def set_fixed_weights(model):
    """Set weights that do not depend on the random numbers of the backend."""
    import keras

    for number, variable in enumerate(model.trainable_variables):
        before = keras.ops.convert_to_numpy(variable)
        if before.min() == before.max():
            continue  # a constant, such as the scale of a normalisation
        rng = np.random.default_rng(number)
        fan_in = np.prod(before.shape[:-1]) if before.ndim > 1 else 200
        scale = (2 / fan_in) ** 0.5  # as He's
        variable.assign(rng.normal(0, scale, before.shape).astype("float32"))


def run_eagerly(eager):
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(eager)


def stop():
    """Return a callback that ends a training after its first epoch."""
    import keras

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    return Stop()


def dropped(folder):
    """Return what each replica of a Mirrored strategy drops out, layer by layer.

    Returns:
        Dict from a network's name to a list of lists of masks.
    """
    import keras

    from diffusion.network.unet import UNet
    from facescore.scorer.networks import AlexNet, AnimeCNN, SmallNet
    from illustkit.runtime import get_strategy, scope
    from illustkit.training.dropout import Dropout

    networks = {
        "smallnet": lambda: SmallNet(16, (4, 6), places=2),
        "animecnn": lambda: AnimeCNN(16),
        "alexnet": lambda: AlexNet(19, hidden_units=8),
        "unet": lambda: UNet(8, 8, (1,), version="2", dropout=0.5),
    }
    strategy, masks = get_strategy("mirrored"), {}
    ones = np.ones((1, 32), "float32")
    for name, make in networks.items():
        with scope(strategy):
            keras.utils.set_random_seed(1)
            network = make()
        masks[name] = []
        for layer in network.layers:
            if isinstance(layer, keras.layers.Dropout):
                masks[name].append(f"{layer.name} draws the same on every replica")
            elif isinstance(layer, Dropout):
                drawn = strategy.run(lambda layer=layer: layer(ones, training=True))
                drawn = strategy.experimental_local_results(drawn)
                masks[name].append([(d.numpy() > 0).tolist() for d in drawn])
    return masks


def split_cpu():
    """Make two logical CPUs, over which "mirrored" goes; "one" takes the first."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )


def train_all(configuration, data, out, names):
    """Train the cases of a configuration."""
    from illustkit.runtime import worker_index
    from tests.accelerators.cases import CASES

    strategy, number = STRATEGIES.get(configuration, "auto"), worker_index()
    results = {}
    for name in names:
        # "name"; "name:resumed": stopped and resumed; "name:traced": not eager;
        # "name:unsampled": it draws no pictures in between.
        name, _, how = name.partition(":")
        eager, options = "traced" not in how, {"strategy": strategy}
        options |= {"sample_every": 0} if "unsampled" in how else {}
        record = {"steps": []}
        folder = out / "runs" / name
        if "resumed" in how:
            until_stopped = [*callbacks(record, eager=eager), stop()]
            stopped = CASES[name](data, folder, callbacks=until_stopped, **options)
            record["stopped_after"] = stopped.epochs_done
        run = CASES[name](
            data, folder, callbacks=callbacks(record, eager=eager), **options
        )
        np.savez(out / f"{name}-{number}.npz", *record.pop("weights"))
        # Only the first worker writes the history; others may read it too early.
        results[name] = {**record, "history": run.history if number == 0 else None}
        print(name, round(sum(os.times()[:2]), 1), "s of processor", flush=True)
    if configuration == "mirrored":
        results["dropped"] = dropped(out)
    (out / f"results-{number}.json").write_text(json.dumps(results))


def main(data, parts):
    if any(configuration == "mirrored" for configuration, *_ in parts):
        split_cpu()
    for configuration, out, names in parts:
        train_all(configuration, data, Path(out), names)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
