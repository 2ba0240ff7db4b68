"""What may stand in a torch file: storages, tensors of them, and dicts."""

from typing import NamedTuple


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
