"""Is the denoising network as fast as the PyTorch package's on a CPU?

    python benchmarks/unet_speed.py [--version 2] [--rounds 10] [--train]
                                    [--original PYTHON]

Times one evaluation of the network of dim 64 and mults (1, 2, 4, 8) at 128×128, batch
1, two threads; with --train also the gradients of every weight. The baseline is the
network of `denoising-diffusion-pytorch` in the interpreter PYTHON, if the same version
of that package is installed there. Otherwise the script says so, and our network in
float32 is the baseline. Each candidate has a process of its own. They are timed in
turn, A B C A B C …, and the median of the ratios of a round is printed, for time and
for processor time. On a busy machine processor time is more reliable, most of all with
--threads 1, since PyTorch's threads spin while they wait. Needs TensorFlow.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from timing import median_ratio

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SIZE, DIM, DIM_MULTS = 128, 64, (1, 2, 4, 8)
ORIGINAL = "original"


def original(options):
    """Return a function that evaluates the PyTorch package's network once."""
    from importlib.metadata import version

    import torch
    from denoising_diffusion_pytorch.denoising_diffusion_pytorch import Unet

    installed = version("denoising-diffusion-pytorch")
    if not f"{installed}.".startswith(f"{options.version}."):
        raise ImportError(f"denoising-diffusion-pytorch is {installed}")
    torch.set_num_threads(options.threads)
    network = Unet(DIM, dim_mults=DIM_MULTS).train(options.train)
    x = torch.randn(options.batch_size, 3, SIZE, SIZE)
    t = torch.full((options.batch_size,), 500)

    def evaluate():
        with torch.inference_mode():
            return network(x, t).sum().item()

    def train():
        network.zero_grad()
        network(x, t).square().mean().backward()

    return train if options.train else evaluate


def ours(options, kind):
    """Return a function that evaluates our network once."""
    import tensorflow as tf

    from diffusion.network.unet import UNet

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    dtype = "mixed_bfloat16" if kind == "bfloat16" else None
    network = UNet(SIZE, DIM, DIM_MULTS, version=options.version, dtype=dtype)
    x = tf.random.normal((options.batch_size, SIZE, SIZE, 3))
    t = tf.fill((options.batch_size,), 500)

    @tf.function(jit_compile=kind == "XLA")
    def evaluate(x, t):
        return tf.reduce_sum(network([x, t], training=False))

    @tf.function(jit_compile=kind == "XLA")
    def train(x, t):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network([x, t], training=True)))
        weights = [v.value for v in network.trainable_variables]
        return [tf.reduce_sum(g) for g in tape.gradient(loss, weights)]

    function = train if options.train else evaluate
    return lambda: tf.nest.map_structure(lambda a: a.numpy(), function(x, t))


def work(options):
    """Evaluate once for every line of input; print seconds and processor seconds."""
    evaluate = (
        original(options)
        if options.worker == ORIGINAL
        else ours(options, options.worker)
    )
    evaluate(), evaluate()
    print("ready", flush=True)
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        evaluate()
        seconds = time.perf_counter() - start, time.process_time() - used
        print("seconds", *seconds, flush=True)


def begin(kind, options):
    """Start a candidate's process; return it, or `None` and why it did not start."""
    command = [options.original if kind == ORIGINAL else sys.executable, __file__]
    command += ["--worker", kind, "--version", options.version]
    command += [
        "--threads",
        str(options.threads),
        "--batch-size",
        str(options.batch_size),
    ]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command + ["--train"] * options.train,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    while line := process.stdout.readline():
        if line.startswith("ready"):
            return process, None
    return None, process.communicate()[1].strip().splitlines()[-1]


def once(process):
    print(file=process.stdin, flush=True)
    while not (line := process.stdout.readline()).startswith("seconds"):
        if not line:
            raise SystemExit("A candidate's process ended.")
    time.sleep(0.5)  # until its threads no longer spin
    return [float(part) for part in line.split()[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", choices=("0.25.3", "2"), default="2")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--train", action="store_true", help="also the gradients")
    parser.add_argument("--xla", action="store_true", help="also compiled with XLA")
    parser.add_argument(
        "--original",
        metavar="PYTHON",
        default=sys.executable,
        help="interpreter with the PyTorch package",
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options)

    processes = {}
    for kind in [ORIGINAL, "float32", "bfloat16", *["XLA"] * options.xla]:
        process, reason = begin(kind, options)
        if process:
            processes[kind] = process
        elif kind == ORIGINAL:
            print(f"No PyTorch baseline here ({reason}): see --original.")
        else:
            raise SystemExit(f"{kind}: {reason}")
    seconds = {kind: [] for kind in processes}
    for _ in range(options.rounds):
        for kind, process in processes.items():
            seconds[kind].append(once(process))
    for process in processes.values():
        process.stdin.close()
        process.wait()

    base = next(iter(seconds))
    print(f"| version {options.version} | s | ratio | processor s | ratio |")
    print("|-|-|-|-|-|")
    for kind in seconds:
        row = f"| {kind}"
        for i in (0, 1):
            own, others = ([turn[i] for turn in seconds[k]] for k in (kind, base))
            ratio = median_ratio(own, others)
            row += f" | {statistics.median(own):.3f} | {ratio:.2f}"
        print(f"{row} |")


if __name__ == "__main__":
    main()
