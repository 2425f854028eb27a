"""Arguments as words: what machine code sees of them, and keys that differ where numba's types do."""

import gc
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import typeof

from language_modeling_is_compression.kernels import arguments
from language_modeling_is_compression.kernels.arguments import UnknownArgumentError, describe


class Pair(NamedTuple):
  one: Any
  other: Any


class OtherPair(NamedTuple):
  one: Any
  other: Any


def read_only(array: np.ndarray) -> np.ndarray:
  array.flags.writeable = False
  return array


LINE = np.arange(6.0)
PLANE = np.zeros((3, 4), np.int16)


def test_words_of_an_array():
  part = PLANE[1:, ::2]
  key, words = describe((part,))
  address = PLANE.__array_interface__['data'][0] + 8
  assert (key, words) == ('<i22A', [0, 0, 4, 2, address, 2, 2, 8, 4])


def test_words_of_numbers_and_tuples():
  _, words = describe((True, -3, 2.5, np.uint64(2**64 - 1), np.int8(-1), None, Pair(7, (np.float64(-1.0),))))
  bits = [struct.unpack('<q', struct.pack('<d', value))[0] for value in (2.5, -1.0)]
  assert words == [1, -3, bits[0], 2**64 - 1, -1, 0, 7, bits[1]]


@pytest.mark.parametrize(
  'values',
  [
    [1, 2, np.int64(3), -(2**63)],
    [1.0, np.float64(2)],
    [True, np.bool_(False)],
    [np.uint8(1)],
    [np.uint64(1)],
    [None],
    [LINE, LINE[:2], np.zeros(0)],
    [LINE[::2], LINE[::-1]],
    [read_only(LINE.copy())],
    [LINE.astype(np.float32)],
    [PLANE, np.zeros((1, 2), np.int16)],
    [PLANE.T],
    [PLANE[:, ::2]],
    [PLANE.astype(np.uint16)],
    [PLANE.astype(bool)],
    [(1, 2)],
    [(1, 2.0)],
    [((1,), 2)],
    [(1, (2,))],
    [Pair(1, 2)],
    [OtherPair(1, 2)],
    [Pair(1, None)],
    [Pair(LINE, 2)],
  ],
)
def test_keys_are_the_same_for_the_same_types_alone(values):
  [key] = {describe((value,))[0] for value in values}
  [kind] = {typeof(value) for value in values}
  for other in (1, 1.0, True, np.uint8(1), None, LINE, LINE[::2], PLANE, PLANE.T, (1, 2), Pair(1, 2), Pair(LINE, 2)):
    assert (describe((other,))[0] == key) == (typeof(other) == kind)


@pytest.mark.parametrize(
  'value',
  [
    2**63,
    -(2**63) - 1,
    'text',
    [1],
    1j,
    np.float32(1),
    np.zeros(2, complex),
    np.zeros(2, 'U3'),
    np.zeros(2, [('x', int)]),
    np.frombuffer(bytes(9), np.uint8)[1:].view(np.int64),
    np.ma.masked_array([1, 2]),
    Pair(1, object()),
  ],
)
def test_what_machine_code_does_not_take(value):
  with pytest.raises(UnknownArgumentError):
    describe((value,))


def test_an_array_in_the_place_of_another_is_not_taken_for_it():
  seen = set()
  for size in range(1, 200):
    array = np.zeros(size)
    seen.add(id(array))
    assert describe((array,))[1][2:6] == [size, 8, array.__array_interface__['data'][0], size]
    del array
  assert len(seen) < 199, 'none took the place of another'


def test_nothing_is_kept_of_arrays_that_are_gone():
  gc.collect()
  before = len(arguments._KNOWN)
  arrays = [np.zeros(3) for _ in range(50)]
  describe((tuple(arrays),))
  assert len(arguments._KNOWN) == before + 50
  del arrays
  assert len(arguments._KNOWN) == before


def test_an_array_that_is_known_cannot_move():
  array = np.zeros(3)
  describe((array,))
  with pytest.raises(ValueError, match='resize'):
    array.resize(10_000, refcheck=False)
