"""Named arrays from files: `.npz`, `.safetensors`, `.pth`, by data alone."""

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from diffusion.torch_files import TorchFileError, read_torch_file

LARGEST_HEADER = 100_000_000  # bytes; the limit of safetensors itself
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


def read_tensors(path):
    """Read a file of named arrays; nothing in it is executed.

    Example:
    ```python
    state = read_tensors("model.safetensors")   # {"downs.0.0.mlp.1.weight": ...}
    ```

    Args:
        path: A file ending in `.npz`, `.safetensors`, or `.pth`, `.pt`, `.ckpt` or
            `.bin` for those of `torch.save`.

    Returns:
        Dict from name to NumPy array; bfloat16 becomes float32. Of a torch file what
        it holds, which may be dicts in a dict.

    Raises:
        ValueError: naming the file, where it is missing, broken or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Check the path.")
    kinds = {".npz": _read_npz, ".safetensors": _read_safetensors}
    kinds |= dict.fromkeys((".pth", ".pt", ".ckpt", ".bin"), read_torch_file)
    if path.suffix.lower() not in kinds:
        raise ValueError(f"{path}: unknown kind of file. Give {', '.join(kinds)}.")
    try:
        return kinds[path.suffix.lower()](path)
    except TorchFileError:
        raise
    except (
        *(OSError, ValueError, KeyError, TypeError, EOFError, AttributeError),
        *(RuntimeError, MemoryError, OverflowError, NotImplementedError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path}: cannot be read ({reason}). Fetch it again."
        ) from None


def _read_npz(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _read_safetensors(path):
    """Eight bytes of length, a header in JSON, and the arrays' bytes after it."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= LARGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: _tensor(name, told, data) for name, told in header.items()}


def _tensor(name, told, data):
    begin, end = told["data_offsets"]
    if not 0 <= begin <= end <= len(data):
        raise ValueError(f"{name} is cut short")
    shape, part = told["shape"], data[begin:end]
    if told["dtype"] == "BF16":  # the upper half of a float32
        return (
            (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
        )
    if told["dtype"] not in DTYPES:
        raise ValueError(f"{name} is of the unknown dtype {told['dtype']}")
    return np.frombuffer(part, DTYPES[told["dtype"]]).reshape(shape)
