"""Corrupts .lmic files at random and checks that each is found out: python tests/fuzz/corrupt.py [COUNT] [SEED].

The files are real ones: half a second of speech, and every width and kind of sample, written with the packaged models
`bytes` and `tiny`, by linear prediction, and with a network of random integers that stands on it, in the frame of
version 5, with a table of chunks and without one (codings 1, 2, 5 and 6), and in that of versions 1 to 4.
A corruption must be refused, or else (if it hit nothing that matters, which no byte of the format allows) decode to the
very file that was compressed. The same seed gives the same corruptions of the same files. Exits 1 if any went unseen.
"""

import collections
import contextlib
import dataclasses
import io
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from support import fixed_files, hybrid_cases, lmic_frames
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

from language_modeling_is_compression.codec import file_codec, plan
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.errors import LmicError
from language_modeling_is_compression.format import division
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.container import Container
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.layout import HybridLayout, LinearLayout
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.loading import load_coder

_SPEECH = Path(__file__).parents[2] / 'examples/audio/valid'
_REPORT_EVERY = 10_000
_SHORT_SEGMENTS = SegmentSettings(frames=400, effort=0)


class Case(NamedTuple):
  """chunks: where each begins, and in the end where the footer does. coder: of the model that it was written with.

  table_from: bytes from which files of version 5 have a table.
  """

  name: str
  original: bytes
  data: bytes
  chunks: list[int]
  coder: ChunkCoder
  table_from: int = 1 << 18


_Compress = Callable[[bytes, ChunkCoder, SegmentSettings], bytes]
_Corruption = Callable[[random.Random, Case, Case], bytes]


def _flip_a_bit(rng: random.Random, case: Case, other: Case) -> bytes:
  return _flipped(rng, case.data, 1)


def _flip_some_bits(rng: random.Random, case: Case, other: Case) -> bytes:
  return _flipped(rng, case.data, rng.randint(2, 16))


def _flip_in_the_header(rng: random.Random, case: Case, other: Case) -> bytes:
  end = case.chunks[0]
  return _flipped(rng, case.data[:end], rng.randint(1, 3)) + case.data[end:]


def _flip_in_a_record(rng: random.Random, case: Case, other: Case) -> bytes:
  start = rng.choice(case.chunks[:-1] or [0])
  end = start + lmic_frames.frame_of(case.data).record_bytes
  return case.data[:start] + _flipped(rng, case.data[start:end], rng.randint(1, 3)) + case.data[end:]


def _flip_in_the_footer(rng: random.Random, case: Case, other: Case) -> bytes:
  return case.data[: case.chunks[-1]] + _flipped(rng, case.data[case.chunks[-1] :], rng.randint(1, 3))


def _overwrite(rng: random.Random, case: Case, other: Case) -> bytes:
  start, end = _span(rng, case.data, 64)
  return case.data[:start] + rng.randbytes(end - start) + case.data[end:]


def _blank(rng: random.Random, case: Case, other: Case) -> bytes:
  start, end = _span(rng, case.data, 4096)
  return case.data[:start] + rng.choice([b'\0', b'\xff']) * (end - start) + case.data[end:]


def _cut_the_end(rng: random.Random, case: Case, other: Case) -> bytes:
  return case.data[: rng.randrange(len(case.data))]


def _cut_the_beginning(rng: random.Random, case: Case, other: Case) -> bytes:
  return case.data[rng.randint(1, len(case.data)) :]


def _remove(rng: random.Random, case: Case, other: Case) -> bytes:
  start, end = _span(rng, case.data, 256)
  return case.data[:start] + case.data[end:]


def _insert(rng: random.Random, case: Case, other: Case) -> bytes:
  at = rng.randint(0, len(case.data))
  return case.data[:at] + rng.randbytes(rng.randint(1, 64)) + case.data[at:]


def _append(rng: random.Random, case: Case, other: Case) -> bytes:
  return case.data + rng.choice([rng.randbytes(rng.randint(1, 64)), other.data, case.data])


def _duplicate(rng: random.Random, case: Case, other: Case) -> bytes:
  start, end = _span(rng, case.data, 256)
  at = rng.randint(0, len(case.data))
  return case.data[:at] + case.data[start:end] + case.data[at:]


def _swap_ranges(rng: random.Random, case: Case, other: Case) -> bytes:
  """Of any two lengths, so that most of the time what is between them moves."""
  a, b, c, d = sorted(rng.randint(0, len(case.data)) for _ in range(4))
  return case.data[:a] + case.data[c:d] + case.data[b:c] + case.data[a:b] + case.data[d:]


def _swap_words(rng: random.Random, case: Case, other: Case) -> bytes:
  changed = bytearray(case.data)
  size = rng.choice([1, 2, 4, 8])
  a, b = (rng.randint(0, len(changed) - size) for _ in range(2))
  changed[a : a + size], changed[b : b + size] = changed[b : b + size], changed[a : a + size]
  return bytes(changed)


def _swap_chunks(rng: random.Random, case: Case, other: Case) -> bytes:
  parts = _parts(case)
  a, b = (rng.randrange(1, max(2, len(parts) - 1)) for _ in range(2))
  parts[a], parts[b] = parts[b], parts[a]
  return b''.join(parts)


def _swap_chunks_and_numbers(rng: random.Random, case: Case, other: Case) -> bytes:
  """As above, but each says that it is the one whose place it has, in the frame that has numbers."""
  if lmic_frames.frame_of(case.data) is lmic_frames.COMPACT:
    return _swap_chunks(rng, case, other)
  parts = _parts(case)
  a, b = (rng.randrange(1, max(2, len(parts) - 1)) for _ in range(2))
  parts[a], parts[b] = parts[a][:4] + parts[b][4:], parts[b][:4] + parts[a][4:]
  return b''.join(parts)


def _remove_a_chunk(rng: random.Random, case: Case, other: Case) -> bytes:
  parts = _parts(case)
  del parts[rng.randrange(len(parts))]
  return b''.join(parts)


def _duplicate_a_chunk(rng: random.Random, case: Case, other: Case) -> bytes:
  parts = _parts(case)
  parts.insert(rng.randint(0, len(parts)), rng.choice(parts))
  return b''.join(parts)


def _take_a_part_of_another(rng: random.Random, case: Case, other: Case) -> bytes:
  """A header, chunk or footer, in the place where the other file has it."""
  parts, others = _parts(case), _parts(other)
  at = rng.randrange(min(len(parts), len(others)))
  at -= len(parts) if rng.random() < 0.3 else 0
  if abs(at) <= len(others):
    parts[at] = others[at]
  return b''.join(parts)


def _splice(rng: random.Random, case: Case, other: Case) -> bytes:
  return case.data[: rng.randint(1, len(case.data))] + other.data[rng.randrange(len(other.data)) :]


def _splice_at_the_same_place(rng: random.Random, case: Case, other: Case) -> bytes:
  at = rng.randint(1, min(len(case.data), len(other.data)))
  return case.data[:at] + other.data[at:]


_CORRUPTIONS: tuple[_Corruption, ...] = (
  _flip_a_bit,
  _flip_some_bits,
  _flip_in_the_header,
  _flip_in_a_record,
  _flip_in_the_footer,
  _overwrite,
  _blank,
  _cut_the_end,
  _cut_the_beginning,
  _remove,
  _insert,
  _append,
  _duplicate,
  _swap_ranges,
  _swap_words,
  _swap_chunks,
  _swap_chunks_and_numbers,
  _remove_a_chunk,
  _duplicate_a_chunk,
  _take_a_part_of_another,
  _splice,
  _splice_at_the_same_place,
)
_UNSEEN = ('silently wrong', 'not our error')


def main(count: int = 100_000, seed: int = 0) -> int:
  rng = random.Random(seed)
  cases = _cases(*(ChunkCoder(load_coder(name, 'cpu')) for name in ('bytes', 'tiny')))
  for case in cases:
    print(f'{case.name}: {len(case.original):,} bytes, {len(case.data):,} compressed, {len(case.chunks) - 1} chunks')
    assert _outcome(case.data, case) == 'identical', case.name
  originals = {case.data: case.original for case in cases}
  outcomes: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
  started = time.monotonic()
  done = unchanged = 0
  while done < count:
    case, corrupt = rng.choice(cases), rng.choice(_CORRUPTIONS)
    # Half of the time the other one is much like it: of the files, twins stand side by side.
    other = cases[cases.index(case) ^ 1] if rng.random() < 0.5 else rng.choice(cases)
    data = corrupt(rng, case, other)
    if data in originals:  # Nothing was changed, or one file became another.
      unchanged += 1
      continue
    outcome = _outcome(data, case)
    outcomes[corrupt.__name__.lstrip('_').replace('_', ' ')][outcome] += 1
    if outcome in _UNSEEN:
      _keep(data, case, corrupt, outcome)
    done += 1
    if done % _REPORT_EVERY == 0:
      print(f'{done:,} of {count:,}, {time.monotonic() - started:.0f} s', file=sys.stderr)
  return _report(outcomes, unchanged, time.monotonic() - started)


def _outcome(data: bytes, case: Case) -> str:
  """What becomes of a file."""
  with mock.patch.object(CompactFrame, '_TABLE_FROM_BYTES', case.table_from):
    return _read(data, case)


def _read(data: bytes, case: Case) -> str:
  """Reading its chunks goes first, because decoding them takes long."""
  try:
    container = Container(io.BytesIO(data), len(data))
    if container.problems:
      # To decompress is to refuse it, whatever its chunks are.
      with contextlib.suppress(LmicError):
        file_codec.decompress(container, io.BytesIO(), case.coder)
        return 'silently wrong'
      return 'container'
    for index in range(container.header.num_chunks):
      container.chunk(index)
  except LmicError:
    return 'container'
  except Exception:
    return 'not our error'
  target = io.BytesIO()
  try:
    file_codec.decompress(container, target, case.coder)
  except LmicError:
    return 'decoding'
  except Exception:
    return 'not our error'
  return 'identical' if target.getvalue() == case.original else 'silently wrong'


def _report(outcomes: dict[str, collections.Counter], unchanged: int, seconds: float) -> int:
  columns = ('container', 'decoding', 'identical', *_UNSEEN)
  total: collections.Counter = collections.Counter()
  print(f'{"corruption":<28}' + ''.join(f'{column:>16}' for column in columns))
  for name, counts in sorted(outcomes.items()):
    print(f'{name:<28}' + ''.join(f'{counts[column]:>16,}' for column in columns))
    total += counts
  print(f'{"all":<28}' + ''.join(f'{total[column]:>16,}' for column in columns))
  print(
    f'{total.total():,} corruptions in {seconds:.0f} s (and {unchanged:,} that changed nothing): '
    f'{total["container"]:,} seen by the container, {total["decoding"]:,} by decoding, '
    f'{total["identical"]:,} decode to the original, {sum(total[column] for column in _UNSEEN):,} unseen'
  )
  return 1 if any(total[column] for column in _UNSEEN) else 0


def _keep(data: bytes, case: Case, corrupt: _Corruption, outcome: str) -> None:
  with tempfile.NamedTemporaryFile(prefix='corrupt_', suffix='.lmic', delete=False) as file:
    file.write(data)
  print(f'{outcome}: {case.name}: {corrupt.__name__}: kept as {file.name}', file=sys.stderr)


def _cases(coder_of_bytes: ChunkCoder, coder_of_segments: ChunkCoder) -> list[Case]:
  """Pairs of files that are much alike."""
  integers, others = _integers(), _others()
  assert len(integers) % 2 == len(others) % 2 == 0
  random_network = hybrid_cases.random_network(experts=LINEAR_EXPERTS)
  newest = (ChunkCoder(LinearCoder()), ChunkCoder(HybridCoder(random_network)))
  oldest = (ChunkCoder(LinearCoder(LinearLayout)), ChunkCoder(HybridCoder(random_network, HybridLayout)))
  cases: list[Case] = []
  for frame, compress, table_from, (linear, hybrid) in (
    ('version 5', _compressed, 1 << 18, newest),
    ('version 5 with tables', _compressed, 0, newest),
    ('fixed', fixed_files.compressed, 0, oldest),
  ):
    with mock.patch.object(CompactFrame, '_TABLE_FROM_BYTES', table_from):
      found = [_case(name, original, coder_of_bytes, compress) for name, original in {**integers, **others}.items()]
      found += _twins(coder_of_bytes, compress)
      segments = [_case(name, original, coder_of_segments, compress) for name, original in integers.items()]
      segments += _twins(coder_of_segments, compress)
      found += [case._replace(name=f'{case.name}, segments') for case in segments]
      # Twins have the same preset; all presets are there.
      lone = [_case(name, integers[name], linear, compress, index // 2 % 4) for index, name in enumerate(integers)]
      found += [case._replace(name=f'{case.name}, linear') for case in lone + _twins(linear, compress)]
      short = [_case(name, original, hybrid, compress) for name, original in integers.items()]
      found += [case._replace(name=f'{case.name}, hybrid') for case in short + _twins(hybrid, compress)]
    cases += [case._replace(name=f'{case.name}, {frame}', table_from=table_from) for case in found]
  return cases


def _integers() -> dict[str, bytes]:
  """What models code."""
  waves = _waves(10)
  originals = {}
  for path in sorted(_SPEECH.glob('*.wav'))[:2]:
    samples = path.read_bytes()[10_044 : 10_044 + 16_000]
    originals[f'{path.stem}, 0.5 s'] = build_wav(samples, rate_hz=16_000)
    originals[f'{path.stem}, 0.5 s as 4 channels'] = build_wav(samples, channels=4, rate_hz=16_000, trailer=b'the end')
  for bits in (8, 16, 24, 32):
    scaled = np.round(waves * 2 ** (bits - 1)).astype(np.int64)
    for channels in (1, 3):
      originals[f'{bits} bits, {channels} channels'] = build_wav(
        pcm_bytes(scaled[:, :channels], bits), channels=channels, bits=bits, trailer=bytes(7)
      )
  scaled = np.round(waves * 2**15).astype(np.int64)
  louder = np.round(3.7 * np.random.default_rng(0).laplace(0, 30, (800, 1)).round()).astype(np.int64)
  originals['16 bits, 10 channels'] = build_wav(pcm_bytes(scaled, 16), channels=10)
  originals['16 bits, few values'] = build_wav(pcm_bytes(louder, 16))
  return originals


def _others() -> dict[str, bytes]:
  """What no model codes, which is of version 1."""
  waves = _waves(3)
  return {
    'float 32': build_wav(waves.astype('<f4').tobytes(), channels=3, tag=IEEE_FLOAT, bits=32),
    'float 64': build_wav(waves.astype('<f8').tobytes(), channels=3, tag=IEEE_FLOAT, bits=64),
    'no WAV': Path(__file__).read_bytes(),
    'one byte': b'x',
  }


def _waves(channels: int) -> np.ndarray:
  """float64 [600, channels]"""
  noise = np.random.default_rng(0).normal(0, 0.002, (600, channels))
  return 0.2 * np.sin(0.05 * np.arange(600)[:, None] + np.arange(channels)) + noise


def _twins(coder: ChunkCoder, compress: _Compress) -> list[Case]:
  """Files of the same size and beginning have the same header: a chunk of one fits the other, and only the hash of the
  whole tells.
  """
  samples = np.random.default_rng(0).normal(0, 500, (2, 1200)).astype(np.int64)
  with (
    mock.patch.object(plan, '_SOURCE_BYTES', 64),
    mock.patch.object(fixed_files, 'SOURCE_BYTES', 64),
    mock.patch.object(division, '_SPAN_FRAMES', 300),
  ):
    first, second = (
      _case(name, build_wav(bytes(100) + pcm_bytes(each, 16), rate_hz=16_000), coder, compress)
      for name, each in zip(('twin', 'other twin'), samples, strict=True)
    )
  assert first.data[: first.chunks[0]] == second.data[: second.chunks[0]]
  return [first, second]


def _case(name: str, original: bytes, coder: ChunkCoder, compress: _Compress, preset: int = 0) -> Case:
  data = compress(original, coder, dataclasses.replace(_SHORT_SEGMENTS, preset=preset))
  return Case(name, original, data, lmic_frames.starts(data), coder)


def _compressed(original: bytes, coder: ChunkCoder, settings: SegmentSettings) -> bytes:
  target = io.BytesIO()
  file_codec.compress(io.BytesIO(original), target, coder, segments=settings)
  return target.getvalue()


def _parts(case: Case) -> list[bytes]:
  """Header, chunks and footer."""
  cuts = [0, *case.chunks, len(case.data)]
  return [case.data[start:end] for start, end in itertools.pairwise(cuts)]


def _flipped(rng: random.Random, data: bytes, count: int) -> bytes:
  changed = bytearray(data)
  for bit in rng.sample(range(8 * len(changed)), count):
    changed[bit // 8] ^= 1 << bit % 8
  return bytes(changed)


def _span(rng: random.Random, data: bytes, most: int) -> tuple[int, int]:
  """A range of 1 to `most` bytes."""
  start = rng.randrange(len(data))
  return start, min(len(data), start + rng.randint(1, most))


if __name__ == '__main__':
  sys.exit(main(*map(int, sys.argv[1:])))
