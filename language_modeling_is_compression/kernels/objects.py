"""Compiles kernels ahead of time, into the archives that `native.py` reads. Imports numba, of which it takes liberties.

numba makes LLVM's code of a kernel for the processor that it runs on. Here it is told of another one, and its code is
optimized and written to an object file instead of being loaded. What it computes does not depend on the processor.
"""

import hashlib
import importlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba import typeof, types
from numba.core import codegen
from numba.core.registry import cpu_target

from language_modeling_is_compression.kernels import just_in_time
from language_modeling_is_compression.kernels.arguments import describe
from language_modeling_is_compression.kernels.compilation import Kernel, sources
from language_modeling_is_compression.kernels.native import INDEX, SUFFIX, TARGETS, Target

# What an object may ask the process for: functions of C that are exact everywhere, some of which numba wraps.
_C_FUNCTIONS = {'ceil', 'floor', 'frexp', 'ldexp', 'memcpy', 'memmove', 'memset', 'rint', 'sqrt', 'trunc'}
_WRAPPED = {'numba_frexp': 'frexp', 'numba_ldexp': 'ldexp'}
_WORD = ir.IntType(64)


class EntryPoint(NamedTuple):
  """A kernel and the types that it is called with from Python. key, num_words: of `arguments.describe`."""

  module: str
  function: str
  name: str
  key: str
  num_words: int
  types: tuple[Any, ...]


def entry_points(heard: Sequence[tuple[Kernel, tuple[Any, ...]]]) -> list[EntryPoint]:
  """What calls (`Kernel.heard`) need, each once."""
  found = {}
  for kernel, arguments in heard:
    key, words = describe(arguments)
    found[kernel.name, key] = EntryPoint(
      module=kernel.py_func.__module__,
      function=kernel.py_func.__qualname__,
      name=kernel.name,
      key=key,
      num_words=len(words),
      types=tuple(map(typeof, arguments)),
    )
  return list(found.values())


def write_objects(folder: Path, name: str, points: Sequence[EntryPoint]) -> None:
  """Writes the archive of a target, by its name, to a folder. For a process that does nothing else with numba."""
  just_in_time.keep_code = False
  context: Any = cpu_target.target_context
  context._internal_codegen = _Codegen(TARGETS[name])
  index: dict[str, Any] = {'sources': sources().hex(), 'target': name, 'entry points': {}}
  path = folder / f'{name}{SUFFIX}'
  unfinished = path.with_suffix('.unfinished')
  with zipfile.ZipFile(unfinished, 'w', zipfile.ZIP_DEFLATED) as archive:
    for number, point in enumerate(points):
      symbol, file = f'lmic_{number}', f'{number}.o'
      data, results = _object_code(context, point, symbol)
      archive.writestr(file, data)
      index['entry points'][f'{point.name} {point.key}'] = {
        'object': file,
        'symbol': symbol,
        'digest': hashlib.blake2b(data).hexdigest(),
        **results,
      }
    archive.writestr(INDEX, json.dumps(index))
  unfinished.replace(path)


def _object_code(context: Any, point: EntryPoint, symbol: str) -> tuple[bytes, dict[str, Any]]:
  """An object file with one symbol that can be seen from without, and what the index says of its results."""
  dispatcher = getattr(importlib.import_module(point.module), point.function).dispatcher
  dispatcher.compile(point.types)
  [compiled] = [each for each in dispatcher.overloads.values() if each.signature.args == point.types]
  wrapper, results = _wrapper(context, compiled, point, symbol)
  module = compiled.library._final_module.clone()
  module.link_in(llvm.parse_assembly(str(wrapper)))
  for each in (*module.functions, *module.global_variables):
    if not each.is_declaration and each.name != symbol:
      each.linkage = llvm.Linkage.internal
  passes = llvm.create_new_module_pass_manager()
  passes.add_global_dead_code_eliminate_pass()
  passes.add_strip_dead_prototype_pass()
  passes.run(module, llvm.create_pass_builder(context._internal_codegen._tm, llvm.PipelineTuningOptions()))
  for each in module.functions:
    each.name = _WRAPPED.get(each.name, each.name)
  missing = {
    each.name for each in module.functions if each.is_declaration and not each.name.startswith('llvm.')
  } - _C_FUNCTIONS
  if missing:
    raise AssertionError(f'{point.name} asks for {", ".join(sorted(missing))}, which no process has to have')
  return context._internal_codegen._tm.emit_object(module), results


def _wrapper(context: Any, compiled: Any, point: EntryPoint, symbol: str) -> tuple[Any, dict[str, Any]]:
  """A module with a function of that name that takes a block of words, as `native.py` calls it."""
  module = context.create_module(symbol)
  descriptor = compiled.fndesc
  callee = context.declare_function(module, descriptor)
  function = ir.Function(module, ir.FunctionType(ir.IntType(32), [_WORD.as_pointer()]), symbol)
  builder = ir.IRBuilder(function.append_basic_block())
  flat = context.call_conv.get_arguments(callee)
  if len(flat) != point.num_words:
    raise AssertionError(f'{point.name} takes {len(flat)} words for {point.key}, not {point.num_words}')
  words = [
    _from_word(builder, builder.load(builder.gep(function.args[0], [ir.Constant(_WORD, place)])), each.type)
    for place, each in enumerate(flat)
  ]
  packer = context.get_arg_packer(descriptor.argtypes)
  values = packer.from_arguments(builder, words)
  status, returned = context.call_conv.call_function(builder, callee, descriptor.restype, descriptor.argtypes, values)
  kind = descriptor.restype
  is_tuple = isinstance(kind, types.BaseTuple)
  kinds: list[Any] = list(kind) if is_tuple else [] if kind == types.none else [kind]
  results = []
  for place, each in enumerate(kinds):
    word, result = _to_word(builder, builder.extract_value(returned, place) if is_tuple else returned, each)
    builder.store(word, builder.gep(function.args[0], [ir.Constant(_WORD, place)]))
    results.append(result)
  builder.ret(status.code)
  return module, {'results': results, 'tuple': is_tuple}


def _from_word(builder: Any, word: Any, wanted: Any) -> Any:
  if isinstance(wanted, ir.PointerType):
    return builder.inttoptr(word, wanted)
  if isinstance(wanted, ir.DoubleType):
    return builder.bitcast(word, wanted)
  return builder.trunc(word, wanted) if wanted.width < _WORD.width else word


def _to_word(builder: Any, value: Any, kind: Any) -> tuple[Any, str]:
  """A result as a word, and which of RESULTS it is."""
  if kind == types.boolean:
    return builder.zext(value, _WORD), 'bool'
  if kind in types.signed_domain:
    return builder.sext(value, _WORD), 'signed'
  if kind in types.unsigned_domain:
    return builder.zext(value, _WORD), 'unsigned'
  if kind == types.float64:
    return builder.bitcast(value, _WORD), 'float'
  raise AssertionError(f'a kernel that Python calls returns {kind}: expected numbers')


class _Library(codegen.AOTCodeLibrary):
  def get_pointer_to_function(self, name: str) -> int:
    """Nothing that can be called: numba asks for it to make a function of Python, when code is to be whole."""
    self._ensure_finalized()
    return 0


class _Codegen(codegen.AOTCPUCodegen):
  """numba's way to LLVM, for another processor than this one."""

  _library_class = _Library

  def __init__(self, target: Target):
    self._target = target
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    super().__init__('lmic')

  def _init(self, module: Any) -> None:
    """Does without an engine, which has one for this processor only."""
    self._tm_features = ''
    self._tm = llvm.Target.from_triple(self._target.triple).create_target_machine(
      cpu=self._target.processor, opt=3, reloc='pic', codemodel='small'
    )
    self._target_data = self._tm.target_data
    self._data_layout = str(self._target_data)
    self._loopvect, self._opt_level = False, 0  # As numba has them where code is made for this processor.

  def _create_empty_module(self, name: str) -> Any:
    module = ir.Module(name)
    module.triple = self._target.triple
    if self._data_layout:
      module.data_layout = self._data_layout
    return module

  def _get_host_cpu_name(self) -> str:
    return self._target.processor

  def set_env(self, name: str, environment: Any) -> None:
    """What numba keeps for exceptions and objects of Python, of which kernels have none."""
