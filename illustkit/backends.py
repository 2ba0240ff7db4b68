"""What to say where Keras finds no backend."""

import importlib.util
import sys

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def missing_backend(error):
    """What to do about an import that failed for want of Keras' backend.

    Keras takes the backend that `KERAS_BACKEND` names when it is imported, and
    TensorFlow without it. The library never chooses one itself.

    Example:
    ```python
    try:
        import keras
    except ModuleNotFoundError as error:
        print(missing_backend(error) or error)
    ```

    Args:
        error: The `ModuleNotFoundError`.

    Returns:
        One line, or `None` where something else was missing or Keras has started.
    """
    missing = (error.name or "").split(".")[0]
    if missing not in BACKENDS or "keras" in sys.modules:
        return None
    found = f"Keras finds no {BACKENDS[missing]}"
    if missing != "tensorflow":
        extra = "jax" if missing == "jax" else "tensorflow"
        unset = "" if missing == "jax" else " and unset KERAS_BACKEND"
        return f'{found}: pip install "illustkit[{extra}]"{unset}'
    install = 'pip install "illustkit[tensorflow]"'
    if importlib.util.find_spec("jax") is not None:
        return f"{found}. Set KERAS_BACKEND=jax, since JAX is here, or {install}"
    return (
        f'{found}: {install}, or pip install "illustkit[jax]" and set KERAS_BACKEND=jax'
    )
