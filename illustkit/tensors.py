"""Named arrays from files: `.npz`, `.safetensors`, `.pth`, by data alone."""

import io
import json
import pickletools
import sys
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

_MARK = object()


def load_plain(file, storages=None):
    """Read one pickle from where a file stands.

    Args:
        file: Binary file, open for reading. It stands behind the pickle afterwards.
        storages: Dict that is filled with the `Storage`s by their keys.

    Returns:
        Dicts, lists, tuples, text, numbers, bytes, `None`, `Tensor`s and `Name`s.

    Raises:
        RefusedError: for an instruction or a call that plain tensors do not need.
    """
    machine = _Machine({} if storages is None else storages)
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "STOP":
            value = machine.pop()
            if machine.stack:
                raise RefusedError("a pickle that does not end with one object")
            return value
        machine.step(opcode.name, argument)
    raise RefusedError("a pickle without an end")


class _Machine:
    def __init__(self, storages):
        self.stack, self.memo, self.storages = [], {}, storages

    def step(self, name, argument):
        if name in ("PROTO", "FRAME"):
            return
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise RefusedError("a reference to nothing")
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.stack.append(Name(*argument.split(" ", 1)))
        elif name in _ACTIONS:
            try:
                _ACTIONS[name](self)
            except (IndexError, TypeError, AttributeError) as error:
                raise RefusedError(f"a broken {name}") from error
        else:
            raise RefusedError(f"the instruction {name}")

    def pop(self):
        value = self.stack.pop()
        if value is _MARK:
            raise RefusedError("a mark out of place")
        return value

    def pop_to_mark(self):
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def top(self, kind):
        if not isinstance(self.stack[-1], kind):
            raise RefusedError(
                f"{type(self.stack[-1]).__name__} where {kind.__name__} is"
            )
        return self.stack[-1]

    def put_tuple(self, n):
        values = [self.pop() for _ in range(n)]
        self.stack.append(tuple(values[::-1]))

    def set_items(self, values):
        update(self.top(dict), zip(values[::2], values[1::2], strict=True))

    def set_item(self):
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append(self):
        value = self.pop()
        self.top(list).append(value)

    def extend(self):
        values = self.pop_to_mark()
        self.top(list).extend(values)

    def stack_name(self):
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise RefusedError("a name that is no text")
        self.stack.append(Name(module, name))

    def reduce(self):
        arguments, maker = self.pop(), self.pop()
        if not isinstance(maker, Name) or maker not in MAKERS:
            raise RefusedError(f"a call of {told(maker)}")
        try:
            self.stack.append(MAKERS[maker](*arguments))
        except (TypeError, ValueError) as error:
            raise RefusedError(f"a wrong call of {told(maker)}") from error

    def build(self):
        # torch hangs the version of each layer on an OrderedDict: not needed here.
        state = self.pop()
        self.top(dict)
        if not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise RefusedError("attributes of an object")

    def persistent(self):
        storage = storage_of(self.pop())
        if self.storages.setdefault(storage.key, storage) != storage:
            raise RefusedError("two storages of one name")
        self.stack.append(storage)


_CONSTANTS = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}

_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
}

_ACTIONS = {
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_to_mark,
    "TUPLE": lambda m: m.stack.append(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m: m.put_tuple(1),
    "TUPLE2": lambda m: m.put_tuple(2),
    "TUPLE3": lambda m: m.put_tuple(3),
    "LIST": lambda m: m.stack.append(m.pop_to_mark()),
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda m: m.set_items(m.pop_to_mark()),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}


class RefusedError(ValueError):
    """A pickle holds something that is no plain data."""


class Name(NamedTuple):
    """What a pickle would import."""

    module: str
    name: str


class Storage(NamedTuple):
    """A flat array that lies elsewhere in the file.

    Args:
        key: Its name there.
        dtype: NumPy dtype in little-endian; "bfloat16" for that.
        size: Number of values.
    """

    key: str
    dtype: str
    size: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count values."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


STORAGES = {
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


def update(target, pairs):
    """Put pairs into a dict, if their keys are plain."""
    for key, value in pairs:
        if not isinstance(key, (str, int, float, bool, type(None), tuple)):
            raise RefusedError(f"a key that is {type(key).__name__}")
        target[key] = value


def told(maker):
    """What a pickle would call, for an error."""
    return ".".join(maker) if isinstance(maker, Name) else type(maker).__name__


def storage_of(reference):
    """The `Storage` of a reference: ("storage", torch.FloatStorage, key, device, size).

    Older files add a view, which is none but in the very oldest.
    """
    if not isinstance(reference, tuple) or len(reference) not in (5, 6):
        raise RefusedError("an object that lies outside the pickle")
    kind, name, key, _, size = reference[:5]
    if len(reference) == 6 and reference[5] is not None:
        raise RefusedError("a view of a storage")
    known = isinstance(name, Name) and name.module == "torch" and name.name in STORAGES
    if kind != "storage" or not known:
        raise RefusedError(f"a storage of {told(name)}")
    if not isinstance(key, str) or not isinstance(size, int) or size < 0:
        raise RefusedError("a storage without a size")
    return Storage(key, STORAGES[name.name], size)


def _tensor(storage, offset, shape, strides, *_):
    numbers = offset, *shape, *strides
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise ValueError
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers):
        raise ValueError
    # Python's whole numbers: no product or sum can overflow.
    count, last = 1, offset
    for n, stride in zip(shape, strides, strict=True):
        count *= n
        last += (n - 1) * stride
    if count and (last >= storage.size or count > storage.size):
        raise ValueError
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor, *_):
    if not isinstance(tensor, Tensor):
        raise ValueError
    return tensor


def _ordered_dict(pairs=()):
    made = {}
    update(made, pairs)
    return made


MAKERS = {
    Name("collections", "OrderedDict"): _ordered_dict,
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
}


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
    return {
        name: _tensor_tensor_files(name, told, data) for name, told in header.items()
    }


def _tensor_tensor_files(name, told, data):
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
