"""Floats and companded speech beside other programs: python bench/float_samples.py AUDIO_DIR [--files 2] [--only NAME].

Excerpts from the middle of files of the train folders, made into floats in the ways that programs do: bits of a sample,
side information and segment together, coded at preset 2; of the integers they were made from, which is what floats that
hold no more should take; of xz -9e and, for 32 bits, of WavPack -hhx4 (`wavpack` in the path). All is decoded and
compared.
"""

import argparse
import lzma
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.numbers.companding import linear_values
from language_modeling_is_compression.numbers.conversion import (
  depth_bytes,
  integers_from_patterns,
  patterns_from_integers,
)
from language_modeling_is_compression.system.cancellation import Cancellation

_PRESET = 2
_SECONDS = 6
_DOMAINS = {16: ('music_midi44k', 'guitar44k_rs', 'drums44k'), 24: ('hires24_48k', 'hires24_96k')}
_RATIO = 16.0 * 1.0137  # Of a field recorder's two converters.
_LOUDEST = 0.4  # That its quiet one takes, where the other one takes 8.


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures floats and companded speech.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--files', type=int, default=2, help='of each domain, the longest')
  parser.add_argument('--only', default='', help='kinds whose name has this in it')
  arguments = parser.parse_args()
  rows: dict[str, list[list[float]]] = {}
  for name, source, patterns, kind in cases(arguments.audio_dir, arguments.files):
    if arguments.only in name:
      rows.setdefault(name, []).append(_measured(source, patterns, kind))
  print(f'| {"":34} | integers | ours | of these side | xz -9e | WavPack -hhx4 | ns to convert, back |')
  print('|---|---|---|---|---|---|---|')
  for name, found in rows.items():
    means = np.mean(np.array(found), axis=0)
    print(
      f'| {name:34} | ' + ' | '.join(f'{value:.3f}' for value in means[:5]) + f' | {means[5]:.0f}, {means[6]:.0f} |'
    )
  return 0


def cases(audio_dir: Path, num_files: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, SampleKind]]:
  """Name, integers that it was made from, int32 [N, C], bit patterns [N, C] and their kind, of all cases."""
  for bits, domains in _DOMAINS.items():
    excerpts = [excerpt for domain in domains for excerpt in _excerpts(audio_dir / domain / 'train', num_files)]
    for index, samples in enumerate(excerpts):
      for name, values in _floats(samples, excerpts[index - 1], bits):
        assert values.dtype in (np.float16, np.float32, np.float64)
        yield name, samples, values.view(f'u{values.itemsize}'), SampleKind.FLOAT
      if bits == 24:
        for name, level, threshold in (('quiet', 0.3, 1.0), ('loud', 6.0, 0.0), ('both', 6.0, _LOUDEST)):
          values, integers = _recorded(samples / np.abs(samples).max() * level, threshold)
          yield f'recorder of two converters, {name}', integers, values.view(np.uint32), SampleKind.FLOAT
  for samples in _excerpts(audio_dir / 'speech8k' / 'train', 2 * num_files):
    for kind, name in ((SampleKind.A_LAW, 'A-law'), (SampleKind.MU_LAW, 'mu-law')):
      table = linear_values(kind).astype(np.int64) * (8 if kind == SampleKind.A_LAW else 4)
      characters = np.abs(samples[:, :, np.newaxis] - table).argmin(axis=2).astype(np.uint8)
      yield name, samples, characters, kind


def _excerpts(folder: Path, num_files: int) -> list[np.ndarray]:
  paths = sorted(folder.glob('*.wav'), key=lambda path: (-path.stat().st_size, path.name))[:num_files]
  found = []
  for path in paths:
    info = read_info(path)
    num = min(info.num_frames, _SECONDS * info.sample_rate_hz)
    start = (info.num_frames - num) // 2
    found.append(read_frames(info, start, start + num))
  return found


def _floats(samples: np.ndarray, other: np.ndarray, bits: int) -> Iterator[tuple[str, np.ndarray]]:
  """The ways that floats are made. other: samples of another file to mix with."""
  half = 1 << (bits - 1)
  single = samples.astype(np.float32)
  whole = samples / half
  gain = 10 ** (-3.7 / 20)
  yield f'{bits} bits', single / np.float32(half)
  yield f'{bits} bits, / {half - 1}', single / np.float32(half - 1)
  yield f'{bits} bits, -3.7 dB', single / np.float32(half) * np.float32(gain)
  yield f'{bits} bits, two gains', single / np.float32(half) * np.float32(gain) * np.float32(0.6123)
  yield f'{bits} bits, 64', whole
  yield f'{bits} bits, / {half - 1}, 64', samples / (half - 1)
  yield f'{bits} bits, -3.7 dB, 64', whole * gain
  fitting = np.resize(other, samples.shape) / half
  yield f'{bits} bits, a mix', whole.astype(np.float32) * np.float32(0.7) + fitting.astype(np.float32) * np.float32(0.4)
  wet = _reverberated(whole)
  yield f'{bits} bits, reverberated', wet.astype(np.float32)
  if bits == 24:
    yield f'{bits} bits, reverberated, 64', wet
  for name, values in (
    ('', whole),
    (', / 32767', samples / 32767),
    (', -3.7 dB', whole * gain),
    (', reverberated', wet),
  ):
    if bits == 16 or name != ', / 32767':
      yield f'{bits} bits as halves{name}', values.astype(np.float16)


def _reverberated(values: np.ndarray) -> np.ndarray:
  """With a tail of noise that falls by 60 dB in a second or so."""
  rng = np.random.default_rng(0)
  tail = rng.normal(size=1 << 15) * np.exp(-np.arange(1 << 15) / 6000) * 0.01
  tail[0] = 1.0
  size = len(values) + len(tail)
  spectrum = np.fft.rfft(values, size, axis=0) * np.fft.rfft(tail, size)[:, np.newaxis]
  result: np.ndarray = np.fft.irfft(spectrum, size, axis=0)[: len(values)]
  return 0.5 * result


def _recorded(values: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
  """Two converters of 24 bits, the louder one where the other would be too loud, in blocks of 64 frames.

  Returns also the integers of the louder one, or of the other, where no block is loud.
  """
  rng = np.random.default_rng(0)
  noisy = values + rng.normal(size=values.shape) * 2.0**-20 / _RATIO
  quiet = np.round(noisy * 2**20 * _RATIO)
  loud = np.round((noisy + rng.normal(size=values.shape) * 2.0**-20) * 2**20)
  peaks = np.abs(np.resize(values, (-(-len(values) // 64), 64, values.shape[1]))).max(axis=1)
  is_loud = np.repeat(peaks > threshold, 64, axis=0)[: len(values)]
  floats = np.where(
    is_loud,
    loud.astype(np.float32) * np.float32(2**-20),
    quiet.astype(np.float32) * np.float32(2**-20 / _RATIO),
  )
  return floats, (loud if is_loud.any() else quiet).astype(np.int32)


def _measured(source: np.ndarray, patterns: np.ndarray, kind: SampleKind) -> list[float]:
  """Bits of a sample: of the integers, ours, its side information, xz, WavPack; and nanoseconds to convert."""
  start = time.process_time()
  integers, depth, side = integers_from_patterns(patterns, kind)
  middle = time.process_time()
  found = patterns_from_integers(integers, side, kind, patterns.dtype.itemsize)
  end = time.process_time()
  if found is None or not np.array_equal(found, patterns):
    sys.exit('numbers did not come back')
  size = patterns.size
  return [
    8 * _coded(source, depth_bytes(source)) / size,
    8 * (_coded(integers, depth) + len(side)) / size,
    8 * len(side) / size,
    8 * len(lzma.compress(patterns.tobytes(), preset=9 | lzma.PRESET_EXTREME)) / size,
    8 * _wavpack(patterns) / size if patterns.dtype == np.uint32 else np.nan,
    1e9 * (middle - start) / size,
    1e9 * (end - middle) / size,
  ]


def _coded(samples: np.ndarray, sample_bytes: int) -> int:
  """Bytes of a segment."""
  shape = SegmentShape(
    num_frames=len(samples),
    num_channels=samples.shape[1],
    sample_bytes=sample_bytes,
    sample_rate_hz=48_000,
    effort=_PRESET,
  )
  [encoded] = LinearCoder().encode([Segment(samples=samples, shape=shape)], Cancellation())
  assert encoded is not None
  [decoded] = LinearCoder().decode([encoded.body], [shape], Cancellation())
  if not (isinstance(decoded, Segment) and np.array_equal(decoded.samples, samples)):
    sys.exit('a segment did not come back')
  return len(encoded.body)


def _wavpack(patterns: np.ndarray) -> float:
  """Bytes of a file of 32-bit floats by WavPack, or not a number where it is missing."""
  program = shutil.which('wavpack')
  if program is None:
    return np.nan
  data, channels = patterns.astype('<u4').tobytes(), patterns.shape[1]
  header = struct.pack(
    '<4sI4s4sIHHIIHH',
    b'RIFF',
    36 + len(data),
    b'WAVE',
    b'fmt ',
    16,
    3,
    channels,
    48_000,
    48_000 * 4 * channels,
    4 * channels,
    32,
  ) + struct.pack('<4sI', b'data', len(data))
  with tempfile.TemporaryDirectory() as folder:
    wav, packed = Path(folder) / 'a.wav', Path(folder) / 'a.wv'
    wav.write_bytes(header + data)
    subprocess.run([program, '-q', '-hhx4', str(wav), '-o', str(packed)], check=True)
    return packed.stat().st_size


if __name__ == '__main__':
  sys.exit(main())
