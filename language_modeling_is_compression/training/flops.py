"""Floating point operations of a function, counted from what JAX traces of it, and the peaks of devices.

XLA's own count (`cost_analysis`) takes the body of a loop once, however often it is run. Here products of matrices and
convolutions are counted alone, a multiplication and an addition as two operations: peaks are of these, and the rest is
a few percent.

The share of the peak is as in "PaLM" (Chowdhery et al., arXiv 2204.02311, appendix B), model FLOPs utilization: what
the forward and the backward pass need, without what is computed twice to save memory. Attention counts as the
network computes it: a block of queries against the window and itself.
"""

import collections
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from language_modeling_is_compression.training.objectives import Objective, Rows

Flops = collections.Counter[str]  # By the name of the factors' type.

# Dense peaks of one JAX device in TFLOP/s: of bfloat16 (float16 where there is no other), and of float32 as JAX
# multiplies it by default, which is in TF32 on NVIDIA's devices that have it, and in bfloat16 on TPUs. From NVIDIA's
# data sheets (halved where they are for sparse matrices: A100, H100, H200, L4, L40S, T4, V100) and from Google's
# "Cloud TPU" system architecture pages; a TPU before v4 is two devices. The first name that begins a device's kind.
_PEAKS: tuple[tuple[str, float, float], ...] = (
  (r'NVIDIA A100', 312.0, 156.0),
  (r'NVIDIA H100 PCIe', 756.5, 378.0),
  (r'NVIDIA H100 NVL', 835.5, 417.5),
  (r'NVIDIA H100', 989.5, 494.5),
  (r'NVIDIA H200 NVL', 835.5, 417.5),
  (r'NVIDIA H200', 989.5, 494.5),
  (r'NVIDIA L40S', 362.0, 183.0),
  (r'NVIDIA L4\b', 121.0, 60.0),
  (r'(Tesla|NVIDIA) T4\b', 65.0, 8.1),
  (r'(Tesla|NVIDIA) V100-PCIE', 112.0, 14.0),
  (r'(Tesla|NVIDIA) V100', 125.0, 15.7),
  (r'TPU v2', 22.5, 22.5),
  (r'TPU v3', 61.5, 61.5),
  (r'TPU v4 lite', 138.0, 138.0),
  (r'TPU v4', 275.0, 275.0),
  (r'TPU v5 lite|TPU v5e', 197.0, 197.0),
  (r'TPU v5', 459.0, 459.0),
  (r'TPU v6 lite|TPU v6e', 918.0, 918.0),
)
_HALVES = ('bfloat16', 'float16')


class Arithmetic(NamedTuple):
  """What a token (or sample) costs in training, and what all devices together could do.

  flops: of one token. peak_seconds: that they take at the devices' peak; None where it is not known.
  """

  flops: float
  peak_seconds: float | None

  def figures(self, tokens_per_second: float) -> dict[str, float]:
    """Metrics of a speed: operations a second, and the share of the peak that they are."""
    figures = {'flops_per_second': self.flops * tokens_per_second}
    if self.peak_seconds is not None:
      figures['mfu'] = self.peak_seconds * tokens_per_second
    return figures


def training_arithmetic(
  objective: Objective, params: Any, batch: Rows, *, device_kind: str, num_devices: int, peak_tflops: float | None
) -> Arithmetic:
  """Cost of training on the tokens of a batch, in the mean, as if each row were full.

  params, batch: arrays or their shapes; batch: [R, T, ...], of which one row is looked at. peak_tflops: of one device,
  for those that are not known.
  """
  row = jax.tree.map(lambda array: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype), batch)
  num_tokens = next(array.shape[1] for array in jax.tree.leaves(row) if len(array.shape) > 1)
  flops = gradient_flops(objective.code_length, params, row)
  peaks = {dtype: peak_tflops or known_peak_tflops(device_kind, dtype) for dtype in flops}
  total = flops.total() / num_tokens
  if not peaks or not all(peaks.values()):
    return Arithmetic(total, None)
  seconds = sum(count / (1e12 * (peaks[dtype] or math.nan)) for dtype, count in flops.items())
  return Arithmetic(total, seconds / num_tokens / num_devices)


def known_peak_tflops(device_kind: str, dtype: str) -> float | None:
  """Dense peak of a device, by the kind that JAX calls it, with factors of a type; None if it is not known."""
  for name, halves, singles in _PEAKS:
    if re.match(name, device_kind):
      return halves if dtype in _HALVES else singles if dtype == 'float32' else None
  return None


def gradient_flops(function: Callable[..., jax.Array], params: Any, *others: Any) -> Flops:
  """Operations of a scalar function, and of its gradient with respect to params, each computed once.

  The tangents that forward differentiation computes are linear, and the backward pass is their transpose: every product
  becomes one of the same size. So they are counted instead; what a backward pass computes again is not among them.
  """
  forward = jax.make_jaxpr(function)(params, *others)
  if any(equation.primitive.name.startswith('custom_vjp_call') for equation in _equations(forward.jaxpr)):
    # Such functions have no tangents. Of a product, two more are as large: one for each factor.
    return Flops({dtype: 3 * count for dtype, count in _count(forward.jaxpr).items()})

  def with_tangents(params: Any, tangents: Any, *others: Any) -> Any:
    return jax.jvp(lambda given: function(given, *others), (params,), (tangents,))

  return count_flops(with_tangents, params, params, *others)


def count_flops(function: Callable[..., Any], *arguments: Any) -> Flops:
  """Operations of a call. arguments: arrays or their shapes (`jax.ShapeDtypeStruct`).

  A loop that counts (scan, map, fori_loop with constant bounds) is counted as often as it runs, one that ends on a
  condition once; of branches the most expensive counts. Kernels that JAX does not trace count nothing.
  """
  return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: Jaxpr) -> Flops:
  found = Flops()
  for equation in jaxpr.eqns:
    name, parameters = equation.primitive.name, equation.params
    if name in _PRODUCTS:
      arrays: list[Any] = [variable.aval for variable in (*equation.invars, *equation.outvars)]
      found[arrays[0].dtype.name] += _PRODUCTS[name](parameters, *(array.shape for array in arrays))
      continue
    inner = [_count(each) for each in _subjaxprs(parameters)]
    if name == 'cond':
      inner = [max(inner, key=Flops.total)]
    times = parameters['length'] if name == 'scan' else parameters['mesh'].size if name == 'shard_map' else 1
    for each in inner:
      found.update({dtype: times * count for dtype, count in each.items()})
  return found


def _dot_flops(parameters: Mapping[str, Any], left: tuple[int, ...], _: object, output: tuple[int, ...]) -> int:
  (contracted, _), _ = parameters['dimension_numbers']
  return 2 * math.prod(output) * math.prod(left[axis] for axis in contracted)


def _conv_flops(parameters: Mapping[str, Any], _: object, kernel: tuple[int, ...], output: tuple[int, ...]) -> int:
  # Each output sums over a kernel but its axis of output channels; padding counts as if it were multiplied.
  return 2 * math.prod(output) * math.prod(kernel) // kernel[parameters['dimension_numbers'].rhs_spec[0]]


_PRODUCTS: Mapping[str, Callable[..., int]] = {'dot_general': _dot_flops, 'conv_general_dilated': _conv_flops}


def _equations(jaxpr: Jaxpr) -> Iterator[Any]:
  for equation in jaxpr.eqns:
    yield equation
    for inner in _subjaxprs(equation.params):
      yield from _equations(inner)


def _subjaxprs(parameters: Mapping[str, Any]) -> Iterator[Jaxpr]:
  for value in parameters.values():
    for each in value if isinstance(value, tuple | list) else (value,):
      if isinstance(each, ClosedJaxpr):
        yield each.jaxpr
      elif isinstance(each, Jaxpr):
        yield each
