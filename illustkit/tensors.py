"""Named arrays from files: `.npz`, `.safetensors` and those of `torch.save`.

Nothing that such a file names is imported or called: a pickle may ask for the few
makers of tensors listed in `_MAKERS`, and all else becomes an inert `Skipped`.
"""

import io
import os
import pickle
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from illustkit.errors import UserError
from illustkit.files import expand_user

_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of torch's format before 1.6
_PROTOCOL = 1001
_LARGEST_PICKLE = 1 << 26  # bytes, in a zip archive
_BROKEN = (
    *(OSError, ValueError, KeyError, EOFError, RuntimeError, AttributeError),
    *(MemoryError, OverflowError, IndexError, TypeError, NotImplementedError),
    *(pickle.PickleError, zipfile.BadZipFile, zlib.error),
)


class TensorFileError(UserError):
    """A file of arrays cannot be read; one line names it and says why."""


def read_tensors(path: str | os.PathLike) -> dict[str, Any]:
    """Read a file of named arrays; nothing in it is executed.

    Example:
    ```python
    state = read_tensors("model.safetensors")   # {"downs.0.0.mlp.1.weight": ...}
    ```

    Args:
        path: A file ending in `.npz`, `.safetensors`, or `.pth`, `.pt`, `.ckpt` or
            `.bin` for those of `torch.save`.

    Returns:
        Dict from name to NumPy array; bfloat16 becomes float32. A torch file, in either
        of torch's formats, gives what it holds: dicts, lists, text and numbers, with
        arrays for tensors and parameters. All else, such as an optimizer or an
        `argparse.Namespace`, is an inert `Skipped`.

    Raises:
        TensorFileError: If the file is missing or broken, or holds no such data.
    """
    path, suffix = expand_user(path), Path(path).suffix.lower()
    if not path.is_file():
        raise TensorFileError(f"{path}: no such file. Check the path.")
    if suffix not in _READERS:
        raise TensorFileError(
            f"{path}: unknown kind of file. Give {', '.join(_READERS)}."
        )
    try:
        value = _READERS[suffix](path)
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TensorFileError(
            f"{path}: cannot be read ({reason}). Fetch it again."
        ) from None
    if isinstance(value, Skipped):
        raise TensorFileError(
            f"{path}: it holds {value!r}, and only tensors, text and numbers are read. "
            "Save the state_dict alone, or as .safetensors."
        )
    return value


def _read_npz(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _read_safetensors(path):
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(error) from None
    # `safetensors.numpy` reads no bfloat16 without a further package.
    kinds = {"BF16": "bfloat16", "BOOL": "|b1", "U8": "|u1", "I8": "|i1"}
    kinds |= {f"{c}{b}": f"<{c.lower()}{b // 8}" for c in "IU" for b in (16, 32, 64)}
    kinds |= {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in kinds:
            raise ValueError(f"{name} is of the unknown dtype {entry['dtype']}")
        flat = _as_array(entry["data"], kinds[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"])
    return arrays


def _as_array(data, dtype):
    if dtype != "bfloat16":
        return np.frombuffer(data, dtype)
    # bfloat16 is the upper half of a float32.
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")


class Skipped:
    """Stands for an object of a class that is not read; it takes anything in silence.

    Attributes:
        named: What the file calls its class or function.
    """

    named = ""

    def __init__(self, *arguments: object, **options: object) -> None:
        pass

    def __setstate__(*_) -> None:  # of an object, or of the class itself
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def add(self, item: object) -> None:
        """Take an item of a set, and forget it."""

    def append(self, item: object) -> None:
        """Take an item of a list, and forget it."""

    def extend(self, items: object) -> None:
        """Take items of a list, and forget them."""

    def __repr__(self) -> str:
        return f"<skipped {self.named}>"


class _StorageKind(NamedTuple):
    dtype: str  # NumPy's, little-endian; "bfloat16" for that


class _Storage(NamedTuple):
    """A flat array that lies elsewhere in the file: its name there, and its length."""

    key: str
    dtype: str
    size: int


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Maker:
    """A function that a pickle may call; nothing can be set on it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments):
        return self._make(*arguments)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("attributes of a function")


class _OrderedDict(dict):
    def __setstate__(self, state):
        """Forget `_metadata`, the versions of layers that torch hangs on."""


def _rebuild_tensor(storage, offset, shape, strides, *_):
    if isinstance(storage, _Storage) and storage.dtype.startswith("|V"):
        return Skipped()
    numbers = offset, *shape, *strides
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise ValueError("a tensor without a storage")
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers):
        raise ValueError("a tensor of an impossible shape")
    # Python's whole numbers: no product or sum can overflow.
    count, last = 1, offset
    for n, stride in zip(shape, strides, strict=True):
        count *= n
        last += (n - 1) * stride
    if count and (last >= storage.size or count > storage.size):
        raise ValueError("a tensor beyond its storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *_):
    return tensor


_MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
}
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
# Numbers that are not read, and how many bytes each takes in a file.
_INERT_WIDTHS = {
    "torch.ComplexFloatStorage": 8,
    "torch.ComplexDoubleStorage": 16,
    "torch.QInt32Storage": 4,
}


def _is_inert(kind):
    return isinstance(kind, type) and issubclass(kind, Skipped)


class _Unpickler(pickle.Unpickler):
    """Loads data alone; `storages` fills with the storages by their keys."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed maker, or a new inert class; nothing is imported."""
        if (module, name) in _MAKERS:
            return _Maker(_MAKERS[module, name])
        if module == "torch" and name in _STORAGES:
            return _StorageKind(_STORAGES[name])
        return type("Skipped", (Skipped,), {"named": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage of ("storage", torch.FloatStorage, key, device, size).

        Older files add a view, which is none but in the very oldest; and ("module",
        class, file, source) for the class of a network, which is inert.
        """
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
            return pid[1] if _is_inert(pid[1]) else Skipped
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise pickle.UnpicklingError("an object that lies outside the pickle")
        _, kind, key, _, size, *view = pid
        if view not in ([], [None]):
            raise pickle.UnpicklingError("a view of a storage")
        if _is_inert(kind):
            kind = _StorageKind(f"|V{_INERT_WIDTHS.get(kind.named, 1)}")
        if not isinstance(kind, _StorageKind):
            raise pickle.UnpicklingError("a storage of an unknown kind")
        if not isinstance(key, str) or type(size) is not int or size < 0:
            raise pickle.UnpicklingError("a storage without a size")
        storage = _Storage(key, kind.dtype, size)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError("two storages of one name")
        return storage


def _unpickle(file):
    """Load one pickle from where a file stands: `(value, storages)`."""
    start = file.tell()
    # Python makes room for as many objects as the greatest number that a pickle gives
    # to one; an honest one counts on, so that it lies below the position.
    for opcode, argument, position in pickletools.genops(file):
        if opcode.name == "LONG_BINPUT" and argument > position - start:
            raise ValueError("a pickle that counts wrongly")
    file.seek(start)
    unpickler = _Unpickler(file)
    return unpickler.load(), unpickler.storages


def _read_torch(path):
    return _read_zip(path) if zipfile.is_zipfile(path) else _read_row(path)


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        # The folder in the archive has the name that the file once had.
        pickles = [n for n in archive.namelist() if n.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise ValueError("a zip archive without one data.pkl")
        folder, info = pickles[0].split("/")[0], archive.getinfo(pickles[0])
        if info.file_size > _LARGEST_PICKLE:
            raise ValueError(f"a pickle of {info.file_size} bytes")
        if f"{folder}/byteorder" in archive.namelist():
            with archive.open(f"{folder}/byteorder") as file:
                if file.read(16) != b"little":
                    raise ValueError("its numbers are big-endian")
        value, _ = _unpickle(io.BytesIO(archive.read(info)))

        def read(storage):
            info = archive.getinfo(f"{folder}/data/{storage.key}")
            # torch does not compress; so no small file can grow to fill the memory.
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError("a compressed storage")
            return archive.read(info)

        return _with_arrays(value, read)


def _read_row(path):
    """Read pickles in a row, and the bytes of the storages after them."""
    with open(path, "rb") as file:
        if _unpickle(file)[0] != _MAGIC:
            raise ValueError("it does not begin as one of torch")
        if _unpickle(file)[0] != _PROTOCOL:
            raise ValueError("an unknown protocol")
        if not _unpickle(file)[0].get("little_endian"):
            raise ValueError("its numbers are big-endian")
        value, storages = _unpickle(file)
        data = {}
        for key in _unpickle(file)[0]:
            size = int.from_bytes(file.read(8), "little")
            if key not in storages or size != storages[key].size:
                raise ValueError(f"storage {key!r} is not as announced")
            data[key] = file.read(size * _width(storages[key]))
        return _with_arrays(value, lambda storage: data[storage.key])


def _width(storage):
    return 2 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize


def _with_arrays(value, read):
    """Replace tensors by arrays; each container is visited once."""
    flats, done = {}, {}

    def array(view):
        storage = view.storage
        if storage.key not in flats:
            data = read(storage)
            if len(data) != storage.size * _width(storage):
                raise ValueError(f"storage {storage.key!r} is cut short")
            flats[storage.key] = _as_array(data, storage.dtype)
        flat = flats[storage.key]
        strides = [n * flat.itemsize for n in view.strides]
        tensor = np.lib.stride_tricks.as_strided(
            flat[view.offset :], view.shape, strides, writeable=False
        )
        return np.array(tensor, flat.dtype.newbyteorder("="))

    def visit(item):
        if isinstance(item, _Tensor):
            return array(item)
        if _is_inert(item):  # a class, not called in the pickle
            return item()
        if isinstance(item, (_Maker, _Storage, _StorageKind)):
            return Skipped()
        if not isinstance(item, (dict, list, tuple)):
            return item
        if id(item) not in done:
            done[id(item)] = None  # something that holds itself
            if isinstance(item, dict):
                done[id(item)] = {k: visit(v) for k, v in item.items()}
            else:
                kind = list if isinstance(item, list) else tuple
                done[id(item)] = kind(visit(v) for v in item)
        return done[id(item)]

    return visit(value)


_READERS = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    **dict.fromkeys((".pth", ".pt", ".ckpt", ".bin"), _read_torch),
}
