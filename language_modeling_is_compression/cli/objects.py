"""Compiles all kernels ahead of time: python -m ….cli.objects [FOLDER] [--target NAME]... (`make objects`, setup.py).

A small workload calls every kernel that the commands call, with arguments of all their types; what it calls is what
gets compiled. One process runs it, and one for each target compiles.
"""

import argparse
import io
import multiprocessing
import os
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np

from language_modeling_is_compression.api.engine import Compressor, Decompressor
from language_modeling_is_compression.api.functions import code_length, compress, decompress
from language_modeling_is_compression.api.generation import generate
from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.codec.levels import LEVELS
from language_modeling_is_compression.format.layout import HybridLayout, LinearLayout, SegmentLayout
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.kernels import native
from language_modeling_is_compression.kernels.compilation import Kernel
from language_modeling_is_compression.linear.extraction import extract_evidence
from language_modeling_is_compression.numbers.conversion import integers_from_patterns, patterns_from_integers
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.loading import LINEAR, load_coder
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.cores import usable_cores

_RATE_HZ = 8000
_FRAMES = 3000


def main() -> int:
  parser = argparse.ArgumentParser(description='Compiles all kernels ahead of time.')
  parser.add_argument('folder', nargs='?', type=Path, default=native.FOLDER, help='default: where the package looks')
  parser.add_argument(
    '--target', action='append', choices=list(native.TARGETS), help='only this one; may be given several times'
  )
  arguments = parser.parse_args()
  if sys.platform != 'linux':
    print('no objects are made on this system: code is compiled when it is first called')
    return 0
  print('finding what kernels are called with, then compiling: this takes a few minutes', flush=True)
  arguments.folder.mkdir(parents=True, exist_ok=True)
  # New processes: each tells numba of another processor, which it is told once.
  context = multiprocessing.get_context('spawn')
  with context.Pool(min(usable_cores(), len(native.TARGETS)), _begin, maxtasksperchild=1) as pool:
    points = pool.apply(_called)
    work = [(arguments.folder, name, points) for name in arguments.target or native.TARGETS]
    for name, size in pool.imap_unordered(_compile, work):
      print(f'{name}: {len(points)} entry points, {size} bytes', flush=True)
  return 0


def _begin() -> None:
  os.environ[native.VARIABLE] = native.JUST_IN_TIME


def _compile(work: tuple[Path, str, Any]) -> tuple[str, int]:
  from language_modeling_is_compression.kernels import objects  # Only in processes of their own: it imports numba.

  folder, name, points = work
  objects.write_objects(folder, name, points)
  return name, (folder / f'{name}{native.SUFFIX}').stat().st_size


def _called() -> Any:
  """The entry points that the workload calls."""
  os.environ['NUMBA_OPT'] = '0'  # It takes longer to compile well than to run this.
  from language_modeling_is_compression.kernels import just_in_time, objects

  just_in_time.keep_code = False
  Kernel.heard = []
  run_workload()
  return objects.entry_points(Kernel.heard)


def run_workload() -> None:
  """Compresses, restores, tests, draws, measures and looks at little of everything."""
  for samples in _sounds():
    for level in {level.model: number for number, level in LEVELS.items()}.values():
      assert np.array_equal(decompress(compress(samples, _RATE_HZ, level=level))[0], samples)
    assert np.array_equal(decompress(compress(samples, _RATE_HZ, model='default-v2'))[0], samples)
    code_length(samples, _RATE_HZ)
    _code_as_before(samples)
  few = _sounds()[0][:40]
  for sound in (few, few.astype(np.uint8), few.astype(np.int32) << 16, np.repeat(few[:, np.newaxis], 2, axis=1)):
    assert np.array_equal(decompress(compress(sound, _RATE_HZ, model='bytes'))[0], sound)
    code_length(sound, _RATE_HZ, model='bytes')
  compress(few.astype(np.int32), _RATE_HZ, model='bytes', bit_depth=24)
  bytes_few = few.astype(np.uint8)
  hybrids = [(model, seed) for model in ('default', 'default-v2') for seed in (few, bytes_few)]
  for model, seed in [*hybrids, ('bytes', few)]:
    bits = 8 * seed.itemsize
    with generate(model, duration=0.002, seed_audio=seed, sample_rate=_RATE_HZ, bit_depth=bits) as generation:
      generation.read()
  _train_and_look(few[:, np.newaxis].astype(np.int32))
  _convert_numbers(few)
  _compress_other_files()


def _sounds() -> list[Any]:
  """Of 8, 16 and 24 bits, in one channel, two and more than a group has, with all values in use and with few."""
  rng = np.random.default_rng(0)
  tone = np.sin(0.1 * np.arange(_FRAMES)) + 0.1 * rng.normal(size=_FRAMES)
  plain = np.round(8000 * tone).astype(np.int16)
  return [
    plain,
    np.tile(plain[: _FRAMES // 2], 6),
    np.round(60 * tone + 128).astype(np.uint8),
    np.round(1e6 * tone).astype(np.int32) << 8,
    np.stack([plain, plain // 2], axis=1),
    np.stack([plain[:100]] * 10, axis=1),
    plain // 100 * 100 + 7,
    (rng.integers(0, 6, _FRAMES) ** 5).astype(np.int16),
    np.zeros(100, np.int16),
  ]


def _code_as_before(samples: Any) -> None:
  """Codes segments as versions 3 and 4 have them, whose files are read for ever. samples: integers [N] or [N, C]."""
  columns = samples.reshape(len(samples), -1).astype(np.int32)
  shape = SegmentShape(
    num_frames=len(columns),
    num_channels=columns.shape[1],
    sample_bytes=max(2, samples.itemsize),
    sample_rate_hz=_RATE_HZ,
    effort=2,
  )
  former: tuple[tuple[str, type[SegmentLayout]], ...] = ((LINEAR, LinearLayout), ('default-v4', HybridLayout))
  for model, layout in former:
    coder = load_coder(model, 'cpu', layout)
    [encoded] = coder.encode([Segment(samples=columns, shape=shape)], Cancellation())
    assert encoded is not None
    [found] = coder.decode([encoded.body], [shape], Cancellation())
    assert isinstance(found, Segment) and np.array_equal(found.samples, columns)


def _train_and_look(samples: Any) -> None:
  """samples: int32 [N, 1]."""
  for effort in range(3):
    extract_evidence(samples, sample_bytes=2, sample_rate_hz=_RATE_HZ, effort=effort)
  shape = SegmentShape(num_frames=len(samples), num_channels=1, sample_bytes=2, sample_rate_hz=_RATE_HZ, effort=1)
  for model in ('default', 'default-v2'):
    coder = load_coder(model, 'cpu')
    assert isinstance(coder, HybridCoder | EnsembleCoder)
    coder.trace_segment(Segment(samples=samples, shape=shape), Cancellation(), step=8, offset=0)


def _convert_numbers(samples: Any) -> None:
  """samples: integers [N]."""
  patterns = np.sin(samples[:, np.newaxis].astype(np.float32)).view(np.uint32)
  integers, _, side = integers_from_patterns(patterns, SampleKind.FLOAT)
  found = patterns_from_integers(integers, side, SampleKind.FLOAT, patterns.itemsize)
  assert found is not None and np.array_equal(found, patterns)


def _compress_other_files() -> None:
  """What no model codes: bytes around the samples, and no sound at all."""
  sound = io.BytesIO()
  with wave.open(sound, 'wb') as file:
    file.setparams((1, 2, _RATE_HZ, 0, 'NONE', ''))
    file.writeframes(_sounds()[0][:40].tobytes())
  for data in (sound.getvalue() + bytes(range(200)) * 2, bytes(range(256)) * 4, b'text'):
    for model in (None, 'bytes'):
      with Compressor(model=model) as compressor, tempfile.TemporaryFile() as packed:
        compressor.compress(io.BytesIO(data), packed)
        packed.seek(0)
        restored = io.BytesIO()
        with Decompressor() as decompressor:
          decompressor.decompress(packed, restored)
        assert restored.getvalue() == data


if __name__ == '__main__':
  sys.exit(main())
