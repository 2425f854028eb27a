"""Headers of small files with a piece before the samples, three spans and two pieces behind them, in either frame."""

import dataclasses
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind, wav_integers
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.container import STORED, Chunk, Container
from language_modeling_is_compression.format.header import MODEL_ID_BYTES, NO_MODEL, Header
from language_modeling_is_compression.format.layout import ChannelLayout, LinearLayout, SegmentLayout
from support import fixed_files, lmic_frames
from support.lmic_frames import WrittenFrame

SHA256 = bytes(range(32))
IDENTITY = bytes(range(32))
PIECE_BYTES = 50
NO_SAMPLES = PcmFormat(kind=SampleKind.NONE, sample_bytes=0, num_channels=0, sample_rate_hz=0)
STEREO = Header(
  pcm=wav_integers(sample_bytes=2, num_channels=2, sample_rate_hz=100),
  chunk_frames=10,
  piece_bytes=PIECE_BYTES,
  head_bytes=44,
  num_frames=25,
  tail_bytes=70,
  model_id=NO_MODEL,
  source_id=b'from',
  layout=ChannelLayout(),
  container='WAV',
)
BYTES_ALONE = dataclasses.replace(
  STEREO, pcm=NO_SAMPLES, chunk_frames=0, num_frames=0, tail_bytes=0, container='none'
)  # fmt: skip
EMPTY = dataclasses.replace(BYTES_ALONE, head_bytes=0)
# The same in three segments.
SEGMENTED = dataclasses.replace(STEREO, model_id=IDENTITY[:MODEL_ID_BYTES], layout=SegmentLayout(effort=1))
LINEAR = dataclasses.replace(SEGMENTED, model_id=LinearLayout.model_id[:MODEL_ID_BYTES], layout=LinearLayout(effort=3))
CANONICAL = dataclasses.replace(SEGMENTED, has_canonical_head=True, tail_bytes=0)


@dataclass(frozen=True)
class Kind:
  """What a file is written as. has_table: whether that is of version 5 is not too small for a table."""

  name: str
  frame: WrittenFrame
  has_table: bool

  @contextmanager
  def in_force(self) -> Iterator[None]:
    """Pieces of PIECE_BYTES, and tables in all files of version 5 or in none."""
    assert Header.__init__.__kwdefaults__ is not None
    least = 0 if self.has_table else 1 << 62
    with (
      mock.patch.dict(Header.__init__.__kwdefaults__, {'piece_bytes': PIECE_BYTES}),
      mock.patch.object(CompactFrame, '_TABLE_FROM_BYTES', least),
    ):
      yield

  def header(self, header: Header) -> Header:
    """The same header as this frame has it."""
    if self.frame is lmic_frames.COMPACT:
      return header
    whole = {IDENTITY[:MODEL_ID_BYTES]: IDENTITY, LinearLayout.model_id[:MODEL_ID_BYTES]: LinearLayout.model_id}
    model_id = whole.get(header.model_id, NO_MODEL)
    return fixed_files.fixed_header(header, model_id, has_canonical_head=header.has_canonical_head)


FIXED = Kind('versions 1 to 4', lmic_frames.FIXED, has_table=True)
COMPACT = Kind('version 5', lmic_frames.COMPACT, has_table=True)
SMALL = Kind('version 5, small', lmic_frames.COMPACT, has_table=False)
KINDS = (FIXED, COMPACT, SMALL)


def payloads(header: Header) -> list[bytes]:
  """Bytes of all chunks of a file."""
  rng = np.random.default_rng(0)
  return [rng.bytes(header.payload_bytes(index)) for index in range(header.num_chunks)]


def written(kind: Kind, header: Header = STEREO, bodies: list[bytes] | None = None) -> bytes:
  """A file of stored chunks."""
  target, header = io.BytesIO(), kind.header(header)
  writer = kind.frame.writer(target, header)
  for body in payloads(header) if bodies is None else bodies:
    writer.add(Chunk(method=STORED, crc32=zlib.crc32(body), body=body))
  writer.finish(SHA256)
  assert writer.bytes_written == len(target.getvalue())
  return target.getvalue()


def opened(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


def flipped(data: bytes, position: int, bit: int = 0) -> bytes:
  return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]
