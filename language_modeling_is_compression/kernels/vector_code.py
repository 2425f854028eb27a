"""What vectors are to numba, and the LLVM code that each function of `vectors.py` becomes. Imports numba."""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from language_modeling_is_compression.kernels.vectors import DOUBLES, INTEGERS, SINGLES


class _Vector(types.Type):
  def __init__(self, element: Any, lanes: int):
    self.element, self.lanes = element, lanes
    super().__init__(name=f'Vector({element}, {lanes})')


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
  def __init__(self, manager: Any, vector: _Vector):
    super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.element).get_value_type(), vector.lanes))


_doubles = _Vector(types.float64, DOUBLES)
_singles = _Vector(types.float32, SINGLES)
_integers = _Vector(types.int32, INTEGERS)
_OF_ELEMENT = {vector.element: vector for vector in (_doubles, _singles, _integers)}


def type_of(name: str) -> Any:
  """Type of the function of that name, as numba asks for it."""
  context = cpu_target.typing_context
  context.refresh()
  return context.resolve_value_type(globals()[name])


@intrinsic
def load(context, array, index):
  vector = _OF_ELEMENT[array.dtype]

  def generate(context, builder, signature, arguments):
    pointer = _pointer(context, builder, signature.args, arguments, context.get_value_type(vector))
    return builder.load(pointer, align=context.get_abi_sizeof(pointer.type.pointee.element))

  return vector(array, types.intp), generate


@intrinsic
def store(context, array, index, vector):
  def generate(context, builder, signature, arguments):
    value = arguments[2]
    if signature.args[0].dtype == types.int16:
      value = builder.trunc(value, ir.VectorType(ir.IntType(16), vector.lanes))
    pointer = _pointer(context, builder, signature.args[:2], arguments[:2], value.type)
    builder.store(value, pointer, align=context.get_abi_sizeof(value.type.element))
    return context.get_dummy_value()

  return types.none(array, types.intp, vector), generate


@intrinsic
def doubles(context, value):
  return _doubles(types.float64), _generate_broadcast


@intrinsic
def singles(context, value):
  return _singles(types.float32), _generate_broadcast


@intrinsic
def integers(context, value):
  return _integers(types.int32), _generate_broadcast


@intrinsic
def total(context, vector):
  def generate(context, builder, signature, arguments):
    lanes = [builder.extract_element(arguments[0], _int32(k)) for k in range(vector.lanes)]
    if vector.element == types.float32:
      lanes = [builder.fpext(lane, ir.DoubleType()) for lane in lanes]
    found = lanes[0]
    for lane in lanes[1:]:
      found = builder.fadd(found, lane)
    return found

  return types.float64(vector), generate


@intrinsic
def whole(context, vector):
  def generate(context, builder, signature, arguments):
    cut = builder.fptosi(arguments[0], ir.VectorType(ir.IntType(32), DOUBLES))
    return builder.sitofp(cut, arguments[0].type)

  return vector(vector), generate


@intrinsic
def interpolate(context, table, places):
  def generate(context, builder, signature, arguments):
    table, places = arguments
    short, pair = ir.IntType(32), ir.VectorType(ir.IntType(32), 2)
    indices = builder.fptosi(places, ir.VectorType(short, DOUBLES))
    base = context.make_array(signature.args[0])(context, builder, table).data
    low = high = ir.Constant(ir.VectorType(short, DOUBLES), ir.Undefined)
    for k in range(DOUBLES):
      index = builder.sext(builder.extract_element(indices, _int32(k)), ir.IntType(64))
      both = builder.load(builder.bitcast(builder.gep(base, [index]), pair.as_pointer()), align=4)
      low = builder.insert_element(low, builder.extract_element(both, _int32(0)), _int32(k))
      high = builder.insert_element(high, builder.extract_element(both, _int32(1)), _int32(k))
    between = builder.fsub(places, builder.sitofp(indices, places.type))
    rise = builder.sitofp(builder.sub(high, low), places.type)
    return builder.fadd(builder.sitofp(low, places.type), builder.fmul(rise, between))

  return places(table, places), generate


@intrinsic
def preceded(context, vector, by):
  def generate(context, builder, signature, arguments):
    vector, by = arguments
    return builder.shuffle_vector(by, vector, ir.Constant(_mask(SINGLES), list(range(SINGLES - 1, 2 * SINGLES - 1))))

  return _singles(_singles, _singles), generate


@intrinsic
def add_pairs(context, sums, rows, index, x, k):
  def generate(context, builder, signature, arguments):
    sums, rows, index, x, k = arguments
    _, rows_type, index_type, x_type, k_type = signature.args
    pairs, short = 2 * INTEGERS, ir.IntType(16)
    types_of, values = (rows_type, index_type), (rows, index)
    factors = builder.load(_pointer(context, builder, types_of, values, ir.VectorType(short, pairs)), align=2)
    pair = builder.load(_pointer(context, builder, (x_type, k_type), (x, k), ir.IntType(32)), align=2)
    same = builder.bitcast(_broadcast(builder, pair, INTEGERS), factors.type)
    wide = ir.VectorType(ir.IntType(32), pairs)
    products = builder.mul(builder.sext(factors, wide), builder.sext(same, wide))
    undefined = ir.Constant(wide, ir.Undefined)
    halves = [
      builder.shuffle_vector(products, undefined, ir.Constant(_mask(INTEGERS), list(range(first, pairs, 2))))
      for first in (0, 1)
    ]
    return builder.add(sums, builder.add(*halves))

  return _integers(_integers, rows, types.intp, x, types.intp), generate


_OPERATIONS = {
  operator.add: ('fadd', 'add'),
  operator.sub: ('fsub', 'sub'),
  operator.mul: ('fmul', 'mul'),
  operator.truediv: ('fdiv', ''),
  operator.and_: ('', 'and_'),
  operator.lshift: ('', 'shl'),
  operator.rshift: ('', 'ashr'),
}


def _define(operation: Any, of_floats: str, of_integers: str) -> None:
  @infer_global(operation)
  class _Template(AbstractTemplate):
    def generic(self, arguments: Any, keywords: Any) -> Any:
      one, other = (*arguments, None)[:2]
      if isinstance(one, _Vector) and one == other and (of_integers if one.element == types.int32 else of_floats):
        return signature(one, one, one)
      return None

  @lower_builtin(operation, _Vector, _Vector)
  def _lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    name = of_integers if signature.return_type == _integers else of_floats
    return getattr(builder, name)(*arguments)


for _operation, _names in _OPERATIONS.items():
  _define(_operation, *_names)


@intrinsic
def minimum(context, one, other):
  return one(one, one), _generate_choice('<')


@intrinsic
def maximum(context, one, other):
  return one(one, one), _generate_choice('>')


def _generate_choice(relation: str) -> Any:
  def generate(context, builder, signature, arguments):
    compare = builder.icmp_signed if signature.return_type == _integers else builder.fcmp_ordered
    return builder.select(compare(relation, *arguments), *arguments)

  return generate


def _generate_broadcast(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
  return _broadcast(builder, arguments[0], signature.return_type.lanes)


def _pointer(context: Any, builder: Any, types_of: Any, values: Any, target: Any) -> Any:
  """To an element of an array, as one to what is loaded or stored there."""
  array_type, _ = types_of
  array = context.make_array(array_type)(context, builder, values[0])
  return builder.bitcast(builder.gep(array.data, [values[1]]), target.as_pointer())


def _broadcast(builder: Any, value: Any, lanes: int) -> Any:
  undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
  first = builder.insert_element(undefined, value, _int32(0))
  return builder.shuffle_vector(first, undefined, ir.Constant(_mask(lanes), [0] * lanes))


def _mask(lanes: int) -> Any:
  return ir.VectorType(ir.IntType(32), lanes)


def _int32(value: int) -> Any:
  return ir.Constant(ir.IntType(32), value)
