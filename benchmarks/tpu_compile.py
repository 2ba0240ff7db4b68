"""Do the training steps compile for a TPU, and how large a batch fits a chip?

    python benchmarks/tpu_compile.py [--steps oppai …] [--chips v5e v6e]
                                     [--policies float32 mixed_bfloat16]
                                     [--batch N] [--effort 0] [--table] [--slim]

The step that Keras' JAX trainer runs (forward, losses, backward, optimizer's update,
the old state's memory given to the new one) is compiled ahead of time for one chip by
the true TPU compiler, which comes with `pip install "jax[tpu]"` and needs no chip. A
step that needs more memory than the chip has does not compile. Searches the largest
batch among 1, 2, 3, 4, 6, 8, 12, 16, 24, …; `--batch` tries one size alone. The
compiler is told not to look for the quickest program, which takes it a tenth of the
time; with `--effort 0` it does, as where the step is run, and memory is a tenth to a
fifth less. Every compilation is kept in `tpu_compile.json` at once, so that the same
call goes on where it was stopped; `--table` prints what is known. Needs no TensorFlow.
"""

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"  # this machine; the TPU is only described
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
    """The compiler's version and those of what hands it the step, in words."""
    found = {name: version(name) for name in ("libtpu", "jax", "keras")}
    return ", ".join(f"{name} {number}" for name, number in found.items())


def describe(chip):
    """Where to compile for: one chip of a described machine."""
    if jax.__version_info__ < (0, 8):
        # Asked for a described device's layouts it ends the process; nothing but
        # running the program needs them.
        from jax._src.interpreters import pxla

        pxla.is_default_layout = lambda *args: True
    topology = get_topology_desc(platform="tpu", topology_name=f"{chip}:2x2x1")
    return jax.sharding.SingleDeviceSharding(topology.devices[0])


def compile_step(model, data, n, chip, effort=-1.0):
    """Compile a model's training step for `n` pictures.

    Args:
        model: A compiled Keras model with its optimizer's variables.
        data: A batch of any size, as `train_step` takes it.
        n: Pictures a batch.
        chip: A key of `CHIPS`.
        effort: Of the compiler to make the program quick: -1 none, 0 its usual one.
            Defaults to -1.

    Returns:
        Dict: "fits" and "seconds"; with the bytes of device memory, "bytes", where it
        compiles, else with what the compiler said, "reason".
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
        used -= memory.alias_size_in_bytes  # what the new state takes of the old one
        # The compiler's own test is of an estimate and lets a little more pass.
        result = {"fits": used <= CHIPS[chip], "bytes": used}
    return {**result, "seconds": round(time.perf_counter() - start, 1)}


def _shortened(message):
    found = re.search(r"[Uu]sed \S+ of \S+ hbm", message)
    return found[0] if found else message.splitlines()[0][:200]


def next_size(tried, capacity, guess=8):
    """The batch to try next, or `None` where the largest is known.

    Memory grows with the batch in nearly a straight line: the next one is where the
    line through what was compiled reaches the chip's memory.

    Args:
        tried: Dict from batch to what `compile_step` gave.
        capacity: Bytes of a chip.
        guess: The first batch. Defaults to 8.
    """
    fits = sorted(n for n in tried if tried[n]["fits"])
    low = fits[-1] if fits else 0
    high = min((n for n in tried if not tried[n]["fits"]), default=SIZES[-1] + 1)
    left = [n for n in SIZES if low < n < high]
    if not left or not tried:
        return guess if left else None
    if not fits:
        return left[len(left) // 2]
    used = tried[low]["bytes"]
    each = used / low
    if len(fits) > 1:
        each = (used - tried[fits[0]]["bytes"]) / (low - fits[0])
    # Rather too large: that such a step does not fit is soon seen.
    most = low + (capacity - used) / max(each, 1)
    return min((n for n in left if n >= most), default=left[-1])


def fill(name, policy, chip, options):
    """Compile until the largest batch of a cell is known, or for one batch."""
    model, make_batch = build_step(name, policy=policy, slim=options.slim)
    data = make_batch(1)
    known, cell = find_cell(name, policy, chip, options)
    guess = 8
    for other, capacity in CHIPS.items():
        _, tried = find_cell(name, policy, other, options)
        fits = [int(n) for n in tried if tried[n]["fits"]]
        if fits and next_size(_by_size(tried), capacity) is None:
            most = max(fits) * CHIPS[chip] / capacity
            guess = max(n for n in SIZES if n <= max(most, 1))
    while n := wanted(cell, chip, options, guess):
        cell[str(n)] = compile_step(model, data, n, chip, options.effort)
        print(f"{name} {policy} {chip}, batch {n}: {cell[str(n)]}", flush=True)
        text = json.dumps(known, indent=1) + "\n"
        options.output.write_text(text, encoding="utf-8")


def find_cell(name, policy, chip, options):
    """All that is known, and the part of it that a cell is."""
    path = options.output
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    made_by = versions() + f", effort {options.effort:g}" * (options.effort != -1)
    cells = known.setdefault(made_by, {})
    return known, cells.setdefault(f"{name} {policy} {chip}", {})


def wanted(cell, chip, options, guess=8):
    """The batch of a cell to compile for, or `None`."""
    if options.batch:
        return None if str(options.batch) in cell else options.batch
    return next_size(_by_size(cell), CHIPS[chip], guess)


def _by_size(tried):
    return {int(n): result for n, result in tried.items()}


def cell_text(cell, chip):
    """What a cell of the table says."""
    tried = _by_size(cell)
    fits = [n for n in tried if tried[n]["fits"]]
    if not fits:
        return "does not fit" if tried.get(1) else "not compiled"
    n = max(fits)
    size = f"({tried[n]['bytes'] / 2**30:.1f} GiB)"
    done = next_size(tried, CHIPS[chip]) is None
    return f"**{n}** {size}" if done else f"at least {n} {size}"


def table(cells):
    """The table, as Markdown."""
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
    parser.add_argument("--batch", type=int, help="compile for this batch alone")
    parser.add_argument("--effort", type=float, default=-1.0)
    parser.add_argument("--table", action="store_true", help="print what is known")
    parser.add_argument("--slim", action="store_true", help="64×64, few channels")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if options.slim and options.output == OUTPUT:
        parser.error("--slim says nothing about the table: give another --output")

    cells = list(itertools.product(options.policies, options.chips, options.steps))
    if options.table:
        cells = []
    elif len(cells) == 1:
        return fill(options.steps[0], options.policies[0], options.chips[0], options)
    failed = []
    for policy, chip, name in cells:
        _, cell = find_cell(name, policy, chip, options)
        if wanted(cell, chip, options):
            # A process of its own: a compilation may take ten gigabytes of the host's.
            command = [sys.executable, *sys.argv, "--policies", policy]
            command += ["--chips", chip, "--steps", name]
            if subprocess.run(command).returncode:
                failed.append(f"{name} {policy} {chip}")
    for key, part in json.loads(options.output.read_text("utf-8")).items():
        print(f"{key}:\n\n{table(part)}\n")
    if failed:
        raise SystemExit(f"The compiler ended with an error: {', '.join(failed)}")


if __name__ == "__main__":
    main()
