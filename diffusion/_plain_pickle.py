"""Reads the pickles of torch files as data: nothing is imported, nothing is called.

A pickle is a program for a small stack machine. Here that machine knows the few
instructions that tensors in dicts and lists need; a name of something to import becomes
a `Name`, and only those of `MAKERS` may be called, each by a function of ours.
All else is refused.

Reference:
    `pickletools` of the Python library, for what the instructions mean.
"""

import pickletools

from diffusion._torch_objects import (
    MAKERS,
    Name,
    RefusedError,
    storage_of,
    told,
    update,
)

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
