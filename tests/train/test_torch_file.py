"""Files of PyTorch tensors: what `torch.save` writes is read, and all else is refused with nothing
executed."""

import io
import os
import pickle
import struct
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.errors import UserError
from cnnlab.train import torch_file

SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
KINDS = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<i8": "LongStorage", "|u1": "ByteStorage"}


class Stored:
    """A storage, as the pickler of `torch.save` sees one."""

    def __init__(self, array, key, **changes):
        kind = Global("torch", KINDS[array.dtype.str])
        parts = {"tag": "storage", "kind": kind, "name": key, "place": "cpu", "count": array.size}
        self.pid = tuple((parts | {"view": None} | changes).values())


class Global:
    """A name in a pickle."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Called:
    """A call in a pickle, of a name with arguments."""

    def __init__(self, what, *arguments, state=None):
        self.what, self.arguments, self.state = what, arguments, state


class Saver(pickle._Pickler):
    """Writes pickles with any name in them, whether there is one or not."""

    def persistent_id(self, value):
        return value.pid if isinstance(value, Stored) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Global):
            self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Called):
            self.save(value.what)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
            if value.state is not None:
                self.save(value.state)
                self.write(pickle.BUILD)
        else:
            super().save(value, save_persistent_id)


def pickled(value, protocol=2):
    file = io.BytesIO()
    Saver(file, protocol).dump(value)
    return file.getvalue()


REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
DICT = Global("collections", "OrderedDict")


def tensor(stored, offset, shape, strides):
    return Called(REBUILD, stored, offset, shape, strides, False, Called(DICT))


def state(*named):
    """A state dict as PyTorch makes one, with what its modules remember."""
    return Called(DICT, list(named), state={"_metadata": {"": {"version": 1}}})


ROW = np.arange(12, dtype=np.float32)


def whole(views=None, rows=None, keys=None, magic=torch_file.MAGIC, system=SYSTEM, protocol=1001):
    """A file's bytes. `views`: the state dict, or a pickle of it; `rows`: key -> its numbers."""
    rows = {"a": ROW} if rows is None else rows
    views = state(("x", tensor(Stored(ROW, "a"), 0, (12,), (1,)))) if views is None else views
    parts = [pickled(magic), pickled(protocol), pickled(system)]
    parts.append(views if isinstance(views, bytes) else pickled(views))
    parts.append(pickled(list(rows) if keys is None else keys))
    parts += [struct.pack("<q", row.size) + row.tobytes() for row in rows.values()]
    return b"".join(parts)


def one(offset=0, shape=(12,), strides=(1,), **changes):
    """A file of one tensor, of whose storage something is said."""
    return whole(state(("x", tensor(Stored(ROW, "a", **changes), offset, shape, strides))))


def test_tensors_are_views_of_their_storages():
    numbers = np.arange(5, dtype=np.int64)
    a, b = Stored(ROW, "a"), Stored(numbers, "b")
    views = state(
        ("matrix", tensor(a, 0, (3, 4), (4, 1))),
        ("turned", tensor(a, 0, (4, 3), (1, 4))),
        ("part", tensor(a, 2, (2, 2), (4, 1))),
        ("number", tensor(b, 3, (), ())),
        ("none", tensor(b, 5, (0, 2), (2, 1))),
    )
    read = torch_file.tensors(whole(views, {"b": numbers, "a": ROW}), "x.pth")
    matrix = ROW.reshape(3, 4)
    expected = {"matrix": matrix, "turned": matrix.T, "part": matrix[:2, 2:]}
    assert list(read) == [*expected, "number", "none"]
    for name, array in expected.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == np.float32 and not read[name].flags.writeable
    assert read["number"].shape == () and read["number"] == 3
    assert read["none"].shape == (0, 2) and read["none"].dtype == np.int64


PARTS = (Stored(ROW, "a"), 0, (12,), (1,), False, None)
CHANGED = Called(REBUILD, *PARTS, state=(None, {"offset": 9}))  # after it was checked
HOSTILE = {
    "a command": whole(Called(Global("posix", "system"), "touch executed")),
    "a command in a tensor's place": whole(state(("x", Called(Global("os", "system"), "x")))),
    "code": whole(Called(Global("builtins", "eval"), "open('executed', 'w')")),
    "a name of Python 2": whole(Called(Global("__builtin__", "eval"), "open('executed', 'w')")),
    "a name alone": whole(Global("antigravity", "geohash")),
    "a module of cnnlab": whole(Called(Global("cnnlab.processes", "os.system"), "touch executed")),
    "another name of torch": whole(Called(Global("torch", "load"), "x")),
    "a storage that is none": whole(Called(Global("torch", "EvilStorage"), "x")),
    "a dotted name": whole(Called(Global("collections", "OrderedDict.fromkeys"), "ab")),
    "another name of collections": whole(Called(Global("collections", "namedtuple"), "A", "b")),
    # Names that are put together, or taken from the memo.
    "STACK_GLOBAL": whole(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0etouch executed\x85R."),
    "STACK_GLOBAL from the memo": whole(
        b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x94h\x01h\x00\x93\x8c\x0etouch executed\x85R."
    ),
    "a name in the memo": whole(b"\x80\x02cposix\nsystem\nq\x000h\x00X\x01\x00\x00\x00x\x85R."),
    "INST": whole(b"(S'touch executed'\niposix\nsystem\n."),
    "OBJ": whole(b"(cposix\nsystem\nS'touch executed'\no."),
    "NEWOBJ": whole(b"\x80\x02ccollections\nOrderedDict\n)\x81."),
    "EXT1": whole(b"\x80\x02\x82\x01."),
    "REDUCE of what cannot be called": whole(b"\x80\x02ctorch\nFloatStorage\n)R."),
    "a name in the list of storages": whole(keys=Called(Global("posix", "system"), "x")),
    "a name in the system": whole(system=Called(DICT)),
    "a name as magic number": whole(magic=Global("posix", "system")),
    # What was checked is not changed afterwards.
    "BUILD on a tensor": whole(state(("x", CHANGED))),
    "BUILD on a name": whole(state(("x", Called(DICT, state={"a": REBUILD})))),
    "attributes that shadow": whole(Called(DICT, [("x", 1)], state={"items": DICT, "get": DICT})),
    # Sizes.
    "a negative offset": one(offset=-1),
    "an offset beyond": one(offset=1),
    "a huge offset": one(offset=2**70, shape=(1,)),
    "a negative stride": one(offset=11, strides=(-1,)),
    "a stride beyond": one(shape=(6,), strides=(3,)),
    "a stride of 0": one(shape=(10**9,), strides=(0,)),
    "a negative size": one(shape=(-12,)),
    "two negative sizes": one(shape=(-3, -4), strides=(4, 1)),
    "a huge size": one(shape=(2**40, 2**40), strides=(0, 0)),
    "too many dimensions": one(shape=(1,) * 60, strides=(1,) * 60),
    "strides of another length": one(shape=(12,), strides=(1, 1)),
    "sizes that are no numbers": one(shape=("12",)),
    "sizes that are no whole numbers": one(shape=(12.0,)),
    "a size that is true": one(shape=(True,)),
    "a shape that is a list": one(shape=[12], strides=[1]),
    "a huge storage": one(count=2**60),
    "a negative storage": one(count=-1),
    "a storage of another size": one(count=11, shape=(11,)),
    "a storage that is part of another": one(view=("b", 0, 12)),
    "a storage of no type": one(kind="<f4"),
    "a storage without a key": one(name=1),
    "another reference": one(tag="module"),
    "a tensor of no storage": whole(state(("x", tensor((1, 2), 0, (12,), (1,))))),
    "a tensor of too few parts": whole(state(("x", Called(REBUILD, Stored(ROW, "a"))))),
    "a storage that is two things": whole(
        state(
            ("x", tensor(Stored(ROW, "a"), 0, (12,), (1,))),
            ("y", tensor(Stored(ROW.view("<i8"), "a"), 0, (6,), (1,))),
        )
    ),
    "a huge place in the memo": whole(b"\x80\x02)r\xff\xff\xff\xff."),
    "a text of 4 GB": whole(b"\x80\x02X\xff\xff\xff\xffx."),
    # Other content.
    "no state dict": whole({"x": 1}),
    "a state dict of numbers": whole(state(("x", 1))),
    "names that are no text": whole(state((1, tensor(Stored(ROW, "a"), 0, (12,), (1,))))),
    "a storage alone": whole(Stored(ROW, "a")),
    "wrong magic": whole(magic=torch_file.MAGIC + 1),
    "magic that is no number": whole(magic=[torch_file.MAGIC]),
    "another protocol": whole(protocol=1002),
    "big-endian numbers": whole(system=SYSTEM | {"little_endian": False}),
    "a storage more in the list": whole(keys=["a", "b"]),
    "a storage twice in the list": whole(keys=["a", "a"]),
    "none in the list": whole(keys=[]),
    "a list that is none": whole(keys="a"),
    "another storage than the tensor's": whole(rows={"b": ROW}),
    "a storage that no tensor has": whole(rows={"a": ROW, "b": ROW}),
    "extra data": whole() + b"\0",
    "a second file": whole() + whole(),
    "nothing": b"",
    "a zip archive": b"PK\x03\x04" + bytes(100),
    "noise": np.random.default_rng(0).bytes(5000),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_all_else_is_refused_and_nothing_is_executed(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr(os, "system", calls.append)
    loaded = set(sys.modules)
    with pytest.raises(UserError, match=r"^x\.pth: refused as a file of PyTorch tensors: \S"):
        torch_file.tensors(content, "x.pth")
    assert calls == [] and list(tmp_path.iterdir()) == []
    assert set(sys.modules) - loaded <= {"encodings.idna"}  # nothing was imported


def test_these_pickles_would_execute_something_in_a_plain_unpickler(tmp_path, monkeypatch):
    """So that the test above can fail."""
    monkeypatch.chdir(tmp_path)
    for name in ("a command", "code", "STACK_GLOBAL", "STACK_GLOBAL from the memo", "INST", "OBJ"):
        file = io.BytesIO(HOSTILE[name])
        for _ in range(3):
            pickle.load(file)
        pickle.load(file)
        (tmp_path / "executed").unlink()


STACKED = "STACK_GLOBAL", "STACK_GLOBAL from the memo", "a name in the memo", "INST", "OBJ"


@pytest.mark.parametrize("name", [*STACKED, "BUILD on a tensor", "sizes that are no whole numbers"])
def test_instructions_are_not_what_protection_rests_on(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch_file._File, "_check_instructions", lambda file: None)
    named = "it names 'posix', 'system', which is not allowed" if name in STACKED else "refused"
    with pytest.raises(UserError, match=named):
        torch_file.tensors(HOSTILE[name], "x.pth")
    assert list(tmp_path.iterdir()) == []


@given(st.integers(0, len(whole()) - 1))
def test_a_file_that_is_cut_short_is_refused(length):
    with pytest.raises(UserError, match="refused"):
        torch_file.tensors(whole()[:length], "x.pth")


@given(st.integers(0, len(whole()) - 1), st.integers(1, 255))
def test_a_changed_byte_gives_tensors_or_a_refusal(at, change):
    content = bytearray(whole())
    content[at] ^= change
    try:
        read = torch_file.tensors(bytes(content), "x.pth")
    except UserError:
        return
    assert all(array.size <= 12 for array in read.values())
