"""Do the training steps compile for a TPU, and how large a batch fits a chip?

    python benchmarks/tpu_compile.py [--steps oppai …] [--chips v5e v6e]
                                     [--policies float32 mixed_bfloat16]
                                     [--batch-size N] [--effort 0] [--table] [--slim]

Compiles the step that Keras' JAX trainer runs: forward pass, losses, backward pass and
the optimizer's update, with the old state's memory reused for the new one. It is
compiled ahead of time for one chip by the real TPU compiler, which comes with
`pip install "jax[tpu]"` and needs no chip. A step that needs more memory than the chip
has does not compile. The search for the largest batch goes over 1, 2, 3, 4, 6, 8, 12,
16, 24, …; `--batch-size` tries one size only.

By default the compiler does not search for the fastest program, which takes a tenth of
the time. With `--effort 0` it searches, as it does where the step is run, and memory is
a tenth to a fifth less. Every result is stored in `tpu_compile.json` at once, so the
same command continues where it was stopped. `--table` prints the stored results. Needs
no TensorFlow.
"""

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"  # runs here; the TPU is only described
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")

import jax
from jax.experimental.topologies import get_topology_desc
from steps import TITLES, build_step

OUTPUT = Path(__file__).with_suffix(".json")
POLICIES = "float32", "mixed_bfloat16"
# Memory of a chip that a program may use, bytes.
CHIPS = {"v5e": 15.75 * 2**30, "v6e": 31.25 * 2**30}
SIZES = [1, *(m << i for i in range(11) for m in (2, 3))]


def versions():
    """Return the versions of the compiler, of JAX and of Keras, in words."""
    try:
        packages = {name: version(name) for name in ("libtpu", "jax", "keras")}
    except PackageNotFoundError as error:
        raise SystemExit(f'{error}: pip install "jax[tpu]"') from None
    return ", ".join(f"{name} {number}" for name, number in packages.items())


def describe(chip):
    """Return the sharding to compile for: one chip of a described machine."""
    if jax.__version_info__ < (0, 8):
        # Asking a described device for its layouts ends the process. Only running
        # the program needs them.
        from jax._src.interpreters import pxla

        pxla.is_default_layout = lambda *args: True
    topology = get_topology_desc(platform="tpu", topology_name=f"{chip}:2x2x1")
    return jax.sharding.SingleDeviceSharding(topology.devices[0])


def compile_step(model, data, n, chip, effort=-1.0):
    """Compile a model's training step for `n` pictures.

    Args:
        model: A compiled Keras model with its optimizer's variables.
        data: A batch of any size, as `train_step` takes it.
        n: Pictures in a batch.
        chip: A key of `CHIPS`.
        effort: How hard the compiler tries to make the program fast: -1 not at all, 0
            as usual. Defaults to -1.

    Returns:
        Dict with "fits", "seconds", and "bytes" of device memory if the step compiles,
        else "reason", the compiler's message.
    """
    where = describe(chip)

    def spec(value, first=()):
        shape = (*first, *value.shape[len(first) :])
        return jax.ShapeDtypeStruct(shape, value.dtype, sharding=where)

    state = tuple(
        [spec(variable.value) for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )
    data = jax.tree.map(lambda value: spec(value, (n,)), data)
    start = time.perf_counter()
    lowered = jax.jit(model.train_step, donate_argnums=0).lower(state, data)
    result = {}
    try:
        options = {"exec_time_optimization_effort": effort} if effort else None
        memory = lowered.compile(options).memory_analysis()
    except jax.errors.JaxRuntimeError as error:
        if "memory" not in str(error):
            raise
        result = {"fits": False, "reason": _shortened(str(error))}
    else:
        used = memory.argument_size_in_bytes + memory.output_size_in_bytes
        used += memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
        used -= memory.alias_size_in_bytes  # the new state reuses the old one's memory
        # The compiler's own test uses an estimate and accepts slightly more.
        result = {"fits": used <= CHIPS[chip], "bytes": used}
    return {**result, "seconds": round(time.perf_counter() - start, 1)}


def _shortened(message):
    match = re.search(r"[Uu]sed \S+ of \S+ hbm", message)
    return match[0] if match else message.splitlines()[0][:200]


def next_size(tried, capacity, guess=8):
    """Return the batch to try next, or `None` if the largest one is known.

    Memory grows almost linearly with the batch. The next size is where the line through
    the compiled sizes reaches the memory of the chip.

    Args:
        tried: Dict from a batch to the result of `compile_step`.
        capacity: Bytes of a chip.
        guess: The first batch. Defaults to 8.
    """
    fits = sorted(n for n in tried if tried[n]["fits"])
    low = fits[-1] if fits else 0
    high = min((n for n in tried if not tried[n]["fits"]), default=SIZES[-1] + 1)
    untried = [n for n in SIZES if low < n < high]
    if not untried or not tried:
        return guess if untried else None
    if not fits:
        return untried[len(untried) // 2]
    used = tried[low]["bytes"]
    each = used / low
    if len(fits) > 1:
        each = (used - tried[fits[0]]["bytes"]) / (low - fits[0])
    # Prefer a size that is too large: the compiler rejects it quickly.
    most = low + (capacity - used) / max(each, 1)
    return min((n for n in untried if n >= most), default=untried[-1])


def fill(name, policy, chip, options):
    """Compile for one batch, or until the largest batch of a cell is known."""
    model, make_batch = build_step(name, policy=policy, slim=options.slim)
    data = make_batch(1)
    results, cell = find_cell(name, policy, chip, options)
    guess = 8
    for other_chip, capacity in CHIPS.items():
        _, tried = find_cell(name, policy, other_chip, options)
        fits = [int(n) for n in tried if tried[n]["fits"]]
        if fits and next_size(_by_size(tried), capacity) is None:
            most = max(fits) * CHIPS[chip] / capacity
            guess = max(n for n in SIZES if n <= max(most, 1))
    while n := next_batch(cell, chip, options, guess):
        cell[str(n)] = compile_step(model, data, n, chip, options.effort)
        print(f"{name} {policy} {chip}, batch {n}: {cell[str(n)]}", flush=True)
        text = json.dumps(results, indent=1) + "\n"
        options.output.write_text(text, encoding="utf-8")


def find_cell(name, policy, chip, options):
    """Return all stored results, and those of one cell of the table."""
    path = options.output
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    made_by = versions() + f", effort {options.effort:g}" * (options.effort != -1)
    cells = results.setdefault(made_by, {})
    return results, cells.setdefault(f"{name} {policy} {chip}", {})


def next_batch(cell, chip, options, guess=8):
    """Return the batch of a cell to compile for, or `None`."""
    if options.batch_size:
        return None if str(options.batch_size) in cell else options.batch_size
    return next_size(_by_size(cell), CHIPS[chip], guess)


def _by_size(tried):
    return {int(n): result for n, result in tried.items()}


def cell_text(cell, chip):
    """Return the text of a cell of the table."""
    tried = _by_size(cell)
    fits = [n for n in tried if tried[n]["fits"]]
    if not fits:
        return "does not fit" if tried.get(1) else "not compiled"
    n = max(fits)
    size = f"({tried[n]['bytes'] / 2**30:.1f} GiB)"
    done = next_size(tried, CHIPS[chip]) is None
    return f"**{n}** {size}" if done else f"at least {n} {size}"


def table(cells):
    """Return the table as Markdown."""
    lines = ["| training step | precision | " + " | ".join(CHIPS) + " |"]
    lines.append("|-|-|" + "-|" * len(CHIPS))
    for name, title in TITLES.items():
        for policy in POLICIES:
            row = [
                cell_text(cells.get(f"{name} {policy} {chip}", {}), chip)
                for chip in CHIPS
            ]
            lines.append(f"| {title} | {policy} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--chips", nargs="+", choices=CHIPS, default=list(CHIPS))
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--batch-size", type=int, help="compile for this batch only")
    parser.add_argument(
        "--effort",
        type=float,
        default=-1.0,
        help="-1 none, 0 the usual one",
    )
    parser.add_argument("--table", action="store_true", help="print stored results")
    parser.add_argument("--slim", action="store_true", help="64×64, few channels")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if options.slim and options.output == OUTPUT:
        parser.error("--slim does not belong in the table: give another --output")

    cells = list(itertools.product(options.policies, options.chips, options.steps))
    if options.table:
        cells = []
    elif len(cells) == 1:
        return fill(options.steps[0], options.policies[0], options.chips[0], options)
    failed = []
    for policy, chip, name in cells:
        _, cell = find_cell(name, policy, chip, options)
        if next_batch(cell, chip, options):
            # In a process of its own, since a compilation may take ten gigabytes.
            command = [sys.executable, *sys.argv, "--policies", policy]
            command += ["--chips", chip, "--steps", name]
            if subprocess.run(command).returncode:
                failed.append(f"{name} {policy} {chip}")
    for key, part in json.loads(options.output.read_text("utf-8")).items():
        print(f"{key}:\n\n{table(part)}\n")
    if failed:
        raise SystemExit(f"The compiler failed for: {', '.join(failed)}")


if __name__ == "__main__":
    main()
