"""How many pictures a second does a GPU process, and with how much memory?

    KERAS_BACKEND=jax python benchmarks/gpu_steps.py [--tasks oppai …] [--seconds 20]
                [--policies float32 mixed_bfloat16] [--original PYTHON] [--quick]

Times the training steps of `steps.py`: forward pass, losses, backward pass and the
optimizer's update, with pictures copied from the host in every step. Then times the
uses: icons by DDIM in 50 evaluations and by DPM-Solver++ in 12, restored patches,
detected faces. Each task runs in a process of its own; its first run, which compiles,
is reported apart. The memory is the peak of the device, or of the process on a CPU.
`--original` also times the training step and DDIM's evaluations with the network of
`denoising-diffusion-pytorch` in the interpreter PYTHON. `--quick` makes everything
small to show that the command works; its figures mean nothing. Prints a table with the
hardware and writes `gpu_steps.json`. Runs on any backend of Keras.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from devices import hardware, peak_memory
from steps import TITLES as STEPS
from steps import build_step

OUTPUT = Path(__file__).with_suffix(".json")
# Tasks and the pictures in a batch: training steps, then uses.
TRAIN = {
    "oppai": 32,
    "detector-small": 32,
    "detector-full": 64,
    "alexnet": 64,
    "diffusion-0.25.3": 16,
    "diffusion-2": 16,
}
USE = {"ddim": 16, "dpm++": 16, "restore": 32, "detect": 32}
TITLES = {
    "ddim": 'diffusion 128×128, version "2": DDIM, 50 evaluations',
    "dpm++": 'diffusion 128×128, version "2": DPM-Solver++, 12 evaluations',
    "restore": "oppai 256×256: patches restored",
    "detect": "facescore detector `full`, 640×640: faces detected",
}
POLICIES = "float32", "mixed_bfloat16"
EVALUATIONS = {"ddim": 50, "dpm++": 12}
MARK = "figures: "  # begins the line in which a process reports


def training(name, options):
    """Return a function that trains for a number of steps."""
    import keras

    model, make_batch = build_step(name, policy=options.policy, slim=options.quick)
    batch = make_batch(options.batch_size)

    class SameBatch(keras.utils.PyDataset):
        size = 1

        def __len__(self):
            return self.size

        def __getitem__(self, index):
            return batch

    def train(n):
        batches = SameBatch()
        batches.size = n
        model.fit(batches, shuffle=False, verbose=0)
        if keras.backend.backend() == "jax":
            import jax

            # `fit` returns before the device has done the last steps.
            jax.block_until_ready([v.value for v in model.variables])

    return train


def using(name, options):
    """Return a function that processes a number of batches."""
    step = {"restore": "oppai", "detect": "detector-full"}.get(name, "diffusion-2")
    model, make_batch = build_step(step, policy=options.policy, slim=options.quick)
    x = make_batch(options.batch_size)[0]
    if name == "restore":
        return lambda n: [
            model.restore_patches(x[0], 255 - x[1], batch_size=options.batch_size)
            for _ in range(n)
        ]
    if name == "detect":
        from facescore.detector.prediction import Detector
        from illustkit.runtime import precision

        with precision(options.policy):
            detector = Detector(model.network)
        how = {"image_size": x.shape[1], "batch_size": options.batch_size}
        return lambda n: [detector.detect_all(list(x), **how) for _ in range(n)]
    from diffusion.sampling.generate import sample

    evaluations = 4 if options.quick else EVALUATIONS[name]

    def make(n):
        return sample(
            model,
            n * options.batch_size,
            sampler=name,
            steps=evaluations,
            batch_size=options.batch_size,
            progress=False,
        )

    return make


def original(name, options):
    """Return a function that does the same task with the PyTorch package."""
    import torch
    from denoising_diffusion_pytorch.denoising_diffusion_pytorch import Unet

    device = "cuda" if torch.cuda.is_available() else "cpu"
    side, dim, mults = (64, 8, (1, 2)) if options.quick else (128, 64, (1, 2, 4, 8))
    network = Unet(dim, dim_mults=mults).to(device)
    x = torch.randn(options.batch_size, 3, side, side, device=device)
    t = torch.full((options.batch_size,), 500, device=device)
    low = torch.autocast(device, torch.bfloat16, options.policy == "mixed_bfloat16")
    adam = torch.optim.Adam(network.parameters(), 1e-4, (0.9, 0.99))

    def step():
        adam.zero_grad()
        with low:
            loss = (network(x, t).float() - x).abs().mean()
        loss.backward()
        adam.step()

    def evaluate():
        with torch.inference_mode(), low:
            network(x, t)

    repeats = 1 if name in TRAIN else 4 if options.quick else EVALUATIONS[name]

    def run(n):
        for _ in range(n * repeats):
            step() if name in TRAIN else evaluate()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def work(options):
    """Time one task in this process and print the figures as JSON."""
    make = original if options.by_original else None
    make = make or (training if options.worker in TRAIN else using)
    backend = "torch" if options.by_original else os.environ["KERAS_BACKEND"]
    run = make(options.worker, options)
    start = time.perf_counter()
    run(1)
    first = time.perf_counter() - start
    start = time.perf_counter()
    run(1)
    once = time.perf_counter() - start
    n = max(1, min(1000, round(options.seconds / max(once, 1e-4))))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run(n)
        seconds.append(time.perf_counter() - start)
    figures = {
        "pictures_a_second": options.batch_size * n / sorted(seconds)[1],
        "first_seconds": first,
        "peak_bytes": peak_memory(backend),
        "hardware": hardware(backend),
    }
    print(MARK, json.dumps(figures), flush=True)


def begin(task, policy, options, *, by_original=False):
    """Run a task in a process of its own; return its figures, or why it failed."""
    batch = options.batch_size or (2 if options.quick else {**TRAIN, **USE}[task])
    seconds = 0.2 if options.quick else options.seconds
    command = [options.original if by_original else sys.executable, __file__]
    command += ["--worker", task, "--policy", policy, "--batch-size", str(batch)]
    command += ["--seconds", str(seconds / 3)] + ["--quick"] * options.quick
    command += ["--by-original"] * by_original
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [x for x in done.stdout.splitlines() if x.startswith(MARK)]
    result = {"task": task, "policy": policy, "batch": batch, "original": by_original}
    if done.returncode or not lines:
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        return {**result, "failed": reason}
    return {**result, **json.loads(lines[-1].removeprefix(MARK))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = [*TRAIN, *USE]
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument(
        "--batch-size", type=int, help="pictures in a batch of every task"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="for each task")
    parser.add_argument(
        "--original", metavar="PYTHON", help="interpreter with the PyTorch package"
    )
    parser.add_argument("--quick", action="store_true", help="small, as a test only")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    for name in ("--worker", "--policy"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--by-original", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    if options.worker:
        return work(options)

    rows = []
    if options.quick:
        print("Pictures of 64×64 and few channels: the figures mean nothing.\n")
    print("| | precision | batch | pictures/s | peak memory | first run | on |")
    print("|-|-|-|-|-|-|-|")
    for task in options.tasks:
        for policy in options.policies:
            rows.append(begin(task, policy, options))
            print(row_text(rows[-1]), flush=True)
            if options.original and task in ("diffusion-2", *EVALUATIONS):
                rows.append(begin(task, policy, options, by_original=True))
                print(row_text(rows[-1]), flush=True)
            if not options.quick or options.output != OUTPUT:
                options.output.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if any("failed" in row for row in rows):
        raise SystemExit("Some tasks failed.")


def row_text(row):
    """Return a row of the table, as Markdown."""
    task = row["task"]
    title = TITLES[task] if task in USE else f"a step of {STEPS[task]}"
    title += ", PyTorch's" if row["original"] else ""
    cells = [title, row["policy"], str(row["batch"])]
    if "failed" in row:
        return "| " + " | ".join([*cells, f"failed: {row['failed'][:120]}"]) + " |"
    cells += [
        f"{row['pictures_a_second']:.4g}",
        f"{row['peak_bytes'] / 2**30:.2f} GiB",
        f"{row['first_seconds']:.1f} s",
        row["hardware"],
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
