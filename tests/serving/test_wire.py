"""Messages: openpi's form by hand, arrays back bit by bit, and nothing that a message holds can do harm."""

import random

import msgpack
import numpy as np
import pytest

from pistar_vf.errors import MessageError
from pistar_vf.serving.wire import pack, unpack


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64", "bool", "<U3", "float16"])
def test_arrays_come_back(dtype):
    array = np.zeros((2, 0, 3), dtype) if dtype == "float64" else np.arange(6).reshape(2, 3).astype(dtype)
    back = unpack(pack({"a": array, "b": [array[:1]]}))
    np.testing.assert_array_equal(back["a"], array)
    assert back["a"].dtype == array.dtype
    assert back["a"].shape == array.shape
    np.testing.assert_array_equal(back["b"][0], array[:1])


def test_the_form_is_openpis():
    """Keys are bytes, the dtype is NumPy's string, the data is in C order."""
    plain = msgpack.unpackb(pack(np.array([[1, 2]], np.int16)), strict_map_key=False)
    assert plain == {b"__ndarray__": True, b"data": b"\x01\x00\x02\x00", b"dtype": "<i2", b"shape": [1, 2]}
    assert unpack(pack(np.float32(0.5))) == np.float32(0.5)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"\xc1", "expected a msgpack message, got 1 bytes"),
        (b"", "expected a msgpack message, got 0 bytes"),
        (msgpack.packb({b"__ndarray__": True}), "expected numbers, flags or text|name of a dtype"),
        (
            msgpack.packb({b"__ndarray__": True, b"data": b"", b"dtype": "|O", b"shape": [0]}),
            "expected numbers, flags or text, got dtype '|O'",
        ),
        (
            msgpack.packb({b"__ndarray__": True, b"data": b"\0" * 4, b"dtype": "<f4", b"shape": [1 << 40]}),
            r"expected \d+ bytes for float32 \(1099511627776,\), got 4",
        ),
        (
            msgpack.packb({b"__ndarray__": True, b"data": b"\0" * 4, b"dtype": "<f4", b"shape": [-1]}),
            r"expected at most 8 sizes of 0 or more, got \[-1\]",
        ),
        (
            msgpack.packb({b"__ndarray__": True, b"data": b"\0" * 4, b"dtype": "soup", b"shape": [1]}),
            "expected the name of a dtype, got 'soup'",
        ),
        (
            msgpack.packb({b"__ndarray__": True, b"data": "word", b"dtype": "<f4", b"shape": [1]}),
            "expected bytes in 'data'",
        ),
    ],
)
def test_broken_messages(message, complaint):
    with pytest.raises(MessageError, match=complaint):
        unpack(message)


@pytest.mark.parametrize(("dtype", "data"), [("|i1", 10**9), ("|u1", -1), ("<i4", 3.5), ("<i8", None), ("<u2", 2**16)])
def test_a_number_that_its_dtype_does_not_hold(dtype, data):
    """NumPy before 2 would wrap it."""
    with pytest.raises(MessageError, match=r"number: expected one that u?int(8|16|32|64) holds, got"):
        unpack(msgpack.packb({b"__npgeneric__": True, b"data": data, b"dtype": dtype}))


def test_a_thousand_mutations_are_read_or_refused():
    rng = random.Random(0)
    good = pack({"images": {"front": np.zeros((4, 4, 3), np.uint8)}, "state": np.ones(3), "prompt": "pick"})
    refused = 0
    for _ in range(1_000):
        mutated = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        try:
            unpack(bytes(mutated[: rng.randint(1, len(mutated))]))
        except MessageError:
            refused += 1
    assert 500 < refused < 1_000


def test_what_does_not_fit_into_a_message():
    with pytest.raises(TypeError, match="object does not fit"):
        pack(object())
    with pytest.raises(TypeError, match="arrays of object do not fit"):
        pack(np.array([object()]))
