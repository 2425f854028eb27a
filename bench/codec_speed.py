"""Speed and memory of exact coding against the number of lanes, and of whole commands.

  python bench/codec_speed.py FILE.wav [-m MODEL.npz] [--lanes 1 4 16 64 256] [--samples 4096] [--rounds 3]

Each measurement runs in a process of its own, after a warm-up: encoding and decoding of as many chunks as there are
lanes, cut from FILE, on all cores; the float model's evaluation of the same tokens; and `lmic compress` and
`lmic decompress` of FILE, start-up included. Medians over the rounds.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_PARTS = ('coding', 'float')


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures the speed of exact coding.')
  parser.add_argument('file', type=Path)
  parser.add_argument('-m', dest='model', default='bytes')
  parser.add_argument('--lanes', type=int, nargs='+', default=[1, 4, 16, 64, 256])
  parser.add_argument('--samples', type=int, default=4096, help='samples in a chunk')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--part', choices=_PARTS, help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.part:
    print(json.dumps(_coding(arguments) if arguments.part == 'coding' else _float(arguments)))
    return 0
  evaluated = _median([_in_process(arguments, 'float', 16) for _ in range(arguments.rounds)])
  print(f'float model: {evaluated["tokens_per_second"]:,.0f} tokens/s')
  print(f'{"lanes":>6} {"encode tokens/s":>16} {"of float":>9} {"decode tokens/s":>16} {"peak MB":>9}')
  for lanes in arguments.lanes:
    figures = _median([_in_process(arguments, 'coding', lanes) for _ in range(arguments.rounds)])
    share = figures['encode_tokens_per_second'] / evaluated['tokens_per_second']
    print(
      f'{lanes:>6} {figures["encode_tokens_per_second"]:>16,.0f} {share:>9.2f} '
      f'{figures["decode_tokens_per_second"]:>16,.0f} {figures["peak_MB"]:>9,.0f}'
    )
  _print_commands(arguments)
  return 0


def _in_process(arguments: argparse.Namespace, part: str, lanes: int) -> dict[str, float]:
  command = [sys.executable, __file__, str(arguments.file), '--samples', str(arguments.samples), '--part', part]
  command += ['--lanes', str(lanes), '-m', arguments.model]
  return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def _median(runs: list[dict[str, float]]) -> dict[str, float]:
  return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _coding(arguments: argparse.Namespace) -> dict[str, float]:
  from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
  from language_modeling_is_compression.format.payloads import Channel
  from language_modeling_is_compression.quantized.byte_coder import ByteCoder
  from language_modeling_is_compression.quantized.loading import load_coder

  lanes = arguments.lanes[0]
  model = load_coder(arguments.model, 'cpu')
  assert isinstance(model, ByteCoder), 'the model is not a byte model'
  with ChunkCoder(model, lanes) as coder:
    rows = _samples(arguments, lanes, model.predictor.places)
    payloads = [Channel(tokens=row) for row in rows]
    shapes = [payload.shape for payload in payloads]
    short = Channel(tokens=rows[0][:8])
    coder.decode(coder.encode([short]), [short.shape])
    started = time.perf_counter()
    chunks = coder.encode(payloads)
    encoded = time.perf_counter()
    decoded = coder.decode(chunks, shapes)
    finished = time.perf_counter()
  assert [payload and payload.to_bytes() for payload in decoded] == [payload.to_bytes() for payload in payloads]
  return {
    'encode_tokens_per_second': rows.size / (encoded - started),
    'decode_tokens_per_second': rows.size / (finished - encoded),
    'peak_MB': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
  }


def _float(arguments: argparse.Namespace) -> dict[str, float]:
  """The training program's own evaluation: code lengths in float32, on all cores."""
  import jax

  from language_modeling_is_compression.system.cores import usable_cores

  jax.config.update('jax_num_cpu_devices', usable_cores())
  from language_modeling_is_compression import load_model
  from language_modeling_is_compression.data.batches import Batch
  from language_modeling_is_compression.network.byte_model import ByteModel
  from language_modeling_is_compression.network.transformer import build_transformer
  from language_modeling_is_compression.quantized.loading import model_path
  from language_modeling_is_compression.training.byte_task import token_bytes
  from language_modeling_is_compression.training.layout import Layout, device_mesh
  from language_modeling_is_compression.training.objectives import byte_objective
  from language_modeling_is_compression.training.plan import plan_micro_batches
  from language_modeling_is_compression.training.state import make_code_length

  with model_path(arguments.model) as path:
    model = load_model(path)
  assert isinstance(model, ByteModel), 'the model is not a byte model'
  rows = _samples(arguments, arguments.lanes[0], model.spec.data.tokens_per_sample)
  tokens = rows.reshape(len(rows), -1)
  mesh = device_mesh()
  row_bytes = tokens.shape[1] * token_bytes(model.spec)
  plan = plan_micro_batches(row_bytes=row_bytes, batch_size=len(tokens), rows_per_device=None, mesh=mesh)
  code_length = make_code_length(byte_objective(build_transformer(model.spec.network, model.spec.data)), Layout(mesh))
  batch = plan.arrange(Batch(tokens, np.full(len(tokens), tokens.shape[1], np.int32)))
  params = jax.tree.map(jax.numpy.asarray, model.params)
  jax.block_until_ready(code_length(params, batch))
  started = time.perf_counter()
  jax.block_until_ready(code_length(params, batch))
  return {'tokens_per_second': tokens.size / (time.perf_counter() - started)}


def _samples(arguments: argparse.Namespace, lanes: int, places: int) -> np.ndarray:
  """Chunks of FILE's first channel, cut at even distances: tokens [lanes, samples, places]."""
  from language_modeling_is_compression.audio.frames import read_pcm_frames
  from language_modeling_is_compression.audio.parsing import read_pcm_info
  from language_modeling_is_compression.data.tokens import bytes_from_samples, reduce_depth

  info = read_pcm_info(arguments.file)
  starts = np.linspace(0, info.num_frames - arguments.samples, lanes).astype(int)
  rows = [read_pcm_frames(info, start, start + arguments.samples)[:, 0] for start in starts]
  unsigned = [reduce_depth(row, info.resolution_bits, 8 * places) for row in rows]
  return np.stack([bytes_from_samples(row, places).reshape(-1, places) for row in unsigned])


def _print_commands(arguments: argparse.Namespace) -> None:
  from language_modeling_is_compression.audio.parsing import read_pcm_info

  info = read_pcm_info(arguments.file)
  seconds = info.num_frames / info.sample_rate_hz
  flags = ['-m', arguments.model] if arguments.model else []
  lmic = [sys.executable, '-m', 'language_modeling_is_compression']
  with tempfile.TemporaryDirectory() as folder:
    packed, unpacked = Path(folder, 'a.lmic'), Path(folder, 'a.wav')
    commands = {
      'compress (and verify)': [*lmic, 'compress', str(arguments.file), '-q', '-f', '-o', str(packed), *flags],
      'compress --no-verify': [
        *(*lmic, 'compress', str(arguments.file), '-q', '-f', '--no-verify', '-o', str(packed)),
        *flags,
      ],
      'decompress': [*lmic, 'decompress', str(packed), '-q', '-f', '-o', str(unpacked), *flags],
    }
    for name, command in commands.items():
      times = []
      for _ in range(arguments.rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True)
        times.append(time.perf_counter() - started)
      median = statistics.median(times)
      print(f'lmic {name}: {median:.2f} s for {seconds:.2f} s of sound, {seconds / median:.2f} x real time')
    assert unpacked.read_bytes() == arguments.file.read_bytes()


if __name__ == '__main__':
  sys.exit(main())
