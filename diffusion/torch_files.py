"""Arrays from the files of `torch.save`, without torch and without running them.

Both formats are read: the zip archive of torch 1.6 and later, and the row of pickles
before it. What a pickle would import or call is never done (`_plain_pickle`), so that a
file of others can do no harm.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from diffusion._plain_pickle import load_plain
from diffusion._torch_objects import RefusedError, Tensor

MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the older format
PROTOCOL = 1001
LARGEST_PICKLE = 1 << 26  # bytes, in a zip archive


class TorchFileError(ValueError):
    """A torch file cannot be read; one line names it and says why."""


def read_torch_file(path):
    """Read what `torch.save` wrote: dicts and lists of tensors, text and numbers.

    Example:
    ```python
    state = read_torch_file("pt_inception-2015-12-05-6726825d.pth")
    state["Conv2d_1a_3x3.conv.weight"].shape   # (32, 3, 3, 3)
    ```

    Args:
        path: The file (`.pt`, `.pth`, `.bin`).

    Returns:
        The object, with NumPy arrays for tensors and parameters, dicts for
        OrderedDicts; bfloat16 becomes float32. Tensors that shared memory do not.

    Raises:
        TorchFileError: where the file is missing or broken, or holds more than such
            data: an object of a class, say, or a call.
    """
    path = Path(path)
    if not path.is_file():
        raise TorchFileError(f"{path}: no such file. Check the path.")
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        return _read_row(path)
    except RefusedError as error:
        raise TorchFileError(
            f"{path}: it holds {error}, and only tensors, text and numbers are read. "
            "Save the state_dict alone, or as .safetensors."
        ) from None
    except (
        *(OSError, ValueError, KeyError, EOFError, RuntimeError, AttributeError),
        *(MemoryError, OverflowError, IndexError, TypeError, NotImplementedError),
        zipfile.BadZipFile,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TorchFileError(
            f"{path}: cannot be read as a torch file ({reason}). Fetch it again."
        ) from None


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        # The folder in the archive has the name that the file once had.
        pickles = [n for n in archive.namelist() if n.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise ValueError("a zip archive without one data.pkl")
        folder = pickles[0].split("/")[0]
        info = archive.getinfo(pickles[0])
        if info.file_size > LARGEST_PICKLE:
            raise ValueError(f"a pickle of {info.file_size} bytes")
        if f"{folder}/byteorder" in archive.namelist():
            with archive.open(f"{folder}/byteorder") as file:
                if file.read(16) != b"little":
                    raise ValueError("its numbers are big-endian")
        value = load_plain(io.BytesIO(archive.read(info)))

        def read(storage):
            info = archive.getinfo(f"{folder}/data/{storage.key}")
            # torch does not compress; so no small file can grow to fill the memory.
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError("a compressed storage")
            return _array(archive.read(info), storage)

        return _resolve(value, read)


def _read_row(path):
    with open(path, "rb") as file:
        if load_plain(file) != MAGIC:
            raise ValueError("it does not begin as one")
        if load_plain(file) != PROTOCOL:
            raise ValueError("an unknown protocol")
        if not load_plain(file).get("little_endian"):
            raise ValueError("its numbers are big-endian")
        wanted = {}
        value, keys = load_plain(file, wanted), load_plain(file)
        arrays = {}
        for key in keys:
            size = int.from_bytes(file.read(8), "little")
            if key not in wanted or size != wanted[key].size:
                raise ValueError(f"storage {key!r} is not as announced")
            arrays[key] = _array(file.read(size * _width(wanted[key])), wanted[key])
        return _resolve(value, lambda storage: arrays[storage.key])


def _width(storage):
    return 2 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize


def _array(data, storage):
    if len(data) != storage.size * _width(storage):
        raise ValueError(f"storage {storage.key!r} is cut short")
    if storage.dtype != "bfloat16":
        return np.frombuffer(data, storage.dtype)
    # bfloat16 is the upper half of a float32.
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")


def _resolve(value, read):
    """The same value with arrays for its tensors; each container is visited once."""
    storages, done = {}, {}

    def tensor(view):
        key = view.storage.key
        if key not in storages:
            storages[key] = read(view.storage)
        flat = storages[key]
        strides = [n * flat.itemsize for n in view.strides]
        array = np.lib.stride_tricks.as_strided(
            flat[view.offset :], view.shape, strides, writeable=False
        )
        native = flat.dtype.newbyteorder("=") if sys.byteorder == "big" else flat.dtype
        return np.array(array, native)

    def visit(item):
        if isinstance(item, Tensor):
            return tensor(item)
        if not isinstance(item, (dict, list, tuple)):
            return item
        if id(item) not in done:
            done[id(item)] = None  # something that holds itself
            if isinstance(item, dict):
                done[id(item)] = {k: visit(v) for k, v in item.items()}
            else:
                done[id(item)] = [visit(v) for v in item]
                if isinstance(item, tuple):
                    done[id(item)] = tuple(done[id(item)])
        return done[id(item)]

    return visit(value)
