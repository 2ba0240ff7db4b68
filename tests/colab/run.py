"""Install the project over Colab's packages, show what that changed, run the tests.

Makes `.venv-colab-gpu` (TensorFlow) and `.venv-colab-tpu` (JAX alone, which
`KERAS_BACKEND=jax` needs) from the lists beside this file, installs the project as
the notebooks' first cell does, and compares what is installed before and after: only
OpenCV may change. Then the tests run in each.

    python tests/colab/run.py [gpu] [tpu] [--python python3.13] [--keep]
        [--no-tests] [--pytest "-n 2 -k notebooks"]
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAY_CHANGE = "opencv"
# Colab has most of them; at the versions that are there, nothing is replaced.
TEST_TOOLS = (
    *("ipykernel", "nbclient", "nbformat", "pycocotools", "pytest", "pytest-xdist"),
    *("scikit-image", "selenium"),
)
ENVIRONMENTS = {
    "gpu": {},
    # Without a TPU, libtpu would be looked for a chip in every process.
    "tpu": {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
}
CV2 = "import cv2; cv2.CascadeClassifier(); print('cv2', cv2.__version__)"


def compare(before, after):
    """What an installation did to what was there.

    Example:
    ```python
    compare(["numpy==2.1.3"], ["numpy==2.4.0", "tqdm==4.67.3"])
    # (["- numpy==2.1.3", "+ numpy==2.4.0"], ["+ tqdm==4.67.3"])
    ```

    Args:
        before: Lines "name==version", in any order.
        after: The same afterwards.

    Returns:
        Two lists of lines that begin with "- " or "+ ": versions that were replaced
        or are gone, and distributions that are new.
    """
    old, new = (
        dict(line.split("==", 1) for line in lines) for lines in (before, after)
    )
    replaced = []
    for name in sorted(old):
        if new.get(name) != old[name]:
            replaced.append(f"- {name}=={old[name]}")
            if name in new:
                replaced.append(f"+ {name}=={new[name]}")
    return replaced, [f"+ {name}=={new[name]}" for name in sorted(set(new) - set(old))]


def is_allowed(line):
    """Whether a replaced line of `compare` names what may be replaced."""
    return line[2:].startswith(MAY_CHANGE)


def run(*command, **options):
    """Run a command, and stop where it fails."""
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **options)


def freeze(python):
    """Lines "name==version" of what is installed."""
    command = [python, "-m", "pip", "list", "--format=freeze"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    return listed.stdout.split()


def copy_of_the_project(folder):
    """Only what a wheel is made of, so that no build folder is left in the project."""
    for name in ("illustkit", "oppai", "facescore", "diffusion"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def install(kind, python):
    """Make the environment and install the project into it.

    Args:
        kind: "gpu" or "tpu".
        python: Command of the Python that makes the environment.

    Returns:
        Whether nothing changed but what may.
    """
    folder = ROOT / f".venv-colab-{kind}"
    run(python, "-m", "venv", "--clear", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "--quiet", "install")
    run(*pip, "--upgrade", "pip")
    lines = (Path(__file__).parent / f"constraints-{kind}.txt").read_text("utf-8")
    wanted = [line for line in lines.splitlines() if not line.startswith("#")]
    run(*pip, *(line for line in wanted if not line.startswith(MAY_CHANGE)))
    for line in wanted:  # one by one: the last one's files stay
        if line.startswith(MAY_CHANGE):
            run(*pip, "--no-deps", line)

    before = freeze(pip[0])
    with tempfile.TemporaryDirectory() as copy:
        run(*pip, copy_of_the_project(Path(copy)))
    after = freeze(pip[0])
    replaced, added = compare(before, after)
    print(f"\n{kind}: {len(before)} packages before. Replaced or gone:")
    print("\n".join(replaced) or "nothing")
    print("New:", *added, sep="\n", end="\n\n")
    frozen = folder / "freeze.txt"
    frozen.write_text("\n".join(after), encoding="utf-8")
    run(pip[0], "-c", CV2, cwd=folder)
    versions = [line for line in after if not line.startswith("illustkit==")]
    frozen.write_text("\n".join(versions), encoding="utf-8")
    run(*pip, "--constraint", frozen, *TEST_TOOLS)
    return all(map(is_allowed, replaced))


def test(kind, options):
    """Run the tests in the environment.

    Args:
        kind: "gpu" or "tpu".
        options: More options for pytest.

    Returns:
        Whether they pass.
    """
    python = ROOT / f".venv-colab-{kind}" / "bin" / "python"
    variables = {k: v for k, v in os.environ.items() if not k.startswith("KERAS_")}
    command = (python, "-m", "pytest", "-p", "no:cacheprovider", *options)
    print("$", *command, flush=True)
    environment = {**variables, **ENVIRONMENTS[kind]}
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    seconds = time.monotonic() - start
    print(f"{kind}: pytest ended with {done.returncode} in {seconds:.0f} s")
    return done.returncode == 0


def python_like_colabs():
    """Command of Python 3.13, which Colab runs, or else of the one that runs this."""
    try:
        subprocess.run(["python3.13", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print(f"No python3.13 here: {sys.executable} stands in for it.")
        return sys.executable
    return "python3.13"


def main():
    """Run what the command line asks for; exit code 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="gpu, tpu; both by default")
    parser.add_argument("--python", help="python3.13 where it is there")
    parser.add_argument("--keep", action="store_true", help="do not install again")
    parser.add_argument("--pytest", default="", help="its options, in one string")
    parser.add_argument("--no-tests", action="store_true")
    options = parser.parse_args()
    passed = []
    for kind in options.kinds or ENVIRONMENTS:
        if not options.keep:
            passed.append(install(kind, options.python or python_like_colabs()))
        if not options.no_tests:
            passed.append(test(kind, shlex.split(options.pytest)))
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
