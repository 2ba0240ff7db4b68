"""Install the project on top of Colab's packages, list the changes, run the tests.

Makes `.venv-colab-gpu` (TensorFlow) and `.venv-colab-tpu` (only JAX, which needs
`KERAS_BACKEND=jax`) from the lists in this folder. Installs the project as the first
cell of the notebooks does, and compares the installed packages before and after: only
OpenCV may change. Then runs the tests in each environment.

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
# Colab has most of them. They are installed at its versions, so nothing is replaced.
TEST_TOOLS = (
    *("ipykernel", "nbclient", "nbformat", "pycocotools", "pytest", "pytest-xdist"),
    *("scikit-image", "selenium"),
)
ENVIRONMENTS = {
    "gpu": {},
    # Without a TPU, every process would make libtpu search for a chip.
    "tpu": {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
}
CV2 = "import cv2; cv2.CascadeClassifier(); print('cv2', cv2.__version__)"


def compare(before, after):
    """Compare the installed packages before and after an installation.

    Example:
    ```python
    compare(["numpy==2.1.3"], ["numpy==2.4.0", "tqdm==4.67.3"])
    # (["- numpy==2.1.3", "+ numpy==2.4.0"], ["+ tqdm==4.67.3"])
    ```

    Args:
        before: Lines "name==version", in any order.
        after: The lines after the installation.

    Returns:
        Two lists of lines that begin with "- " or "+ ": replaced or removed versions,
        and new distributions.
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
    """Return whether a line of `compare` names a package that may be replaced."""
    return line[2:].startswith(MAY_CHANGE)


def run(*command, **options):
    """Run a command; raise if it fails."""
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **options)


def freeze(python):
    """Return the installed packages as lines "name==version"."""
    command = [python, "-m", "pip", "list", "--format=freeze"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    return listed.stdout.split()


def copy_of_the_project(folder):
    """Copy the files of a wheel, so that the build leaves nothing in the project."""
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
        Whether only allowed packages changed.
    """
    folder = ROOT / f".venv-colab-{kind}"
    run(python, "-m", "venv", "--clear", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "--quiet", "install")
    run(*pip, "--upgrade", "pip")
    lines = (Path(__file__).parent / f"constraints-{kind}.txt").read_text("utf-8")
    packages = [line for line in lines.splitlines() if not line.startswith("#")]
    run(*pip, *(line for line in packages if not line.startswith(MAY_CHANGE)))
    for line in packages:  # one by one, since the last one overwrites the others
        if line.startswith(MAY_CHANGE):
            run(*pip, "--no-deps", line)

    before = freeze(pip[0])
    with tempfile.TemporaryDirectory() as copy:
        run(*pip, copy_of_the_project(Path(copy)))
    after = freeze(pip[0])
    replaced, added = compare(before, after)
    print(f"\n{kind}: {len(before)} packages before. Replaced or removed:")
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
        Whether all tests pass.
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
    """Return the command of Python 3.13, as on Colab, or else of this Python."""
    try:
        subprocess.run(["python3.13", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print(f"python3.13 is not installed: using {sys.executable}.")
        return sys.executable
    return "python3.13"


def main():
    """Run the requested steps; the exit code is 1 if any of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="gpu, tpu; default: both")
    parser.add_argument("--python", help="default: python3.13 if installed")
    parser.add_argument("--keep", action="store_true", help="do not install again")
    parser.add_argument("--pytest", default="", help="options of pytest, as one string")
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
