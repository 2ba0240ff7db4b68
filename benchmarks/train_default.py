"""Train the mosaic restorer that comes with the package, on one GPU.

    KERAS_BACKEND=jax python benchmarks/train_default.py clipart/images \
        clipart_more/images --pages peppercarrot --seconds 398 --output runs/default

The package's weights were trained so on an NVIDIA H100 with 16 CPU cores, from the
weights of version 0.1: 22,522 steps of 128 patches in 398 seconds, in mixed bfloat16.
Then `default.npz` is the average of the weights. The clock sets the number of steps and
the rate of learning, so no two runs are equal bit for bit. That run read the comic
pages as WebP of quality 90 and the others from lossless WebP; this script reads the
files as they are. Needs JAX; `--seconds 20 --limit 6 --workers 2 --batch-size 16
--slots 8 --samples 4 --held-out-crops 16` tries it on two CPU cores in two minutes.

It differs from `oppai train-mosaic` in three points. That command makes its crops in
the process that trains, and each is used once: 15 processes that do nothing else make
2,000 crops a second, but one GPU takes 11,500 patches. Here they write crops into a
ring in shared memory, from which batches are drawn: each was seen about five times,
mirrored, transposed and with exchanged colours, on the device. The average of the
weights, which that command does not keep, is .3 dB better than the raw weights at a
high rate and equal to them once the rate is zero. And the rate follows the clock.

Pictures of the lists `held_out_clipart.txt` and `left_out_clipart.txt` are not trained
on. The PSNR of crops of the former is measured during the training.
"""

import argparse
import json
import mmap
import multiprocessing
import os
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process for each core

import cv2
import numpy as np

from illustkit.images import list_images, read_image
from illustkit.samples import draw_character

# The packages that import Keras are imported late, since the processes are forked
# before JAX starts.

PATCH = 128
SLOT = 16  # crops that a process writes at once
HERE = Path(__file__).parent
# A censored crop. `grid` is as in `oppai.data.mosaic_inputs.mosaic_inputs`.
CROP = np.dtype(
    [
        ("censored", "u1", (PATCH, PATCH, 3)),
        ("truth", "u1", (PATCH, PATCH, 3)),
        ("base", "f2", (PATCH, PATCH, 3)),
        ("hole", "u1", (PATCH, PATCH, 1)),
        ("grid", "f4", (4,)),
        ("kind", "i2"),
    ]
)
KINDS = ("mosaic of 4", "mosaic of 8", "other")


def read_pictures(options):
    """Return the training pictures and the held-out ones, two lists of RGB arrays."""
    held_out = options.held_out.read_text("utf-8").splitlines()
    left_out = options.left_out.read_text("utf-8").splitlines()
    paths = [path for folder in options.folders for path in list_images(folder)]
    training = [p for p in paths if p.name not in {*held_out, *left_out}]
    held_out = [p for p in paths if p.name in held_out]
    pages = []
    if options.pages:
        entries = json.loads((options.pages / "faces.json").read_text("utf-8"))
        names = [e["name"] for e in entries if e["split"] == "train"]
        pages = [options.pages / "pages" / name for name in names]
    most = options.limit
    with ThreadPoolExecutor() as pool:
        pictures = list(pool.map(read_image, training[:most]))
        held_out = list(pool.map(read_image, held_out[:most]))
        pages = [
            cv2.resize(page, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
            for page in pool.map(read_image, pages[:most])
        ]
    with multiprocessing.get_context("fork").Pool() as processes:
        drawn = processes.map(draw, range(options.samples))
    counts = {"pages": len(pages), "drawn": len(drawn), "held_out": len(held_out)}
    report(pictures=len(pictures), **counts)
    return pictures + drawn + pages * 2, held_out


def draw(seed):
    return draw_character(seed).image


def crop_maker(pictures):
    """Return a function `(rng, crop) -> inputs` that fills a `CROP`.

    `inputs` is what the package makes of the same crop.
    """
    from oppai.data.batches import CensoredCrops
    from oppai.data.mosaic_inputs import mosaic_inputs, network_side

    crops = CensoredCrops(pictures, 1, 1, patch=PATCH)

    def fill(rng, crop):
        case, truth = crops._draw(rng)
        inputs = mosaic_inputs(np.asarray(case.image), case.mask, case.grid)
        crop["censored"], crop["truth"] = case.image, truth
        crop["base"] = inputs["base"]
        crop["hole"] = case.mask[..., None] > 0
        crop["grid"], crop["kind"] = inputs["grid"], 2
        if case.grid is not None:
            crop["kind"] = max(map(network_side, case.grid.block)) // 8
        return inputs

    return fill


def make_crops(number, seed, fill, ring, written):
    """Fill one process's slots of the ring, again and again."""
    os.nice(5)
    cv2.setNumThreads(1)
    rng = np.random.default_rng((seed, number))
    while os.getppid() != 1:
        for crop in ring[number, written[number] % ring.shape[1]]:
            fill(rng, crop)
        written[number] += 1


def build_inputs():
    """Return a function that makes the network's inputs on the device.

    The function takes a batch of `CROP`s, a dict of arrays, and a key, or `None` to
    turn nothing. It returns `(inputs, truth)` as `MosaicRestorer` takes them.
    """
    import jax
    import jax.numpy as jnp

    orders = [[0, 1, 2]] * 5 + [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]

    def choose(flags, a, b):
        return jnp.where(flags.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    def inputs(batch, key=None):
        n = len(batch["kind"])
        signed = batch["censored"].astype("float32") / 127.5 - 1
        images = [signed, *(batch[k].astype("float32") for k in ("truth", "base"))]
        images.append(batch["hole"].astype("float32"))
        width, height, x, y = jnp.moveaxis(batch["grid"], -1, 0)
        axes = [(height, y), (width, x)]  # block and origin
        if key is not None:
            keys = jax.random.split(key, 4)
            for i, fraction in enumerate((0.2, 0.5)):  # upside down, mirrored
                flags = jax.random.uniform(keys[i], (n,)) < fraction
                images = [choose(flags, jnp.flip(a, 1 + i), a) for a in images]
                block, origin = axes[i]
                axes[i] = block, choose(flags, PATCH - origin, origin)
            flags = jax.random.uniform(keys[2], (n,)) < 0.3
            images = [choose(flags, jnp.swapaxes(a, 1, 2), a) for a in images]
            pairs = list(zip(*axes, strict=True))
            axes = [
                tuple(choose(flags, b, a) for a, b in pairs),
                tuple(choose(flags, a, b) for a, b in pairs),
            ]
            order = jax.random.randint(keys[3], (n,), 0, len(orders))
            colours = jax.nn.one_hot(jnp.array(orders)[order], 3)  # (n, new, old)
            images[:3] = [
                jnp.einsum("nhwo,nio->nhwi", a, colours, precision="highest")
                for a in images[:3]
            ]
        signed, truth, base, hole = images
        (height, y), (width, x) = axes
        mosaic = hole * (batch["kind"] < 2).astype("float32")[:, None, None, None]
        x = {
            "censored": signed,
            "base": base,
            "hole": hole,
            "missing": hole - mosaic,
            "grid": jnp.stack([width, height, x, y], -1),
        }
        return x, truth

    return inputs


def build_functions(restorer, inputs, seed):
    """Return `(loss, step, measure)`, pure functions of the variables and a batch."""
    import jax
    import jax.numpy as jnp

    def terms(values, x, truth, training):
        prediction, _ = restorer.network.stateless_call(
            values, [], x, training=training
        )
        return restorer.terms(x, truth, prediction, training)

    def loss(values, x, truth):
        parts = terms(values, x, truth, True)
        return sum(w * jnp.mean(parts[k]) for k, w in restorer.term_weights.items())

    def step(state, batch, rate, decay):
        values, mean, square, average, t = state
        x, truth = inputs(batch, jax.random.fold_in(jax.random.key(seed), t))
        value, gradients = jax.value_and_grad(loss)(values, x, truth)
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in gradients))
        finite = jnp.isfinite(norm)
        t = t + 1
        # Adam, clipped at a norm of 0.6, with the epsilon of `oppai train-mosaic`.
        size = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        scale = jnp.where(finite, 0.6 / jnp.maximum(norm, 0.6), 0)
        gradients = [jnp.where(finite, g, 0) * scale for g in gradients]
        tree = jax.tree.map
        mean = tree(lambda m, g: m + 0.1 * (g - m), mean, gradients)
        square = tree(lambda v, g: v + 0.001 * (g * g - v), square, gradients)
        size = jnp.where(finite, size, 0)
        values = tree(
            lambda p, m, v: p - size * m / (jnp.sqrt(v) + 1e-5), values, mean, square
        )
        average = tree(lambda a, p: decay * a + (1 - decay) * p, average, values)
        return (values, mean, square, average, t), value

    def measure(values, batch):
        x, truth = inputs(batch)
        return terms(values, x, truth, False)["psnr"]

    return loss, jax.jit(step, donate_argnums=0), jax.jit(measure)


def check(restorer, inputs, loss, batch, expected):
    """Stop if inputs or loss of a batch differ from `expected`, the package's own."""
    import jax

    x, truth = jax.jit(inputs)(batch)
    for name, array in expected.items():
        gap = float(np.abs(np.asarray(x[name]) - array).max())
        if gap > 2e-3:
            raise SystemExit(f"`{name}` differs from the package's by {gap}.")
    values = [v.value for v in restorer.network.trainable_variables]
    ours = float(jax.jit(loss)(values, x, truth))
    prediction = restorer(expected, training=True)
    theirs = float(restorer.compute_loss(expected, batch["truth"], prediction))
    if abs(ours - theirs) > 5e-3:
        raise SystemExit(f"The loss is {ours}, the package's is {theirs}.")
    report(loss=round(ours, 5), loss_of_the_package=round(theirs, 5))


def feed(ring, written, batch_size, seed, ready):
    """Put batches of random slots on the device, for ever."""
    import jax

    rng = np.random.default_rng(seed)
    slots = ring.shape[1]
    while True:
        counts = written.copy()
        chosen = []
        for number in rng.choice(np.flatnonzero(counts > 0), batch_size // SLOT):
            # The slot that is written now, and the next, may not be read.
            age = rng.integers(1, max(2, min(counts[number] + 1, slots - 1)))
            chosen.append(ring[number, (counts[number] - age) % slots])
        batch = {k: np.concatenate([c[k] for c in chosen]) for k in CROP.names}
        ready.put(jax.block_until_ready(jax.device_put(batch)))


def train(options, fill_held_out, ring, written):
    """Train for `options.seconds`; write the weights and a log."""
    import jax
    import jax.numpy as jnp

    from illustkit.runtime import precision
    from oppai.data.mosaic_inputs import stack_inputs
    from oppai.models.mosaic_unet import MosaicUNet
    from oppai.models.pretrained import load_restorer, load_shipped, save_shipped
    from oppai.models.restorers import MosaicRestorer

    load = load_shipped if options.start_from.endswith(".npz") else load_restorer
    before = load(options.start_from).network
    config = {
        k: v for k, v in before.get_config().items() if k not in ("name", "dtype")
    }
    with precision(options.precision):
        restorer = MosaicRestorer(MosaicUNet(**config))
    variables = restorer.network.trainable_variables
    restorer.network.set_weights(before.get_weights())
    inputs = build_inputs()
    loss, step, measure = build_functions(restorer, inputs, options.seed)

    held_out = np.zeros(options.held_out_crops, CROP)
    rng = np.random.default_rng((99, 1))
    expected = [fill_held_out(rng, crop) for crop in held_out]
    n = min(options.batch_size, len(held_out))
    parts = [
        {k: held_out[k][i : i + n] for k in CROP.names}
        for i in range(0, len(held_out), n)
    ]
    check(restorer, inputs, loss, parts[0], stack_inputs(expected[:n]))

    def psnr(values):
        dB = np.concatenate([np.asarray(measure(values, part)) for part in parts])
        names = [KINDS[kind] for kind in held_out["kind"]]
        groups = {k: dB[np.equal(names, k)] for k in KINDS if k in names}
        return {k: round(float(v.mean()), 3) for k, v in {**groups, "all": dB}.items()}

    def save(values, name):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        save_shipped(restorer, options.output / name)

    values = [jnp.array(v.value) for v in variables]
    report(options.output, of="start", **psnr(values))
    zeros = [jnp.zeros_like(v) for v in values]
    copies = [[jnp.array(v) for v in some] for some in (values, zeros, zeros, values)]
    state = (*copies, jnp.zeros((), "int32"))
    ready = queue.Queue(maxsize=4)
    while written.min() < 1:
        time.sleep(0.2)
    for i in range(3):
        arguments = ring, written, options.batch_size, (options.seed, i), ready
        threading.Thread(target=feed, args=arguments, daemon=True).start()
    state, value = step(state, ready.get(), 0.0, 1.0)  # compiles, changes nothing
    value.block_until_ready()

    state = (*state[:4], jnp.zeros((), "int32"))
    begin = time.time()
    steps, losses, last = 0, [], time.time()

    def figures(rate, **more):
        seconds = time.time() - begin
        report(
            options.output,
            steps=steps,
            seconds=round(seconds, 1),
            rate=rate,
            loss=round(float(jnp.mean(jnp.stack(losses))), 4),
            crops=int(written.sum()) * SLOT,
            patches_a_second=round(steps * options.batch_size / seconds),
            average=psnr(state[3]),
            **more,
        )
        save(state[3], "default.npz")

    while (progress := (time.time() - begin) / options.seconds) < 1:
        rate = min((steps + 1) / 300, 1, (1 - progress) / (1 - options.hold))
        decay = min(0.999, (steps + 1) / (steps + 20))
        state, value = step(state, ready.get(), options.learning_rate * rate, decay)
        losses = [*losses[-499:], value]
        steps += 1
        losses[-8:][0].block_until_ready()  # the host runs at most 8 steps ahead
        if time.time() - last > options.every:
            value.block_until_ready()
            figures(options.learning_rate * rate)
            last = time.time()
    value.block_until_ready()
    save(state[0], "raw.npz")
    figures(0, raw=psnr(state[0]), device=jax.devices()[0].device_kind)


def report(folder=None, **figures):
    """Print figures as a line of JSON; append it to the log of a folder."""
    line = json.dumps(figures)
    print(f"[{time.time() - START:6.1f}]", line, flush=True)
    if folder:
        with open(folder / "train_log.jsonl", "a", encoding="utf-8") as file:
            file.write(line + "\n")


START = time.time()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folders", nargs="+", type=Path, help="folders of pictures")
    add("--pages", type=Path, help="folder of comic pages with faces.json")
    add("--held-out", type=Path, default=HERE / "held_out_clipart.txt")
    add("--left-out", type=Path, default=HERE / "left_out_clipart.txt")
    add("--output", type=Path, required=True, help="folder to write to")
    add("--seconds", type=float, required=True, help="from the first step on")
    add("--start-from", default="default", help='"default", .npz or run to begin with')
    add(
        "--batch-size",
        type=int,
        default=128,
        help="patches in a step, a multiple of 16",
    )
    add("--learning-rate", type=float, default=8e-4, help="the highest rate of Adam")
    add("--hold", type=float, default=0.3, help="fraction of the time at that rate")
    add("--precision", default="mixed_bfloat16")
    add("--workers", type=int, default=15, help="processes that make crops")
    add("--slots", type=int, default=256, help="each process's, of 16 crops")
    add("--samples", type=int, default=240, help="drawn characters to train on")
    add("--page-copies", type=int, default=2, help="how often each page is listed")
    add("--held-out-crops", type=int, default=768, help="crops to measure on")
    add("--every", type=float, default=40, help="seconds from one report to the next")
    add("--limit", type=int, help="take only the first pictures of each kind")
    add("--seed", type=int, default=1)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    pictures, held_out = read_pictures(options)
    fill, fill_held_out = crop_maker(pictures), crop_maker(held_out)
    shape = options.workers, options.slots, SLOT
    # Anonymous memory, which forked processes share.
    ring = mmap.mmap(-1, int(np.prod(shape)) * CROP.itemsize)
    ring = np.frombuffer(ring, CROP).reshape(shape)
    written = np.frombuffer(mmap.mmap(-1, 8 * options.workers), np.int64)
    fork = multiprocessing.get_context("fork")
    makers = [
        fork.Process(
            target=make_crops, args=(i, options.seed, fill, ring, written), daemon=True
        )
        for i in range(options.workers)
    ]
    for maker in makers:
        maker.start()
    try:
        train(options, fill_held_out, ring, written)
    finally:
        for maker in makers:
            maker.terminate()


if __name__ == "__main__":
    main()
