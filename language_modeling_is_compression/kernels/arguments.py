"""Arguments of a kernel as words of 64 bits, in the order in which machine code takes them, and a key of their types.

The key stands for what numba compiles a function for: two lists of arguments have the same only if they have the same
types of numba's. Words are an array's (no owner, no parent, its number of elements and bytes of one, address, shape,
strides), a number's bits, those of all fields of a tuple; None is a null pointer.
"""

import struct
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

_C_CONTIGUOUS, _F_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x2, 0x100, 0x400  # Of ndarray.flags.num.
_LARGEST = 2**63 - 1

# What is known of arrays, by id, for as long as they live: a state of a hundred of them comes with every call. NumPy
# moves no array that a weak reference leads to.
_KNOWN: dict[int, tuple['weakref.ref[np.ndarray]', str, tuple[int, ...]]] = {}


class UnknownArgumentError(Exception):
  """An argument is of a type that machine code made ahead of time does not take."""


def describe(arguments: tuple[Any, ...]) -> tuple[str, list[int]]:
  """Key and words of arguments, which have to live for as long as the words are used. Raises UnknownArgumentError."""
  key: list[str] = []
  words: list[int] = []
  for argument in arguments:
    _describe(argument, key, words)
  return ' '.join(key), words


def _describe(value: Any, key: list[str], words: list[int]) -> None:
  kind = type(value)
  if kind is np.ndarray:
    _describe_array(value, key, words)
  elif isinstance(value, tuple):
    key.append(f'{kind.__qualname__}(')
    for each in value:
      _describe(each, key, words)
    key.append(')')
  elif value is None:
    key.append('none')
    words.append(0)
  elif kind in _NUMBERS:
    name, bits = _NUMBERS[kind]
    if kind is int and not -_LARGEST - 1 <= value <= _LARGEST:
      raise UnknownArgumentError
    key.append(name)
    words.append(bits(value))
  else:
    raise UnknownArgumentError


def _describe_array(array: np.ndarray, key: list[str], words: list[int]) -> None:
  known = _KNOWN.get(id(array))
  if known is None or known[0]() is not array:
    known = _KNOWN[id(array)] = _examined(array)
  key.append(known[1])
  words += known[2]


def _examined(array: np.ndarray) -> tuple[weakref.ref[np.ndarray], str, tuple[int, ...]]:
  flags = array.flags.num
  if array.dtype.kind not in 'biuf' or not flags & _ALIGNED:
    raise UnknownArgumentError
  layout = 'C' if flags & _C_CONTIGUOUS else 'F' if flags & _F_CONTIGUOUS else 'A'
  key = f'{array.dtype.str}{array.ndim}{layout}{"" if flags & _WRITEABLE else "r"}'
  address = array.__array_interface__['data'][0]
  number = id(array)
  reference = weakref.ref(array, lambda _: _KNOWN.pop(number, None))
  return reference, key, (0, 0, array.size, array.itemsize, address, *array.shape, *array.strides)


def _float_bits(value: float) -> int:
  bits: int = struct.unpack('<q', struct.pack('<d', value))[0]
  return bits


_NUMBERS: dict[type, tuple[str, Callable[[Any], int]]] = {
  bool: ('bool', int),
  np.bool_: ('bool', int),
  int: ('int64', int),
  float: ('float64', _float_bits),
  np.float64: ('float64', _float_bits),
  **{
    each: (np.dtype(each).name, int)
    for each in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
  },
}
