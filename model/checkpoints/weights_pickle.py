"""Read pickles of weights without Python's own unpickler: nothing in them is ever called.

A pickle is a program for a small machine with a stack. This one knows the instructions that saved
state dicts and TorchScript archives are made of, and of what they name only how tensors and plain
containers are put together. A name is a pair of texts here and never looked up, so nothing can be
run, changed or allocated by it: tensors stay descriptions, whose numbers are read by
`model.checkpoints.read` once they are known to be there.

`torch.load(weights_only=True)` would not do: it refuses TorchScript archives, which OpenAI's own
CLIP weights are, and it opens a file of a kilobyte whose tensor is a view of 8 billion values.

The protocol is that of Python's pickletools; what tensors are made of, that of torch._utils.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import torch

MAX_STEPS = 2_000_000
_MAX_DIMENSIONS = 16
_MAX_INTEGER = 16  # bytes; torch's own mark at the beginning of a file has ten
_SCRIPTED = "__torch__"

DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
# Further kinds of numbers, which are named by themselves.
_NAMED_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (*DTYPES.values(), torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16)
}


class NotWeights(Exception):
    """Raised for a pickle with anything that is neither a tensor nor a plain container."""


class Damaged(Exception):
    """Raised for a file that is incomplete or of an unknown kind."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers that lie in the file under `key`, as many as it says."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A view of a storage, counted in its numbers; without one it has nothing but a shape."""

    storage: Storage | None
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(slots=True, eq=False)
class Fields:
    """Stands for an instance of any scripted class."""

    fields: dict[str, Any] = field(default_factory=dict)


class _Name(NamedTuple):
    module: str
    name: str


Call: TypeAlias = "Callable[[tuple[Any, ...]], Any]"


def read_pickle(data: bytes, at: int = 0) -> tuple[Any, int]:
    """Return what is pickled at offset `at`, and the offset of its end.

    Raises `NotWeights`, `Damaged`.
    """
    machine = _Machine(data, at)
    try:
        return machine.run(), machine.at
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise Damaged(f"its pickle is no whole one ({error})") from error


class _Machine:
    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_STEPS):
            code = self.data[self.at]
            self.at += 1
            if code == _STOP:
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise Damaged(f"its pickle has the instruction {code}, which weights never need")
            step(self)
        raise Damaged("its pickle is far longer than that of any weights")

    def take(self, size: int) -> bytes:
        taken = self.data[self.at : self.at + size]
        if len(taken) < size:
            raise Damaged("its pickle breaks off")
        self.at += size
        return taken

    def number(self, form: str) -> Any:
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return value

    def line(self) -> str:
        end = self.data.index(b"\n", self.at, self.at + 1000)
        text = self.data[self.at : end].decode()
        self.at = end + 1
        return text

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def text(self, form: str, encoding: str = "utf-8") -> None:
        self.push(self.take(self.number(form)).decode(encoding, "surrogatepass"))

    def integer(self, form: str) -> None:
        size = self.number(form)
        if size > _MAX_INTEGER:
            raise Damaged("it holds a number of far too many digits")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise Damaged("its pickle breaks off")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.push(items)

    def remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise NotWeights("it appends to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise NotWeights("it puts items into what is no dictionary")
        _fill(target, zip(items[::2], items[1::2], strict=True))

    def set_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def add_one(self) -> None:
        self.append([self.stack.pop()])

    def name(self, module: str, name: str) -> None:
        if not (_is_scripted(module) or (module, name) in _KNOWN):
            raise NotWeights(f"it asks for {module}.{name}")
        self.push(_Name(module, name))

    def stacked_name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(module) is not str or type(name) is not str:
            raise Damaged("it asks for what has no name")
        self.name(module, name)

    def reduce(self) -> None:
        given, what = self.stack.pop(), self.stack.pop()
        self.push(_called(what, given))

    def new(self) -> None:
        """Create an instance: of scripted classes and ordered dictionaries alone, both empty."""
        given, what = self.stack.pop(), self.stack.pop()
        self.push(_called(what, () if _is_scripted(getattr(what, "module", "")) else given))

    def build(self) -> None:
        """Set the state of an instance, and of nothing else."""
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is Fields:
            if type(state) is dict:
                made.fields.update((key, state[key]) for key in state if type(key) is str)
        elif type(made) is not dict:  # what torch notes on a state dict is of no use here
            raise NotWeights("it changes what is no instance of its own")

    def stored(self) -> None:
        """('storage', kind, key, device, count), and of old files what the storage is part of."""
        pid = self.stack.pop()
        if (
            type(pid) is not tuple
            or len(pid) not in (5, 6)
            or pid[0] not in ("storage", b"storage")
        ):
            raise NotWeights("it names something beside it that is no storage")
        _, kind, key, _, count, *part = pid
        dtype = DTYPES.get(kind.name) if isinstance(kind, _Name) else None
        if dtype is None or type(key) is not str or (part and part[0] is not None):
            raise NotWeights("it names a storage of a kind that is not known here")
        self.push(Storage(key, dtype, _validated_int(count)))


def _is_scripted(module: Any) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == _SCRIPTED


def _fill(target: dict[Any, Any], pairs: Any) -> None:
    for key, value in pairs:
        # Others may cost far more to compare than they take to write.
        usual = type(key) in (str, bool, float, type(None)) or (
            type(key) is int and abs(key) < 1 << 60
        )
        if not usual:
            raise NotWeights("it has a dictionary with keys that are no names or numbers")
        target[key] = value


def _called(function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Name) or type(arguments) is not tuple:
        raise NotWeights("it calls what is no function")
    if _is_scripted(function.module):
        return Fields()
    make = _KNOWN[function]
    if make is None:
        raise NotWeights(f"it calls {function.module}.{function.name}")
    return make(arguments)


def _validated_int(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise Damaged("it has sizes that are no whole numbers")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > _MAX_DIMENSIONS:
        raise Damaged("it has tensors of too many dimensions")
    return tuple(map(_validated_int, values))


def _tensor(given: tuple[Any, ...], dtype: torch.dtype | None = None) -> StoredTensor:
    storage, offset, shape, stride = given[:4]
    if not isinstance(storage, Storage):
        raise NotWeights("it makes a tensor of what is no storage")
    shape, stride = _sizes(shape), _sizes(stride)
    if len(shape) != len(stride):
        raise Damaged("it has a tensor of an odd shape")
    return StoredTensor(storage, dtype or storage.dtype, _validated_int(offset), shape, stride)


def _tensor_of_kind(given: tuple[Any, ...]) -> StoredTensor:
    return _tensor(given, _dtype(given[6]))


def _shape_alone(given: tuple[Any, ...]) -> StoredTensor:
    dtype, shape, stride = given[:3]
    return StoredTensor(None, _dtype(dtype), 0, _sizes(shape), _sizes(stride))


def _dtype(name: Any) -> torch.dtype:
    dtype = _NAMED_DTYPES.get(name.name) if isinstance(name, _Name) else None
    if dtype is None:
        raise NotWeights("it has numbers of a kind that is not known here")
    return dtype


def _first(given: tuple[Any, ...]) -> Any:
    return given[0]


def _of_type(given: tuple[Any, ...]) -> Any:
    """A tensor of a class of its own (function, class, arguments, state) as a plain one."""
    if given[0] not in (_PLAIN, _OF_KIND):
        raise NotWeights("it makes a tensor in a way that is not known here")
    return _called(given[0], given[2])


def _ordered(given: tuple[Any, ...]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _fill(made, given[0] if given else ())
    return made


def _listed(given: tuple[Any, ...]) -> list[Any]:
    if type(given[0]) is not list:
        raise NotWeights("it makes a list of what is none")
    return list(given[0])


def _size(given: tuple[Any, ...]) -> tuple[int, ...]:
    return _sizes(given[0] if given else ())


def _ignored(given: tuple[Any, ...]) -> None:
    """A device, say, which decides nothing here."""


_UTILS = "torch._utils"
_PLAIN, _OF_KIND = (_Name(_UTILS, f"_rebuild_tensor_v{kind}") for kind in (2, 3))
# What may be named, and how it is made; None: only named, never made.
_KNOWN: dict[tuple[str, str], Call | None] = {
    ("collections", "OrderedDict"): _ordered,
    (_UTILS, "_rebuild_tensor"): _tensor,
    _PLAIN: _tensor,
    _OF_KIND: _tensor_of_kind,
    (_UTILS, "_rebuild_parameter"): _first,
    (_UTILS, "_rebuild_parameter_with_state"): _first,
    (_UTILS, "_rebuild_meta_tensor_no_storage"): _shape_alone,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
    ("torch", "Size"): _size,
    ("torch", "device"): _ignored,
    ("torch", "Tensor"): None,
    ("torch.nn.parameter", "Parameter"): None,
    ("torch.jit._pickle", "restore_type_tag"): _first,
    **{
        ("torch.jit._pickle", f"build_{kind}list"): _listed
        for kind in ("int", "double", "bool", "tensor")
    },
    **{("torch", name): None for name in (*DTYPES, *_NAMED_DTYPES)},
    **{("torch.storage", name): None for name in ("UntypedStorage", "TypedStorage")},
}

_STOP = ord(".")
_STEPS: dict[int, Callable[[_Machine], Any]] = {
    ord(code): step
    for code, step in {
        "\x80": lambda m: m.take(1),  # the protocol
        "\x95": lambda m: m.take(8),  # a frame
        "(": _Machine.mark,
        "0": lambda m: m.stack.pop(),
        "1": _Machine.since_mark,
        "2": lambda m: m.push(m.stack[-1]),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "K": lambda m: m.push(m.number("<B")),
        "M": lambda m: m.push(m.number("<H")),
        "J": lambda m: m.push(m.number("<i")),
        "\x8a": lambda m: m.integer("<B"),
        "\x8b": lambda m: m.integer("<I"),
        "G": lambda m: m.push(m.number(">d")),
        "U": lambda m: m.text("<B", "latin-1"),
        "T": lambda m: m.text("<I", "latin-1"),
        "C": lambda m: m.push(m.take(m.number("<B"))),
        "B": lambda m: m.push(m.take(m.number("<I"))),
        "X": lambda m: m.text("<I"),
        "\x8c": lambda m: m.text("<B"),
        "\x8d": lambda m: m.text("<Q"),
        "\x8e": lambda m: m.push(m.take(m.number("<Q"))),
        "]": lambda m: m.push([]),
        "l": lambda m: m.push(m.since_mark()),
        "a": _Machine.add_one,
        "e": lambda m: m.append(m.since_mark()),
        "}": lambda m: m.push({}),
        "s": _Machine.set_one,
        "u": lambda m: m.set_items(m.since_mark()),
        ")": lambda m: m.push(()),
        "t": lambda m: m.push(tuple(m.since_mark())),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "h": lambda m: m.push(m.memo[m.number("<B")]),
        "j": lambda m: m.push(m.memo[m.number("<I")]),
        "q": lambda m: m.remember(m.number("<B")),
        "r": lambda m: m.remember(m.number("<I")),
        "\x94": lambda m: m.remember(len(m.memo)),
        "c": lambda m: m.name(m.line(), m.line()),
        "\x93": _Machine.stacked_name,
        "R": _Machine.reduce,
        "\x81": _Machine.new,
        "b": _Machine.build,
        "Q": _Machine.stored,
    }.items()
}
