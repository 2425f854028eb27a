"""Tokens that training takes a second, with default flags but for a smaller batch: python bench/training_speed.py.

Prints the median over steps, their CPU seconds, and the loss, which says whether two versions compute the same. To
compare two versions let them run by turns.
"""

import argparse
import resource
import statistics
import time

import numpy as np


def main() -> None:
  parser = argparse.ArgumentParser(description='Tokens that training takes a second.')
  parser.add_argument('--batch_size', type=int, default=32, help='chunks of a step')
  parser.add_argument('--micro_batch_size', type=int, help='chunks that a device takes at a time')
  parser.add_argument('--steps', type=int, default=5, help='steps that are timed, after one that compiles')
  arguments = parser.parse_args()
  import jax

  from language_modeling_is_compression.system.cores import usable_cores

  jax.config.update('jax_num_cpu_devices', usable_cores())  # As train_audio.py does.
  from language_modeling_is_compression.config.options import DataConfig, ModelConfig, TrainingSettings
  from language_modeling_is_compression.config.settings import read_settings
  from language_modeling_is_compression.data.batches import Batch
  from language_modeling_is_compression.network.byte_model import ByteSpec
  from language_modeling_is_compression.network.computation import Computation
  from language_modeling_is_compression.network.transformer import build_transformer
  from language_modeling_is_compression.training.byte_task import token_bytes
  from language_modeling_is_compression.training.layout import Layout, device_mesh
  from language_modeling_is_compression.training.objectives import byte_objective
  from language_modeling_is_compression.training.optimizer import make_optimizer
  from language_modeling_is_compression.training.plan import plan_micro_batches
  from language_modeling_is_compression.training.state import initial_state, make_update

  data, model, mesh = DataConfig(), ModelConfig(), device_mesh()
  micro_batches = plan_micro_batches(
    row_bytes=data.chunk_size * token_bytes(ByteSpec(network=model, data=data)),
    batch_size=arguments.batch_size,
    rows_per_device=arguments.micro_batch_size,
    mesh=mesh,
  )
  objective = byte_objective(build_transformer(model, data, Computation(remat=micro_batches.remat)))
  optimizer = make_optimizer(read_settings({'audio_dir': ['.']}, TrainingSettings))
  state = initial_state(objective, optimizer, seed=1)
  update = make_update(objective, optimizer, Layout(mesh))
  tokens = np.random.default_rng(0).integers(0, 256, (arguments.batch_size, data.chunk_size)).astype(np.int32)
  batch = micro_batches.arrange(Batch(tokens, np.full(arguments.batch_size, data.chunk_size)))
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
  print(
    f'{micro_batches.count} micro-batches of {micro_batches.rows} rows: '
    f'{tokens.size / statistics.median(timed):,.0f} tokens/s, '
    f'{(_cpu_seconds() - cpu_started) / len(timed):.2f} CPU s a step, first step {seconds[0]:.1f} s, loss {loss!r}'
  )


def _cpu_seconds() -> float:
  usage = resource.getrusage(resource.RUSAGE_SELF)
  return usage.ru_utime + usage.ru_stime


if __name__ == '__main__':
  main()
