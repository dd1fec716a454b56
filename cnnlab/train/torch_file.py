"""Tensors from a file of PyTorch's first format, read without PyTorch and without trust.

Such a file is five pickles, then the numbers. A pickle is a small program, so only instructions
that build plain values are let through, and of all names only those that `Restricted` lists. A file
that names another, or sizes that it does not bear out, is refused before anything is built from it.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np

from cnnlab.errors import UserError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {  # what the class of a storage is called -> its numbers, little-endian
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
}
DIMENSIONS = 8  # of a tensor, at most
INSTRUCTIONS = (  # of pickles: those that `torch.save` writes for a state dict
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE EMPTY_TUPLE"
    " TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS GLOBAL"
    " REDUCE BUILD BINPERSID BINPUT LONG_BINPUT BINGET LONG_BINGET"
)
DAMAGED = (  # what a pickle of allowed instructions in a senseless order raises
    *(pickle.UnpicklingError, AttributeError, EOFError, LookupError),
    *(OverflowError, TypeError, ValueError),
)


# Tuples, as no pickle can change one after it has been checked.
class Kind(NamedTuple):
    """What the numbers of a storage are."""

    name: str  # as NumPy writes it


class Storage(NamedTuple):
    """Numbers in a row that tensors share."""

    key: str
    dtype: np.dtype
    count: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def tensors(content: bytes, origin: str) -> dict[str, np.ndarray]:
    """Name -> array that cannot be written to, of a state dict. `content`: of the file `origin`.

    Raises UserError, and has executed nothing, for a file that is damaged, holds other things than
    tensors, or more than it says.
    """
    file = _File(content, origin)
    file.expect(MAGIC, "magic number")
    file.expect(PROTOCOL, "protocol version")
    system = file.unpickled()
    if not (type(system) is dict and system.get("little_endian") is True):
        file.refuse("its numbers are not little-endian")
    views = file.unpickled(restricted=True)
    if type(views) is not OrderedDict:
        file.refuse("it holds no state dict")
    views = dict(OrderedDict.items(views))  # without attributes that the file gave it
    if not all(type(name) is str and type(view) is Tensor for name, view in views.items()):
        file.refuse("it holds something else than named tensors")
    storages = {view.storage.key: view.storage for view in views.values()}
    keys = file.unpickled()
    if type(keys) is not list or any(type(key) is not str for key in keys):
        file.refuse("its list of storages is none")
    if len(keys) != len(storages) or set(keys) != set(storages):
        file.refuse("its list of storages is not that of the tensors")
    numbers = {key: file.numbers(storages[key]) for key in keys}
    file.end()
    return {name: _array(view, numbers) for name, view in views.items()}


class _File:
    """A file's content, read from front to back."""

    def __init__(self, content: bytes, origin: str):
        self.size, self.origin = len(content), origin
        self._content = io.BytesIO(content)

    def refuse(self, why: str) -> NoReturn:
        raise UserError(f"{self.origin}: refused as a file of PyTorch tensors: {why}")

    def expect(self, number: int, what: str) -> None:
        if self.unpickled() != number:
            self.refuse(f"its {what} is not {number:#x}")

    def unpickled(self, restricted: bool = False) -> Any:
        """The value of the next pickle. `restricted`: with the names and storages of tensors, else
        with none at all."""
        begin = self._content.tell()
        try:
            self._check_instructions()
            self._content.seek(begin)
            return Restricted(self._content, self, STORAGES if restricted else {}).load()
        except DAMAGED as error:
            self.refuse(f"the pickle at byte {begin} is damaged ({type(error).__name__})")

    def _check_instructions(self) -> None:
        before = None
        for count, (instruction, argument, at) in enumerate(pickletools.genops(self._content)):
            name = instruction.name
            if name not in INSTRUCTIONS.split():
                self.refuse(f"instruction {name} at byte {at}")
            # Memory is taken for all places in the memo below this one.
            if name.endswith("BINPUT") and argument > count:
                self.refuse(f"place {argument} in the memo at byte {at}")
            # It gives an object attributes: what a module remembers of the state dict itself.
            if before == "BUILD" and name != "STOP":
                self.refuse(f"instruction BUILD before byte {at}")
            before = name

    def numbers(self, storage: Storage) -> np.ndarray:
        """Those of the next storage, (count,)."""
        head = self._content.read(8)
        if len(head) < 8:
            self.refuse(f"it ends before storage {storage.key!a}")
        if int.from_bytes(head, "little", signed=True) != storage.count:
            self.refuse(f"storage {storage.key!a} is of another size than its tensors say")
        length = storage.count * storage.dtype.itemsize
        content = self._content.read(length)
        if len(content) < length:
            self.refuse(f"it ends within storage {storage.key!a}")
        return np.frombuffer(content, storage.dtype)

    def end(self) -> None:
        more = self.size - self._content.tell()
        if more:
            self.refuse(f"{more} bytes follow its last storage")


class Restricted(pickle.Unpickler):
    """An unpickler that knows the names of which tensors are made, each with a stand-in for it."""

    def __init__(self, content: io.BytesIO, file: _File, storages: Mapping[str, str]):
        super().__init__(content)
        self._file, self._seen = file, {}
        self._known: dict[tuple[str, str], Any] = {}
        if storages:
            self._known = {("torch", name): Kind(kind) for name, kind in storages.items()}
            self._known["collections", "OrderedDict"] = OrderedDict
            self._known["torch._utils", "_rebuild_tensor_v2"] = self._tensor

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; nothing is imported."""
        if (module, name) not in self._known:
            self._file.refuse(f"it names {module!a}, {name!a}, which is not allowed")
        return self._known[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """The storage that an identifier speaks of, as far as the file can hold it."""
        if not (self._known and type(pid) is tuple and len(pid) == 6 and pid[0] == "storage"):
            self._file.refuse("a reference is not to a storage")
        _, kind, key, place, count, view = pid
        if type(kind) is not Kind or type(key) is not str or type(place) is not str:
            self._file.refuse("a storage has no type, no key or no place")
        if view is not None:
            self._file.refuse(f"storage {key!a} is part of another one")
        dtype = np.dtype(kind.name)
        if not _sizes((count,)) or count * dtype.itemsize > self._file.size:
            self._file.refuse(f"storage {key!a} does not fit into the file")
        storage = Storage(key, dtype, count)
        if self._seen.setdefault(key, storage) != storage:
            self._file.refuse(f"storage {key!a} is said to be two things")
        return storage

    def _tensor(self, *parts: Any) -> Tensor:
        """The stand-in for torch._utils._rebuild_tensor_v2."""
        if len(parts) not in (6, 7):  # gradients, hooks and metadata follow, which are not used
            self._file.refuse("a tensor is made of other things than PyTorch writes")
        storage, offset, shape, strides = parts[:4]
        if not (type(storage) is Storage and _sizes((offset,)) and _sizes(shape)):
            self._file.refuse("a tensor has no storage, or sizes that are none")
        if not _sizes(strides) or len(strides) != len(shape) or len(shape) > DIMENSIONS:
            self._file.refuse(f"a tensor of storage {storage.key!a} has strides that are none")
        last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        beyond = math.prod(shape) > 0 and offset + last >= storage.count
        if beyond or math.prod(shape) > storage.count:
            self._file.refuse(f"a tensor goes beyond its storage {storage.key!a}")
        return Tensor(storage, offset, shape, strides)


def _sizes(values: Any) -> bool:
    """Whether it is a tuple of whole numbers that are not negative."""
    return type(values) is tuple and all(type(v) is int and v >= 0 for v in values)


def _array(view: Tensor, numbers: Mapping[str, np.ndarray]) -> np.ndarray:
    row = numbers[view.storage.key]
    if not math.prod(view.shape):
        return np.zeros(view.shape, row.dtype)
    strides = [step * row.itemsize for step in view.strides]
    begin = row[view.offset :]
    return np.lib.stride_tricks.as_strided(begin, view.shape, strides, writeable=False)
