"""Settings of the scorers' trainings: hardware, time and what to expect."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ScorerPreset:
    """Settings of `facescore.train_scorer`; each of them is also an option of it.

    Args:
        network: "small", "animecnn" or "alexnet".
        image_size: (width, height) in pixels; crops of other sizes are stretched to it.
        network_options: More keyword arguments of the network.
        objective: "regression" or "coral".
        batch_size: Pictures a step, over all devices.
        epochs: Passes over the training crops.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        learning_rate: The greatest; it rises over the first epoch and falls to zero
            along a cosine.
        weight_decay: Of the kernels.
        flip: Probability of mirroring.
        shift: Greatest shift either way, as a share of the side.
        zoom: Least and greatest scale.
        turn: Greatest rotation either way, in degrees.
        brightness: Greatest change of light and of contrast either way, as a share.
        blur: Probability of losing resolution, as a small picture has lost it.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
    """

    network: str = "small"
    image_size: tuple = (96, 96)
    network_options: dict = field(default_factory=dict)
    objective: str = "regression"
    batch_size: int = 16
    epochs: int = 20
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    flip: float = 0.5
    shift: float = 0.03
    zoom: tuple = (0.93, 1.08)
    turn: float = 3.0
    brightness: float = 0.1
    blur: float = 0.1
    precision: str = "float32"


SMALL = ScorerPreset()
"""0.39 M parameters. 2,000 crops take 4 to 6 minutes on two CPU cores. On the taste of
`facescore.taste` it reached a Spearman correlation of 0.84 on 500 unseen faces, where
the noise allows 0.90, and a mean error of 0.62 points. Faces have to be framed about as
in training: a box moved by a tenth of the face changes a score by half a point."""

ANIMECNN = ScorerPreset(
    network="animecnn",
    image_size=(144, 96),
    batch_size=100,
    epochs=50,
    learning_rate=1e-3,
)
"""The article's first year: pictures of 144×96, a hundred a step."""

ALEXNET_WHOLE = ScorerPreset(
    network="alexnet",
    image_size=(640, 360),
    epochs=50,
    learning_rate=1e-4,
)
"""The article's second year: whole pictures, stretched to 640×360; 239.7 M parameters.
For a GPU: weights, gradients and AdamW's two averages take 4 GB."""

ALEXNET_FACE = ScorerPreset(
    network="alexnet",
    image_size=(360, 360),
    epochs=50,
    learning_rate=1e-4,
)
"""The article's third year: faces of 360×360; 147.4 M parameters, 2.4 GB with AdamW's
averages. For a GPU."""

SCORER_PRESETS = {
    "small": SMALL,
    "animecnn": ANIMECNN,
    "alexnet-whole": ALEXNET_WHOLE,
    "alexnet-face": ALEXNET_FACE,
}
