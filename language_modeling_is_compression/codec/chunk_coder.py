"""Chunks of a file, coded and decoded through a predictor, several at a time.

Shapes: N samples of a chunk (frames of a segment), C channels, S bytes of a sample, K of them known to the predictor,
T = N * P its tokens, P places, L lanes.
"""

import lzma
import math
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from language_modeling_is_compression.audio.planes import planes_from_samples, samples_from_planes
from language_modeling_is_compression.entropy import byte_counts, rans
from language_modeling_is_compression.format.container import LZMA, MODEL, STORED, Chunk
from language_modeling_is_compression.format.segment import SegmentShape
from language_modeling_is_compression.quantized.predictor import Decoding, Predictor, SegmentPredictor
from language_modeling_is_compression.system.cores import usable_cores

DEFAULT_LANES = 16

# A decoder takes 4 MiB for it, whatever a file says.
_LZMA_FILTERS = [{'id': lzma.FILTER_LZMA2, 'preset': 9 | lzma.PRESET_EXTREME, 'dict_size': 1 << 22}]
# Of segments, whose samples take LZMA a twentieth of the time that a model takes, it is tried in earnest where a quick
# try comes near the model. On sound of all kinds the quick one comes out 5% to 45% larger, most often 5% to 12%.
_QUICK_LZMA_FILTERS = [{'id': lzma.FILTER_LZMA2, 'preset': 0, 'dict_size': 1 << 22}]
_NEAR = 1.25
# A match of LZMA covers 273 bytes at most and takes 14 binary decisions of 0.022 bits or more.
_MOST_LZMA_RATIO = 8192
_SILENT_BYTES = 64  # What a segment of silence takes at most, of few channels.

# Between two looks whether somebody wants the work to stop.
_SAMPLES_PER_LOOK = 256
_LZMA_BYTES_PER_LOOK = 1 << 16

# Of segments that are handed over together.
_MAX_BATCH_BYTES = 1 << 25

Progress = Callable[[int], object]  # Told how many more bytes are done.

_Item = TypeVar('_Item')


@dataclass(frozen=True, kw_only=True)
class Payload:
  """What a chunk holds: plain bytes, one channel of a span, or a segment, which is all of a span.

  data: the bytes; of a channel, the first bytes of all samples, then the second ones, and so on, in the tokens' order;
  of a segment, the channels one after the other.
  sample_bytes: S of a channel that a model may predict, else 0. segment: None if it is not one.
  """

  data: bytes
  sample_bytes: int = 0
  segment: SegmentShape | None = None

  @property
  def tokens(self) -> np.ndarray:
    """uint8 [N, S], samples in offset binary, high byte first."""
    return np.frombuffer(self.data, np.uint8).reshape(self.sample_bytes, -1).T

  def samples(self, segment: SegmentShape) -> np.ndarray:
    """int32 [N, C], signed."""
    planes = np.frombuffer(self.data, np.uint8).reshape(segment.num_channels, segment.sample_bytes, segment.num_frames)
    return samples_from_planes(planes)


@dataclass(frozen=True, kw_only=True)
class PayloadShape:
  """What is known of a payload before it is decoded."""

  num_bytes: int
  sample_bytes: int = 0
  segment: SegmentShape | None = None


@dataclass(frozen=True, kw_only=True)
class Modelled:
  """What the model made of a payload, beside what the codec writes for it.

  raw_bytes: of the payload. model_bytes: the model's body. method, kept_bytes: of the smallest chunk's body.
  sample_bits: float64 [N * C], what each sample costs under the model, in the order in which they are coded.
  """

  raw_bytes: int
  model_bytes: int
  method: int
  kept_bytes: int
  sample_bits: np.ndarray


class StoppedError(BaseException):
  """A coder was told to stop; what it was at is of no use."""


class ChunkCoder:
  """Payloads to chunks and back. Several threads may hand over work at a time.

  predictor: None stores everything without a model. lanes: chunks that are in work at a time, over all cores.
  model_only: code by the model whatever it can code, even where something else is smaller. Such chunks may be longer
  than what they decode to, so they are for measuring, not for files.
  observe: is told of every payload that the model encodes, by any thread in any order. Without it nothing is computed
  for it.
  """

  def __init__(
    self,
    predictor: Predictor | SegmentPredictor | None,
    lanes: int = DEFAULT_LANES,
    *,
    model_only: bool = False,
    observe: Callable[[Modelled], object] | None = None,
  ):
    self.predictor = predictor
    self.lanes = lanes
    self._of_segments = predictor if isinstance(predictor, SegmentPredictor) else None
    self._of_tokens = None if isinstance(predictor, SegmentPredictor) else predictor
    self._model_only = model_only
    self._observe = observe
    self._stopped = threading.Event()
    # Of hours of silence one segment is like the next: the last one of so few bytes is kept, in both directions.
    self._last_encoded: tuple[Payload | None, Chunk | None] = None, None
    self._last_decoded: tuple[bytes, SegmentShape | None, bytes | None] = b'', None, None
    self._rows_together = self._of_tokens is not None and self._of_tokens.rows_together
    self._num_workers = 1 if self._rows_together else max(1, min(lanes, usable_cores()))
    self._pool = ThreadPoolExecutor(self._num_workers)

  def __enter__(self) -> 'ChunkCoder':
    return self

  def __exit__(self, *_: object) -> None:
    self.stop()
    self._pool.shutdown(cancel_futures=True)

  def stop(self) -> None:
    """Makes all work end within a moment, for those who wait for it with StoppedError; nothing is coded any more."""
    self._stopped.set()

  def segments_at_a_time(self, segment_bytes: int) -> int:
    """How many segments to hand over together: no more lanes than fit into some memory, but work for every core."""
    return max(self._num_workers, min(self.lanes, _MAX_BATCH_BYTES // segment_bytes))

  def encode(self, payloads: Sequence[Payload], progress: Progress = lambda done: None) -> list[Chunk]:
    """The smallest chunk for each payload: by the model, by LZMA, or as it is; see also `model_only`."""
    group = self.lanes if self._rows_together else 1
    encoded: list[Chunk] = []
    for chunks in self._pool.map(self._encode_group, _batches(payloads, group)):
      self._require_going()
      progress(sum(len(payload.data) for payload in payloads[len(encoded) : len(encoded) + len(chunks)]))
      encoded += chunks
    return encoded

  def decode(
    self, chunks: Sequence[Chunk], shapes: Sequence[PayloadShape], progress: Progress = lambda done: None
  ) -> list[bytes | None]:
    """The payloads of chunks; None for one that cannot be what an encoder wrote."""
    decoded: list[bytes | None] = [None] * len(chunks)
    in_step = [index for index, chunk in enumerate(chunks) if chunk.method == MODEL and shapes[index].sample_bytes]
    alone = [[index] for index in range(len(chunks)) if index not in in_step]
    # Long ones first: a lane that has come to its end drops out, and those in front of it go on.
    in_step.sort(key=lambda index: -shapes[index].num_bytes)
    groups = [*_batches(in_step, -(-min(len(in_step), self.lanes) // self._num_workers)), *alone]

    def decode_group(group: Sequence[int]) -> list[bytes | None]:
      return self._decode_group([chunks[index] for index in group], [shapes[index] for index in group])

    for group, payloads in zip(groups, self._pool.map(decode_group, groups), strict=True):
      self._require_going()
      progress(sum(shapes[index].num_bytes for index in group))
      for index, payload in zip(group, payloads, strict=True):
        if payload is not None and zlib.crc32(payload) == chunks[index].crc32:
          decoded[index] = payload
    return decoded

  def _require_going(self) -> None:
    if self._stopped.is_set():
      raise StoppedError

  def _encode_group(self, payloads: Sequence[Payload]) -> list[Chunk]:
    if self._of_segments:
      return [self._encode_segment(self._of_segments, payload) for payload in payloads]
    rows: dict[int, np.ndarray] = {}
    coded = [index for index, payload in enumerate(payloads) if payload.sample_bytes]
    if self._of_tokens and coded and not self._stopped.is_set():
      found = _intervals(self._of_tokens, [payloads[index].tokens for index in coded])
      rows = dict(zip(coded, found, strict=True))
    return [self._encode_tokens(payload.data, rows.get(index)) for index, payload in enumerate(payloads)]

  def _encode_tokens(self, data: bytes, intervals: np.ndarray | None) -> Chunk:
    """intervals: uint32 [N, S, 2]; None for what the model does not code."""
    if intervals is None:
      return _smallest(data, None)
    body = rans.encode(intervals.reshape(-1, 2))
    return self._modelled(data, body, intervals, lambda: _smallest(data, body))

  def _encode_segment(self, predictor: SegmentPredictor, payload: Payload) -> Chunk:
    data, segment = payload.data, payload.segment
    if segment is None:
      return _smallest(data, None)
    known, chunk = self._last_encoded
    if payload == known and chunk and not self._observe:
      return chunk
    body, intervals = predictor.encode(payload.samples(segment), segment, self._stopped.is_set)
    chunk = self._modelled(data, body, intervals, lambda: _smallest_segment(data, body, self._stopped.is_set))
    if len(chunk.body) <= _SILENT_BYTES:
      self._last_encoded = payload, chunk
    return chunk

  def _modelled(self, data: bytes, body: bytes, intervals: np.ndarray, smallest: Callable[[], Chunk]) -> Chunk:
    """The chunk for what the model coded. smallest: makes the one that the codec writes."""
    if self._model_only and not self._observe:
      return _chunk(MODEL, data, body)
    kept = smallest()
    if self._observe:
      modelled = Modelled(
        raw_bytes=len(data),
        model_bytes=len(body),
        method=kept.method,
        kept_bytes=len(kept.body),
        sample_bits=_sample_bits(intervals),
      )
      self._observe(modelled)
    return _chunk(MODEL, data, body) if self._model_only else kept

  def _decode_group(self, chunks: Sequence[Chunk], shapes: Sequence[PayloadShape]) -> list[bytes | None]:
    """Decodes chunks in step, the longest first, or one alone; None for one that is not sound."""
    if shapes[0].sample_bytes and chunks[0].method == MODEL:
      return self._decode_tokens([chunk.body for chunk in chunks], shapes)
    [chunk], [shape] = chunks, shapes
    return [self._decode_segment(chunk.body, shape.segment) if chunk.method == MODEL else _plain(chunk, shape)]

  def _decode_segment(self, body: bytes, segment: SegmentShape | None) -> bytes | None:
    if self._of_segments is None or segment is None:
      return None
    known, shape, payload = self._last_decoded
    if (body, segment) == (known, shape):
      return payload
    samples = self._of_segments.decode(body, segment, self._stopped.is_set)
    payload = None if samples is None else planes_from_samples(samples, segment.sample_bytes).tobytes()
    if payload is not None and len(body) <= _SILENT_BYTES:
      self._last_decoded = body, segment, payload
    return payload

  def _decode_tokens(self, bodies: Sequence[bytes], shapes: Sequence[PayloadShape]) -> list[bytes | None]:
    if self._of_tokens is None:
      return [None] * len(bodies)
    lengths = np.array([shape.num_bytes // shape.sample_bytes for shape in shapes])
    sample_bytes, places = shapes[0].sample_bytes, self._of_tokens.places
    work = Decoding(
      decoder=rans.Decoder(bodies),
      counts=byte_counts.ByteCounts(len(bodies), max(0, sample_bytes - places)),
      tokens=np.zeros((len(bodies), lengths[0], sample_bytes), np.uint8),
      lengths=lengths,
    )
    lanes = self._of_tokens.lanes(len(bodies))
    for begin in range(0, lengths[0], _SAMPLES_PER_LOOK):
      if self._stopped.is_set():
        break
      lanes.decode(work, begin, min(begin + _SAMPLES_PER_LOOK, lengths[0]))
    return [
      lane[:length].T.tobytes() if sound else None
      for lane, length, sound in zip(work.tokens, lengths, work.decoder.sound(), strict=True)
    ]


def _intervals(predictor: Predictor, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Intervals, uint32 [N, S, 2], of samples [N, S] each, all of the same S."""
  sample_bytes, places = rows[0].shape[1], predictor.places
  known = min(sample_bytes, places)
  lengths = np.array([len(row) * places for row in rows])
  tokens = np.zeros((len(rows), max(len(row) for row in rows), places), np.uint8)
  for lane, row in zip(tokens, rows, strict=True):
    lane[: len(row), :known] = row[:, :known]
  found = predictor.intervals(tokens.reshape(len(rows), -1), lengths).reshape(*tokens.shape, 2)
  return [
    np.concatenate([intervals[: len(row), :known], byte_counts.intervals(row[:, known:])], axis=1)
    for row, intervals in zip(rows, found, strict=True)
  ]


def _smallest(data: bytes, body: bytes | None) -> Chunk:
  methods = {STORED: data, LZMA: lzma.compress(data, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)}
  if body is not None:
    methods[MODEL] = body
  method = min(methods, key=lambda key: (len(methods[key]), key))
  return _chunk(method, data, methods[method])


def _smallest_segment(data: bytes, body: bytes, stopped: Callable[[], bool]) -> Chunk:
  method, smallest = (MODEL, body) if len(body) < len(data) else (STORED, data)
  if packed := _lzma_below(data, len(smallest), stopped):
    method, smallest = LZMA, packed
  return _chunk(method, data, smallest)


def _chunk(method: int, data: bytes, body: bytes) -> Chunk:
  return Chunk(method=method, crc32=zlib.crc32(data), body=body)


def _sample_bits(intervals: np.ndarray) -> np.ndarray:
  """Code lengths of samples, float64 [N], from their symbols' intervals [N, S, 2]."""
  return (rans.PRECISION_BITS - np.log2(intervals[..., 1])).sum(axis=1)


def _lzma_below(data: bytes, limit: int, stopped: Callable[[], bool]) -> bytes | None:
  """Data through LZMA if that makes fewer bytes than the limit; None if not, or if a quick try is not near it."""
  if limit <= len(data) // _MOST_LZMA_RATIO:
    return None
  if _lzma(data, _QUICK_LZMA_FILTERS, math.ceil(_NEAR * limit), stopped) is None:
    return None
  return _lzma(data, _LZMA_FILTERS, limit, stopped)


def _lzma(data: bytes, filters: list[dict], limit: int, stopped: Callable[[], bool]) -> bytes | None:
  """None as soon as it is known not to be below the limit, or somebody wants it to stop."""
  compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
  packed = bytearray()
  for start in range(0, len(data), _LZMA_BYTES_PER_LOOK):
    packed += compressor.compress(data[start : start + _LZMA_BYTES_PER_LOOK])
    if stopped() or len(packed) >= limit:
      return None
  packed += compressor.flush()
  return bytes(packed) if len(packed) < limit else None


def _plain(chunk: Chunk, shape: PayloadShape) -> bytes | None:
  """The payload of a chunk without a model; never more bytes than its shape says."""
  if chunk.method == STORED:
    return chunk.body if len(chunk.body) == shape.num_bytes else None
  decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
  try:
    data = decompressor.decompress(chunk.body, max_length=shape.num_bytes)
    # The end mark may still be unread; nothing may come out any more, nor follow.
    rest = b'' if decompressor.eof else decompressor.decompress(b'', max_length=1)
  except (lzma.LZMAError, EOFError):
    return None
  sound = len(data) == shape.num_bytes and not rest and decompressor.eof and not decompressor.unused_data
  return data if sound else None


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
  for start in range(0, len(items), max(1, size)):
    yield items[start : start + size]
