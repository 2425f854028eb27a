"""Vectors of numbers in compiled code, several lanes wide, which LLVM maps to the machine's registers.

What happens to a lane does not depend on the machine: numbers are multiplied and added one by one, as IEEE 754 and
two's complement have it, nothing is fused or put in another order. Loops written with them are as fast as they look,
where a compiler that has to find vectors itself first asks whether arrays overlap, and how long they are.

An index counts elements, and a vector is all the lanes from there on: nothing looks whether an array has them. Vectors
of the same kind are added, subtracted and multiplied by Python's operators, those of integers also shifted and masked.

Here are the functions as kernels call them; `vector_code.py` makes LLVM's instructions of each, by its name.
"""

import functools
from collections.abc import Callable
from typing import Any, NoReturn

DOUBLES = 8  # Lanes.
SINGLES = 16
INTEGERS = 16


class _Primitive:
  """A function that exists in kernels only."""

  def __init__(self, function: Callable[..., Any]):
    functools.update_wrapper(self, function)
    self._name = function.__name__

  @property
  def _numba_type_(self) -> Any:
    from language_modeling_is_compression.kernels import vector_code  # Imports numba, which asks only when it compiles.

    return vector_code.type_of(self._name)

  def __call__(self, *_: Any) -> NoReturn:
    raise TypeError(f'{self._name} is for compiled functions')


_primitive: Any = _Primitive  # Type checkers take its functions to be called as they are written.


@_primitive
def load(array, index):
  """The lanes of an array from an index on: float64, float32 or int32."""


@_primitive
def store(array, index, vector):
  """Writes the lanes to an array, float64, float32, int32, or int16, which int32 are cut to."""


@_primitive
def doubles(value):
  """A float64 in all lanes."""


@_primitive
def singles(value):
  """A float32 in all lanes."""


@_primitive
def integers(value):
  """An int32 in all lanes."""


@_primitive
def total(vector):
  """The sum of float lanes as a float64, from the first to the last."""


@_primitive
def whole(vector):
  """Float64 lanes, of magnitudes below 2**31, without what is behind the point."""


@_primitive
def interpolate(table, places):
  """Values at places of a table, int32: straight between one entry and the next; places: float64, not negative."""


@_primitive
def preceded(vector, by):
  """The last lane of float32 `by`, then those of the vector but its last one."""


@_primitive
def add_pairs(sums, rows, index, x, k):
  """sums + rows[index + 2 n] * x[k] + rows[index + 2 n + 1] * x[k + 1] in lane n: int16 of two arrays, sums of 32 bits.

  It is what machines have a single instruction for.
  """


@_primitive
def minimum(one, other):
  """The smaller one in each lane; `other` where a float is not a number."""


@_primitive
def maximum(one, other):
  """The larger one in each lane; `other` where a float is not a number."""
