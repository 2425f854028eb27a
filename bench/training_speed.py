"""Speed, memory and share of the peak of training a byte model: python bench/training_speed.py [--shape 25m|90m].

Prints the median over steps, their CPU seconds, and the loss, which says whether two versions compute the same. To
compare two versions let them run by turns. With --compile_only nothing is trained: what a machine without a GPU can say
of a shape.
"""

import argparse
import resource
import statistics
import time
from typing import Any

import numpy as np

# Networks by name: what train_audio.py trains by default, and decoders of about 25 and 90 million parameters.
SHAPES: dict[str, dict[str, int]] = {
  'default': {},
  '25m': {'embedding_dim': 512, 'num_layers': 8, 'num_heads': 8},
  '90m': {'embedding_dim': 768, 'num_layers': 13, 'num_heads': 12},
}


def main() -> None:
  parser = argparse.ArgumentParser(description='Speed, memory and share of the peak of training.')
  parser.add_argument('--shape', choices=SHAPES, default='default', help='the network, with chunks of 2048 tokens')
  parser.add_argument('--dtype', help='as for train_audio.py, where it has this flag')
  parser.add_argument('--peak_tflops', type=float, help='dense peak of a device that is not known')
  parser.add_argument('--batch_size', type=int, default=32, help='chunks of a step')
  parser.add_argument('--micro_batch_size', type=int, help='chunks that a device takes at a time')
  parser.add_argument('--steps', type=int, default=5, help='steps that are timed, after one that compiles')
  parser.add_argument('--compile_only', action='store_true', help='say what a step costs, and train nothing')
  arguments = parser.parse_args()
  import jax
  import jax.numpy as jnp

  from language_modeling_is_compression.training.plan import use_all_cores

  use_all_cores()
  from language_modeling_is_compression.config.options import TrainingSettings
  from language_modeling_is_compression.config.settings import configs_of, read_settings
  from language_modeling_is_compression.data.batches import Batch
  from language_modeling_is_compression.network.byte_model import ByteSpec
  from language_modeling_is_compression.network.computation import Computation
  from language_modeling_is_compression.network.transformer import build_transformer
  from language_modeling_is_compression.training.byte_task import token_bytes
  from language_modeling_is_compression.training.flops import training_arithmetic
  from language_modeling_is_compression.training.layout import Layout, device_mesh
  from language_modeling_is_compression.training.memory import memory_figures
  from language_modeling_is_compression.training.objectives import byte_objective
  from language_modeling_is_compression.training.optimizer import make_optimizer
  from language_modeling_is_compression.training.plan import plan_micro_batches
  from language_modeling_is_compression.training.state import initial_state, make_update

  given: dict[str, Any] = {'audio_dir': ['.'], 'batch_size': arguments.batch_size, **SHAPES[arguments.shape]}
  if arguments.dtype is not None:
    given['dtype'] = arguments.dtype
  settings, mesh = read_settings(given, TrainingSettings), device_mesh()
  if unknown := [name for name in given if not any(hasattr(config, name) for config in configs_of(settings))]:
    parser.error(f'--{unknown[0]}: training has no such setting')
  data, model = settings.data, settings.model
  micro_batches = plan_micro_batches(
    row_bytes=data.chunk_size * token_bytes(ByteSpec(network=model, data=data)),
    batch_size=arguments.batch_size,
    rows_per_device=arguments.micro_batch_size,
    mesh=mesh,
  )
  computation = Computation(remat=micro_batches.remat, dtype=jnp.dtype(settings.computation.dtype))
  objective = byte_objective(build_transformer(model, data, computation))
  optimizer = make_optimizer(settings)
  state = initial_state(objective, optimizer, seed=1)
  update = make_update(objective, optimizer, Layout(mesh))
  tokens = np.random.default_rng(0).integers(0, 256, (arguments.batch_size, data.chunk_size)).astype(np.int32)
  rows = Batch(tokens, np.full(arguments.batch_size, data.chunk_size))
  batch = micro_batches.arrange(rows)
  device = mesh.devices.flat[0]
  arithmetic = training_arithmetic(
    *(objective, state.params, rows),
    device_kind=device.device_kind,
    num_devices=mesh.devices.size,
    peak_tflops=arguments.peak_tflops,
  )
  num_parameters = sum(array.size for array in jax.tree.leaves(state.params))
  recomputed = ', layers recomputed' if micro_batches.remat else ''
  print(
    f'{arguments.shape}: {num_parameters:,} parameters, {arithmetic.flops / 1e6:,.2f} MFLOP a token; '
    f'{mesh.devices.size} x {device.device_kind}, {micro_batches.count} micro-batches of {micro_batches.rows} rows'
    f'{recomputed}'
  )
  if arguments.compile_only:
    started = time.perf_counter()
    planned = update.memory(state, batch)
    print(
      f'compiled in {time.perf_counter() - started:.1f} s; '
      + (f'a device needs {planned / 1e9:.3f} GB' if planned is not None else 'what it needs is not said')
      + (f'; the peak is {1 / arithmetic.peak_seconds:,.0f} tokens/s' if arithmetic.peak_seconds else '')
    )
    return
  seconds, loss = [], 0.0
  for step in range(arguments.steps + 1):
    if step == 1:
      cpu_started = _cpu_seconds()
    started = time.perf_counter()
    updated = update(state, batch)
    assert updated is not None, 'nobody stops it'
    state, metrics = updated
    loss = float(metrics.loss_nats)
    seconds.append(time.perf_counter() - started)
  timed = seconds[1:]
  tokens_per_second = tokens.size / statistics.median(timed)
  figures = arithmetic.figures(tokens_per_second)
  peak_bytes = memory_figures(jax.local_devices()).get('device_memory_peak_bytes')
  memory = f'{peak_bytes / 1e9:.2f} GB of a device' if peak_bytes else f'{_resident_bytes() / 1e9:.2f} GB resident'
  print(
    f'{tokens_per_second:,.0f} tokens/s, {figures["flops_per_second"] / 1e12:.3g} TFLOP/s'
    + (f', {figures["mfu"]:.1%} of the peak' if 'mfu' in figures else '')
    + f', at most {memory}, {(_cpu_seconds() - cpu_started) / len(timed):.2f} CPU s a step, '
    f'first step {seconds[0]:.1f} s, loss {loss!r}'
  )


def _cpu_seconds() -> float:
  usage = resource.getrusage(resource.RUSAGE_SELF)
  return usage.ru_utime + usage.ru_stime


def _resident_bytes() -> int:
  """The most that the process has had in memory; Linux counts it in KiB."""
  return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == '__main__':
  main()
