"""Headers of all versions: the parts on them of docs/FORMAT.md."""

import hashlib
import itertools
import struct
from typing import NamedTuple

from reference_decoder.models import require
from reference_decoder.segments import read_number
from reference_decoder.surroundings import (
  FLOAT,
  NO_CONTAINER,
  NO_SAMPLES,
  SAMPLE_BYTES,
  SIGNED,
  UNPACKED,
  UNSIGNED,
  WAV,
  Samples,
  can_hold,
  canonical,
  wav_head,
)

FIXED_BYTES = 100  # Of a header of versions 1 to 4.
# Of linear prediction, by coding; in the header of version 3 alone.
LINEAR = {
  3: hashlib.sha256(b'lmic linear prediction 1').digest(),
  5: hashlib.sha256(b'lmic linear prediction 2').digest(),
}
# Of a span, by coding: frames, and bytes of all channels.
MAX_SPAN = {1: (1 << 16, 1 << 22), **dict.fromkeys((2, 3, 4, 5, 6), (1 << 22, 1 << 25))}
MAX_EFFORT = {1: 0, 2: 2, 3: 3, 4: 2, 5: 3, 6: 4}


class Gap(NamedTuple):
  """Bytes before a frame that are no samples."""

  frame: int
  num_bytes: int


class Header(NamedTuple):
  """The header's fields; `raw` is all of it, and key that of the file's other checks."""

  raw: bytes
  version: int
  coding: int
  effort: int
  samples: Samples
  container: int
  is_canonical: bool
  chunk_frames: int
  piece_bytes: int
  head_bytes: int
  num_frames: int
  tail_bytes: int
  gaps: list[Gap]
  model_id: bytes
  key: bytes

  @property
  def has_table(self) -> bool:
    gap_bytes = sum(gap.num_bytes for gap in self.gaps)
    original_bytes = self.head_bytes + gap_bytes + self.num_frames * self.samples.frame_bytes + self.tail_bytes
    return self.version < 5 or original_bytes >= 1 << 18

  @property
  def record_bytes(self) -> int:
    return 13 if self.version == 5 else 21

  def surroundings(self) -> tuple[bytes, bytes]:
    """Head and tail that have no chunks; empty where they have some."""
    if not self.is_canonical:
      return b'', b''
    if self.version == 5:
      return canonical(self.container, self.samples, self.num_frames)
    return wav_head(self.samples, self.num_frames, 0), b''


def parse_header(data: bytes) -> Header:
  """The header that a file begins with. Raises ValueError."""
  require(data.startswith(bytes.fromhex('8B4C4D4943')), 'not an .lmic file')
  header = _parse_compact(data) if data[5:6] == b'\5' else _parse_fixed(data[:FIXED_BYTES])
  most_frames, most_bytes = MAX_SPAN[header.coding]
  short = header.chunk_frames <= most_frames and header.chunk_frames * header.samples.frame_bytes <= most_bytes
  require(short, 'spans are too long')
  require(header.effort <= MAX_EFFORT[header.coding], f'effort {header.effort}')
  require(header.samples.sample_bytes in SAMPLE_BYTES[header.samples.kind], 'unknown kind of samples')
  if header.samples.kind != NO_SAMPLES:
    require(header.samples.num_channels >= 1 and header.chunk_frames >= 1, 'no channels, or spans without frames')
  require(not header.is_canonical or can_hold(header.container, header.samples), 'surroundings that nothing is')
  return header


def _parse_fixed(raw: bytes) -> Header:
  require(len(raw) == FIXED_BYTES, 'no room for a header')
  require(raw[5:8] == bytes.fromhex('0D0A1A'), 'not an .lmic file')
  version, kind, sample_bytes, num_channels, effort, flags, rate, chunk_frames, piece_bytes = struct.unpack_from(
    '<HBBHBBIII', raw, 8
  )
  head_bytes, num_frames, tail_bytes = struct.unpack_from('<QQQ', raw, 28)
  require(1 <= version <= 4, f'version {version}, expected 1 to 4')
  require(blake2b(raw[:92]) == raw[92:], 'wrong check of the header')
  require(flags <= (version > 1), 'reserved bits are set')
  require(kind <= 2 and (kind, sample_bytes) != (2, 2), 'unknown kind of samples')
  require(version == 1 or (kind == 1 and any(raw[52:84])), 'segments that are not integers of a model')
  require((version == 3) == (raw[52:84] == LINEAR[3]), 'another linear prediction')
  require(1 <= piece_bytes <= 1 << 20, f'pieces of {piece_bytes} bytes')
  if kind == 0:
    none = not any((num_channels, rate, chunk_frames, num_frames, tail_bytes))
    require(none, 'describes samples that it does not have')
  samples = Samples(
    (NO_SAMPLES, UNSIGNED if sample_bytes == 1 else SIGNED, FLOAT)[kind], sample_bytes, num_channels, rate
  )
  header = Header(
    raw=raw,
    version=version,
    coding=version,
    effort=effort,
    samples=samples,
    container=WAV if kind else NO_CONTAINER,
    is_canonical=flags == 1,
    chunk_frames=chunk_frames,
    piece_bytes=piece_bytes,
    head_bytes=head_bytes,
    num_frames=num_frames,
    tail_bytes=tail_bytes,
    gaps=[],
    model_id=raw[52:84],
    key=raw[92:],
  )
  require(not header.is_canonical or head_bytes == len(header.surroundings()[0]), 'no canonical head has that length')
  return header


def _parse_compact(data: bytes) -> Header:
  require(len(data) >= 8, 'no room for a header')
  end = 8 + int.from_bytes(data[6:8], 'little')
  raw = data[: end + 4]
  require(len(raw) == end + 4 and end >= 15, 'no room for a header')
  require(blake2b(raw[:end])[:4] == raw[end:], 'wrong check of the header')
  coding, is_canonical, has_model = raw[8] % 64, bool(raw[8] & 64), bool(raw[8] & 128)
  effort, container = raw[9] % 16, raw[9] // 16
  kind, is_big_endian, sample_bytes = raw[10] % 8, bool(raw[10] & 8), raw[10] // 16
  require(coding in MAX_SPAN, f'unknown coding {coding}')
  require(kind in SAMPLE_BYTES, 'unknown kind of samples')
  require(container <= UNPACKED, f'unknown container {container}')
  model_id = raw[15:23] if has_model else b''
  require(len(model_id) == 8 * has_model and 15 + len(model_id) <= end, 'no room for a model_id')
  require(coding == 1 or coding in LINEAR or has_model, 'segments without a model')
  is_network = coding not in LINEAR and any(model_id) and not any(each.startswith(model_id) for each in LINEAR.values())
  require(not has_model or is_network, 'a model_id that none has')
  numbers = _Numbers(raw[15 + len(model_id) : end])
  head_bytes = 0 if is_canonical else numbers.read()
  if kind == NO_SAMPLES:
    bare = coding == 1 and not is_canonical and container == NO_CONTAINER and raw[10] == 0
    require(bare and numbers.is_through(), 'describes samples that it does not have')
    num_channels = rate = num_frames = chunk_frames = tail_bytes = 0
  else:
    num_channels, rate, num_frames, chunk_frames = (numbers.read() for _ in range(4))
    require(chunk_frames != num_frames or not num_frames, 'one span is said in more bytes than need be')
    chunk_frames = chunk_frames or num_frames
    tail_bytes = 0 if is_canonical else numbers.read()
  gaps = _read_gaps(numbers, num_frames)
  samples = Samples(kind, sample_bytes, num_channels, rate, is_big_endian)
  largest = max(head_bytes, num_frames, num_frames * samples.frame_bytes, tail_bytes)
  require(largest < 1 << 62 and rate < 1 << 32, 'a number is too large')
  if is_canonical:
    require(not gaps and can_hold(container, samples), 'surroundings that nothing is')
    head_bytes, tail_bytes = map(len, canonical(container, samples, num_frames))
  return Header(
    raw=raw,
    version=5,
    coding=coding,
    effort=effort,
    samples=samples,
    container=container,
    is_canonical=is_canonical,
    chunk_frames=chunk_frames,
    piece_bytes=1 << 24,
    head_bytes=head_bytes,
    num_frames=num_frames,
    tail_bytes=tail_bytes,
    gaps=gaps,
    model_id=model_id,
    key=blake2b(raw),
  )


def _read_gaps(numbers: '_Numbers', num_frames: int) -> list[Gap]:
  gaps: list[Gap] = []
  while not numbers.is_through():
    frame = numbers.read() + (gaps[-1].frame if gaps else 0)
    gaps.append(Gap(frame, numbers.read()))
  places = [0, *(gap.frame for gap in gaps), num_frames]
  in_order = all(before < after for before, after in itertools.pairwise(places))
  require(not gaps or in_order, 'gaps that are not between frames')
  require(all(gap.num_bytes for gap in gaps), 'a gap without bytes')
  require(len(gaps) <= 4096 and sum(gap.num_bytes for gap in gaps) <= 1 << 20, 'too many gaps, or too long ones')
  return gaps


class _Numbers:
  """Reads a header's numbers, which are not below 0, each in as few bytes as it can have."""

  def __init__(self, data: bytes):
    self._rest = data

  def read(self) -> int:
    value, rest = read_number(self._rest)
    taken = self._rest[: len(self._rest) - len(rest)]
    require(value >= 0 and (len(taken) == 1 or taken[-1] > 0), 'a number that no header has')
    self._rest = rest
    return value

  def is_through(self) -> bool:
    return not self._rest


def blake2b(data: bytes, key: bytes = b'') -> bytes:
  return hashlib.blake2b(data, digest_size=8, key=key).digest()
