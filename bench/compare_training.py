"""Training beside the published reference: speed, memory, and bits after the same steps on the same batches.

  python bench/compare_training.py --reference CHECKOUT --audio_dir DIR [--steps 4] [--batch_size 4] [--chunk_size 2048]

CHECKOUT is a checkout of google-deepmind/language_modeling_is_compression, whose own loss and update run here. Both
networks have the default flags' sizes, 8-bit tokens, float32 and Adam. Each contender runs in a process of its own, the
two in turn, as often as --rounds says; the first step, which compiles, is not timed.
"""

import argparse
import importlib
import json
import math
import resource
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_CONTENDERS = ('reference', 'ours')


def main() -> int:
  parser = argparse.ArgumentParser(description='Compares training with the published reference.')
  parser.add_argument('--reference', required=True, type=Path)
  parser.add_argument('--audio_dir', required=True, type=Path)
  parser.add_argument('--steps', type=int, default=4)
  parser.add_argument('--batch_size', type=int, default=4)
  parser.add_argument('--chunk_size', type=int, default=2048)
  parser.add_argument('--learning_rate', type=float, default=1e-4)
  parser.add_argument('--valid_chunks', type=int, default=32)
  parser.add_argument('--rounds', type=int, default=1)
  parser.add_argument('--contender', choices=_CONTENDERS, help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.contender:
    print(json.dumps(_measure(arguments)))
    return 0
  results: dict[str, list[dict[str, float]]] = {contender: [] for contender in _CONTENDERS}
  for _ in range(arguments.rounds):
    for contender in _CONTENDERS:
      command = [sys.executable, __file__, *sys.argv[1:], '--contender', contender]
      output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
      results[contender].append(json.loads(output.splitlines()[-1]))
  for figure in results['ours'][0]:
    medians = {name: statistics.median(run[figure] for run in runs) for name, runs in results.items()}
    ratio = medians['ours'] / medians['reference']
    print(f'{figure:<28} reference {medians["reference"]:>14,.3f}  ours {medians["ours"]:>14,.3f}  ratio {ratio:.3f}')
  return 0


def _measure(arguments: argparse.Namespace) -> dict[str, float]:
  from language_modeling_is_compression.audio.reading import read_info
  from language_modeling_is_compression.config.options import DataConfig
  from language_modeling_is_compression.data.batches import training_batch, validation_batches
  from language_modeling_is_compression.data.chunks import Chunks, whole_stream
  from language_modeling_is_compression.data.paths import partition_paths

  data = DataConfig(chunk_size=arguments.chunk_size)
  partition = partition_paths(arguments.audio_dir)
  train, valid = (
    Chunks([whole_stream(read_info(path), data) for path in paths], data)
    for paths in (partition.train, partition.valid)
  )
  valid = valid.limited(arguments.valid_chunks)
  shape = {'num_tokens': arguments.chunk_size, 'batch_size': arguments.batch_size}

  def batch_of(step: int) -> Any:
    rows = range(arguments.batch_size)
    return training_batch(train, rows, seed=0, step=step, **shape)

  contender = _ours(arguments) if arguments.contender == 'ours' else _reference(arguments)
  # The reference has no mask, so only whole chunks are compared; every chunk of the batches is padded alike.
  contender.step(batch_of(0))
  started = time.perf_counter()
  for step in range(1, arguments.steps):
    contender.step(batch_of(step))
  seconds = (time.perf_counter() - started) / max(1, arguments.steps - 1)
  peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  batches = validation_batches(valid, range(len(valid)), **shape)
  nats = [contender.nats_per_token(batch) for _, batch in batches if batch.lengths.all()]
  return {
    'parameters': contender.num_parameters(),
    'tokens_per_second': arguments.batch_size * arguments.chunk_size / seconds,
    'seconds_per_step': seconds,
    'peak_memory_GB': peak_bytes / 1e9,
    'held_out_bits_per_byte': statistics.mean(nats) / math.log(2),
  }


def _ours(arguments: argparse.Namespace) -> Any:
  import jax

  from language_modeling_is_compression.config.options import DataConfig, ModelConfig, TrainingSettings
  from language_modeling_is_compression.config.settings import read_settings
  from language_modeling_is_compression.network.byte_model import ByteSpec
  from language_modeling_is_compression.network.computation import Computation
  from language_modeling_is_compression.network.transformer import build_transformer
  from language_modeling_is_compression.system.cores import usable_cores
  from language_modeling_is_compression.training.byte_task import token_bytes
  from language_modeling_is_compression.training.layout import Layout, device_mesh
  from language_modeling_is_compression.training.objectives import byte_objective
  from language_modeling_is_compression.training.optimizer import make_optimizer
  from language_modeling_is_compression.training.plan import plan_micro_batches
  from language_modeling_is_compression.training.state import initial_state, make_code_length, make_update

  jax.config.update('jax_num_cpu_devices', usable_cores())  # As train_audio.py does.
  data, model = DataConfig(chunk_size=arguments.chunk_size), ModelConfig()
  mesh = device_mesh()
  micro_batches = plan_micro_batches(
    row_bytes=arguments.chunk_size * token_bytes(ByteSpec(network=model, data=data)),
    batch_size=arguments.batch_size,
    rows_per_device=None,
    mesh=mesh,
  )
  objective = byte_objective(build_transformer(model, data, Computation(remat=micro_batches.remat)))
  settings = {'audio_dir': [str(arguments.audio_dir)], 'learning_rate': arguments.learning_rate}
  optimizer = make_optimizer(read_settings(settings, TrainingSettings))
  state = initial_state(objective, optimizer, seed=0)
  update, code_length = make_update(objective, optimizer, Layout(mesh)), make_code_length(objective, Layout(mesh))

  def step(batch: Any) -> None:
    nonlocal state
    updated = update(state, micro_batches.arrange(batch))
    assert updated is not None, 'nobody stops it'
    state, metrics = updated
    metrics.loss_nats.block_until_ready()

  def nats_per_token(batch: Any) -> float:
    return float(code_length(state.params, micro_batches.arrange(batch)).total.sum()) / int(batch.lengths.sum())

  return _contender(lambda: state.params, step, nats_per_token)


def _reference(arguments: argparse.Namespace) -> Any:
  import functools

  import haiku as hk
  import jax
  import optax

  transformer, training = _import_reference(arguments.reference)
  config = transformer.TransformerConfig(vocab_size=256)
  model = hk.transform(functools.partial(transformer.transformer_decoder, config=config))
  params = model.init(jax.random.PRNGKey(0), np.zeros((1, arguments.chunk_size), np.uint8))
  loss_fn = training._make_loss_fn(model)
  gradient, loss = jax.value_and_grad(loss_fn), jax.jit(loss_fn)
  optimizer = optax.adam(arguments.learning_rate)
  opt_state = optimizer.init(params)

  def step(batch: Any) -> None:
    nonlocal params, opt_state
    params, opt_state, metrics = training._update_parameters(
      params=params, opt_state=opt_state, sequences=batch.tokens, grad_fn=gradient, optimizer=optimizer
    )
    metrics['loss'].block_until_ready()

  def nats_per_token(batch: Any) -> float:
    return float(loss(params, batch.tokens)) / arguments.chunk_size  # Its loss is a sum over time.

  return _contender(lambda: params, step, nats_per_token)


def _contender(params: Callable[[], Any], step: Callable[..., Any], nats_per_token: Callable[..., Any]) -> Any:
  import jax

  def num_parameters() -> int:
    return sum(array.size for array in jax.tree.leaves(params()))

  return types.SimpleNamespace(step=step, nats_per_token=nats_per_token, num_parameters=num_parameters)


def _import_reference(checkout: Path) -> tuple[Any, Any]:
  """The reference's transformer and train modules, which call themselves by the same package name as ours."""
  import jax

  for name in [name for name in sys.modules if name.partition('.')[0] == 'language_modeling_is_compression']:
    del sys.modules[name]
  package = types.ModuleType('language_modeling_is_compression')
  package.__path__ = [str(checkout)]
  sys.modules['language_modeling_is_compression'] = package
  # Its data loaders and its tree library are not used by the step, except for one function that JAX has too.
  sys.modules['language_modeling_is_compression.data_loaders'] = types.ModuleType('data_loaders')
  package.data_loaders = sys.modules['language_modeling_is_compression.data_loaders']  # type: ignore[attr-defined]
  tree = types.ModuleType('tree')
  tree.map_structure = jax.tree.map  # type: ignore[attr-defined]
  sys.modules['tree'] = tree
  train, transformer = (
    importlib.import_module(f'language_modeling_is_compression.{name}') for name in ('train', 'transformer')
  )

  return transformer, train


if __name__ == '__main__':
  sys.exit(main())
