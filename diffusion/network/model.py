"""The trainable diffusion model: a U-Net, its average, and what they learn."""

from pathlib import Path

import numpy as np
from keras import ops

from diffusion.network.unet import UNet
from diffusion.process import OBJECTIVES, loss_weights, predict_x0, q_sample, target
from diffusion.schedules import make_schedule
from illustkit.images import uint8_to_signed
from illustkit.runtime import replicas
from illustkit.training.runs import Run
from illustkit.training.trainable import Trainable, precision

LOSSES = "l1", "mse"
AVERAGE = "average.weights.h5"


class Diffuser(Trainable):
    """A U-Net that learns to take noise away, and the moving average of its weights.

    Example:
    ```python
    diffuser = Diffuser({"image_size": (64, 64), "dim": 32}, objective="noise")
    diffuser.compile(keras.optimizers.Adam(1e-4, 0.9, 0.99, 1e-8))
    diffuser.fit(batches, shuffle=False, callbacks=[Averaging()])
    ```

    Args:
        network: Dict, the keyword arguments of `diffusion.UNet`.
        schedule: "cosine", "linear" or "sigmoid". Defaults to "cosine".
        timesteps: T. Defaults to 1000.
        objective: What the network predicts: "noise", "x0" or "v". Defaults to "noise".
        loss: "l1" or "mse". Defaults to "l1".
        min_snr_gamma: Cap of the signal-to-noise ratio in the loss weights; see
            `diffusion.process.loss_weights`. Defaults to none.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: A batch of `diffusion.training.train.NoisedIcons`.

    Returns:
        What the network predicts, float32, shaped as the pictures.

    Raises:
        ValueError: for an unknown objective or loss.

    Reference:
        - [Denoising diffusion probabilistic models](https://arxiv.org/abs/2006.11239)
        - [Analog bits](https://arxiv.org/abs/2208.04202), for self-conditioning
    """

    def __init__(
        self,
        network,
        *,
        schedule="cosine",
        timesteps=1000,
        objective="noise",
        loss="l1",
        min_snr_gamma=None,
        **kwargs,
    ):
        for name, value, known in (
            ("objective", objective, OBJECTIVES),
            ("loss", loss, LOSSES),
        ):
            if value not in known:
                raise ValueError(f"`{name}` is one of {known}. Received: {value!r}")
        # The noise stays float32 under any precision: it is what is to be learned.
        super().__init__({loss: 1}, autocast=False, **kwargs)
        self.unet, self.average = UNet(**network), UNet(**network)
        self.average.set_weights(self.unet.get_weights())
        self.average.trainable = False
        self.schedule = make_schedule(schedule, timesteps)
        self.objective, self.loss_name = objective, loss
        self.loss_weights = loss_weights(
            self.schedule,
            objective,
            min_snr_gamma=min_snr_gamma,
            version=self.unet.version,
        ).astype("float32")
        self.built = True

    @property
    def image_size(self):
        """(width, height) of the pictures, or `None` where the network takes any."""
        return self.unet.image_size

    @property
    def channels(self):
        """Number of channels of the pictures."""
        return self.unet.channels

    def call(self, inputs, training=False):
        x0 = uint8_to_signed(inputs["pictures"])
        t = ops.convert_to_tensor(inputs["t"])
        x_t = q_sample(self.schedule, x0, t, inputs["noise"])
        if not self.unet.self_condition:
            return ops.cast(self.unet([x_t, t], training=training), "float32")
        output = self.unet([x_t, t, ops.zeros_like(x_t)], training=training)
        own = predict_x0(self.schedule, self.objective, x_t, t, output)
        # Clipped, as a sampler's estimates are: at the noisiest timesteps it is huge.
        own = ops.stop_gradient(ops.clip(own, -1, 1))
        own = own * inputs["see_own"][:, None, None, None]
        return ops.cast(self.unet([x_t, t, own], training=training), "float32")

    def parts(self, x, y, y_pred, training):
        x0, t = uint8_to_signed(x["pictures"]), x["t"]
        wanted = target(self.schedule, self.objective, x0, t, x["noise"])
        error = y_pred - wanted
        error = ops.abs(error) if self.loss_name == "l1" else ops.square(error)
        weight = ops.take(ops.convert_to_tensor(self.loss_weights), t)
        return {self.loss_name: weight * ops.mean(error, axis=(1, 2, 3))}

    def denoiser(self, average=True):
        """The network as the samplers take it.

        Args:
            average: Whether to take the averaged weights. Defaults to `True`.

        Returns:
            A function of `x_t` `(batch, height, width, channels)`, `t` `(batch,)` and,
            for a self-conditioned network, its last estimate, to a NumPy array.
        """
        network = self.average if average else self.unet
        sharing = replicas(None)

        def model(x_t, t, x_self_cond=None):
            inputs = [np.asarray(x_t, "float32"), np.asarray(t, "int32")]
            if self.unet.self_condition:
                own = np.zeros_like(inputs[0]) if x_self_cond is None else x_self_cond
                inputs.append(np.asarray(own, "float32"))
            # Filled up, where devices share a batch in equal parts; and under a
            # strategy each of them gives the same pictures, one after another.
            rows = np.arange(-(-len(x_t) // sharing) * sharing).clip(max=len(x_t) - 1)
            output = network.predict_on_batch([each[rows] for each in inputs])
            return np.asarray(output, "float32")[: len(x_t)]

        return model


def build_diffuser(settings):
    """Build the untrained model that a run's settings describe.

    Args:
        settings: Dict, as `Run.settings`.

    Returns:
        A `Diffuser`.
    """
    network = {
        "image_size": settings["image_size"],
        "dim": settings["dim"],
        "dim_mults": tuple(settings["dim_mults"]),
        "channels": settings["channels"],
        "version": settings["version"],
        "self_condition": settings["self_condition"] > 0,
        "dropout": settings["dropout"],
    }
    names = "schedule", "timesteps", "objective", "loss", "min_snr_gamma"
    return Diffuser(network, **{name: settings[name] for name in names})


def load_settings(run):
    """The settings of a run, after a look at what it is of.

    Args:
        run: A run folder: its path, or a `Run`.

    Returns:
        Dict, as `Run.settings`.

    Raises:
        ValueError: where there is no run, or one of something else.
    """
    run = run if isinstance(run, Run) else Run(run)
    if "timesteps" not in run.settings:
        raise ValueError(
            f"{run.folder} holds a run of something else than a diffusion model. "
            "Name another folder."
        )
    return run.settings


def load_diffuser(run, *, dtype="float32"):
    """Load a trained model, ready for `diffusion.sample`.

    Example:
    ```python
    diffuser = diffusion.load_diffuser("runs/icons")
    pictures = diffusion.sample(diffuser, 16)
    ```

    Args:
        run: A run folder: its path, or the `Run` that `diffusion.train` returned.
        dtype: Policy to compute with; "mixed_bfloat16" is quicker where the processor
            has it. Defaults to "float32".

    Returns:
        A `Diffuser` whose both networks have the averaged weights.

    Raises:
        ValueError: where there is no such run, or no weights in it.
    """
    run = run if isinstance(run, Run) else Run(run)
    settings = load_settings(run)
    path = Path(run.folder, AVERAGE)
    if not path.exists():
        raise ValueError(
            f"{run.folder} has no {AVERAGE} yet: wait for the training's first epoch "
            "to end, or train again."
        )
    with precision(dtype):
        diffuser = build_diffuser(settings)
    try:
        diffuser.average.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path} does not hold this run's weights ({reason}): train again, or take "
            "another run."
        ) from error
    diffuser.unet.set_weights(diffuser.average.get_weights())
    return diffuser
