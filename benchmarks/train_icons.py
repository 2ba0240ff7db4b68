"""How was the packaged icon model trained, how new are its icons, and do they obey?

    python benchmarks/train_icons.py WORK draw
    python benchmarks/train_icons.py WORK train
    python benchmarks/train_icons.py WORK evaluate
    python benchmarks/train_icons.py WORK obey
    python benchmarks/train_icons.py WORK ship

WORK is the folder for the results. `illustkit.samples` draws the icons that are learnt;
those of eight pairs of attributes, such as red hair in twin tails, are left out, so
that "obey" can ask for pairs that were never seen.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from diffusion.attributes import encode, groups
from illustkit.figures import sheet
from illustkit.images import write_image
from illustkit.samples import (
    FACE_ICON_ATTRIBUTES,
    describe_face_icon,
    draw_face_icon,
)
from illustkit.tables import write_table

SIDE = 64
LEARNT, NEXT = 0, 10**6  # first seeds of the icons learnt, and of those kept apart
APART = (
    {"hair": "red", "hairstyle": "twin tails"},
    {"hair": "blue", "hairstyle": "buns"},
    {"hair": "blonde", "expression": "wink"},
    {"hair": "black", "glasses": "yes"},
    {"hairstyle": "bob", "accessory": "flower"},
    {"expression": "laugh", "glasses": "yes"},
    {"hair": "pink", "hairstyle": "spiky"},
    {"hair": "white", "eyes": "green"},
)
SETTINGS = {
    **{"image_size": SIDE, "patch": 2, "dim": 40, "dim_mults": (1, 2, 4)},
    **{"version": "2", "objective": "v", "loss": "mse", "min_snr_gamma": 5.0},
    **{"learning_rate": 8e-4, "warm_up": 200, "ema_every": 1, "ema_decay": 0.999},
    **{"batch_size": 16, "epoch_steps": 250, "precision": "auto"},
}
CLOSER = {
    **{"learning_rate": 3e-4, "warm_up": 100, "epoch_steps": 100},
    **{"focus": (17, 27, 47, 51), "focus_weight": 5.0},
}
STEPS = "draw", "train", "evaluate", "obey", "ship"


def shows(wish, icon):
    """Return whether an icon has all that is wished."""
    return all(icon[name] == value for name, value in wish.items())


def draw(work, n):
    """Draw the icons that are learnt, and the table of their attributes."""
    rows, seed = [], LEARNT
    while len(rows) < n:
        said = describe_face_icon(seed)
        if not any(shows(pair, said) for pair in APART):
            name = f"{seed:06d}.png"
            write_image(work / "icons" / name, draw_face_icon(seed, SIDE))
            rows.append([name, *said.values()])
        seed += 1
    write_table(work / "attributes.csv", ["file", *said], rows)


def train(work, steps, sample_every, start_from):
    """Train; the same again with more steps goes on.

    A training that begins with packaged weights looks closer at eyes and mouths, at a
    lower rate.
    """
    import diffusion

    diffusion.train(
        work / "icons",
        work / "run",
        preset="small",
        attributes=work / "attributes.csv",
        steps=steps,
        n_samples=36,
        sample_every=sample_every,
        verbose=2,
        **SETTINGS | ({**CLOSER, "start_from": start_from} if start_from else {}),
    )


def drawn(first, n):
    """Return `n` icons of the illustrator and their attributes."""
    icons = np.stack([draw_face_icon(seed, SIDE) for seed in range(first, first + n)])
    return icons, [describe_face_icon(seed) for seed in range(first, first + n)]


def sampling(model, steps):
    """Return how a model is sampled: a distilled one in its own steps."""
    return {} if model.distilled else {"sampler": "dpm++", "steps": steps}


def evaluate(work, model, n, steps):
    """Measure new icons beside as many of the illustrator's next ones."""
    import diffusion

    learnt = diffusion.read_icons(work / "icons", (SIDE, SIDE)).pictures
    unseen, said = drawn(NEXT, n)
    model = diffusion.load_diffuser(model)
    options = sampling(model, steps)
    made = {
        "as the model likes": diffusion.sample(model, n, **options),
        "as the next ones": diffusion.sample(model, n, attributes=said, **options),
        "the illustrator's next": unseen,
    }
    results = {}
    for name, pictures in made.items():
        figure = work / f"nearest-{name.replace(' ', '-')}.png"
        write_image(work / f"{name.replace(' ', '-')}.png", sheet(pictures[:64]))
        results[name] = diffusion.evaluate_pictures(
            pictures, learnt, features="pixels", figure=figure
        )
        kid, copies = results[name]["kid"], results[name]["copies"]
        print(f"{name}: KID (pixels) {kid:.4f}, {copies} copies of {n}", flush=True)
    text = json.dumps(results, indent=1, default=float)
    (work / "evaluation.json").write_text(text)


def reader(work, n, epochs):
    """Train a network that reads an icon's attributes off it.

    It sees the icons that were learnt, and `n` others, in which all pairs occur.
    """
    import keras
    from keras import layers

    import diffusion
    from diffusion.attributes import read_attributes

    path = work / "reader.keras"
    if path.exists():
        return keras.models.load_model(path)
    learnt = diffusion.read_icons(work / "icons", (SIDE, SIDE))
    _, table = read_attributes(work / "attributes.csv", learnt.names)
    others, said = drawn(2 * NEXT, n)
    icons = np.concatenate([learnt.pictures, others])
    vectors = encode(FACE_ICON_ATTRIBUTES, [*table, *said])
    targets = [vectors[:, place] for place in groups(FACE_ICON_ATTRIBUTES)]
    x = inputs = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, -1)(x)
    for width, kernel, stride in ((32, 4, 2), (64, 3, 2), (96, 3, 2), (128, 3, 2)):
        x = layers.Conv2D(width, kernel, strides=stride, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(256, activation="relu")(x)
    outputs = [
        layers.Dense(len(values), activation="softmax", name=name)(x)
        for name, values in FACE_ICON_ATTRIBUTES.items()
    ]
    network = keras.Model(inputs, outputs)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, epochs * len(icons) // 32)
    network.compile(keras.optimizers.Adam(rate), ["categorical_crossentropy"] * 7)
    network.fit(icons, targets, batch_size=32, epochs=epochs, verbose=2)
    network.save(path)
    return network


def read(network, icons):
    """Return the attributes that the reader sees in icons."""
    names = list(FACE_ICON_ATTRIBUTES)
    found = network.predict(icons, verbose=0)
    return [
        {
            name: FACE_ICON_ATTRIBUTES[name][int(part[i].argmax())]
            for name, part in zip(names, found, strict=True)
        }
        for i in range(len(icons))
    ]


def obey(work, model, n, steps, guidance):
    """Ask for attributes, and read back how many of them an icon shows."""
    import diffusion

    network = reader(work, 2000, 8)
    icons, said = drawn(NEXT, 400)
    seen = read(network, icons)
    print("read off 400 drawn icons:", end=" ")
    print(", ".join(f"{name} {_agree(said, seen, name):.3f}" for name in said[0]))
    model = diffusion.load_diffuser(model)
    for strength in guidance:
        options = sampling(model, steps)
        if not model.distilled:
            options["guidance"] = strength

        def asked(wishes, options=options):
            return diffusion.sample(
                model, n, attributes=wishes, progress=False, **options
            )

        print(f"\nguidance {strength:g}, {steps} steps, {n} icons a figure")
        wishes = [APART[i % len(APART)] for i in range(n)]
        made = asked(wishes)
        write_image(work / f"pairs-{strength:g}.png", sheet(made[:64], columns=8))
        pairs = read(network, made)
        both = np.mean([shows(*each) for each in zip(wishes, pairs, strict=True)])
        print(f"pairs never seen: {both:.2f}", flush=True)
        together = read(network, asked(said[:n]))
        print("| attribute | one wish | all seven wishes |\n|-|-|-|")
        rights = []
        for name, values in FACE_ICON_ATTRIBUTES.items():
            wishes = [{name: values[i % len(values)]} for i in range(n)]
            alone = read(network, asked(wishes))
            right = _agree(wishes, alone, name), _agree(said[:n], together, name)
            rights.append(right)
            print(f"| {name} | {right[0]:.2f} | {right[1]:.2f} |", flush=True)
        cells = " | ".join(f"{each:.3f}" for each in np.mean(rights, axis=0))
        print(f"| all | {cells} |", flush=True)


def _agree(said, seen, name):
    return np.mean([a[name] == b[name] for a, b in zip(said, seen, strict=True)])


def main():
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--n", type=int, help="icons to draw, or to make")
    parser.add_argument("--steps", type=int, help="of the training, or a sampler")
    parser.add_argument("--sample-every", type=int, default=4)
    parser.add_argument("--start-from", help="begin with a run's weights, or default")
    parser.add_argument("--guidance", type=float, nargs="+", default=[2.0])
    parser.add_argument("--model", help="a run or default; default: the one in WORK")
    options = parser.parse_args()
    work, model = options.work, options.model or options.work / "run"
    if options.step == "draw":
        draw(work, options.n or 8000)
    elif options.step == "train":
        steps = options.steps or 20000
        train(work, steps, options.sample_every, options.start_from)
    elif options.step == "evaluate":
        evaluate(work, model, options.n or 1024, options.steps or 20)
    elif options.step == "obey":
        obey(work, model, options.n or 240, options.steps or 12, options.guidance)
    else:
        from diffusion.network.model import save_shipped

        print(save_shipped(model))


if __name__ == "__main__":
    main()
