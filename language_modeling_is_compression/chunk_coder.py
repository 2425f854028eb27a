"""Chunks of a file, coded and decoded through a predictor, several at a time.

Shapes: N samples of a chunk, S bytes of a sample, K of them known to the predictor, T = N * P its tokens, P places,
L lanes.
"""

import itertools
import lzma
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from language_modeling_is_compression.coding import adaptive, rans
from language_modeling_is_compression.container import LZMA, MODEL, STORED, Chunk
from language_modeling_is_compression.inference.predictor import Decoding, Predictor

DEFAULT_LANES = 16

# A decoder takes 4 MiB for it, whatever a file says.
_LZMA_FILTERS = [{'id': lzma.FILTER_LZMA2, 'preset': 9 | lzma.PRESET_EXTREME, 'dict_size': 1 << 22}]
_SAMPLES_PER_LOOK = 256  # Between two looks whether somebody wants the work to stop.

_Item = TypeVar('_Item')


@dataclass(frozen=True, kw_only=True)
class Payload:
  """What a chunk holds: plain bytes, or one channel of a span.

  data: the bytes; of a channel, the first bytes of all samples, then the second ones, and so on, in the tokens' order.
  sample_bytes: S, or 0 for plain bytes and samples that no model predicts.
  """

  data: bytes
  sample_bytes: int = 0

  @property
  def tokens(self) -> np.ndarray:
    """uint8 [N, S], samples in offset binary, high byte first."""
    return np.frombuffer(self.data, np.uint8).reshape(self.sample_bytes, -1).T


@dataclass(frozen=True, kw_only=True)
class PayloadShape:
  """What is known of a payload before it is decoded."""

  num_bytes: int
  sample_bytes: int


class ChunkCoder:
  """Payloads to chunks and back.

  predictor: None stores everything without a model. lanes: chunks that are in work at a time, over all cores.
  watch: is given the intervals, uint32 [N, S, 2], of every payload that the model encodes, by any thread in any order.
  """

  def __init__(
    self,
    predictor: Predictor | None,
    lanes: int = DEFAULT_LANES,
    watch: Callable[[np.ndarray], object] = lambda intervals: None,
  ):
    self.predictor = predictor
    self.lanes = lanes
    self._watch = watch
    self._stopped = threading.Event()
    self._rows_together = predictor is not None and predictor.rows_together
    self._num_workers = 1 if self._rows_together else max(1, min(lanes, len(os.sched_getaffinity(0))))
    self._pool = ThreadPoolExecutor(self._num_workers)

  def __enter__(self) -> 'ChunkCoder':
    return self

  def __exit__(self, *_: object) -> None:
    self._stopped.set()
    self._pool.shutdown(cancel_futures=True)

  def encode(self, payloads: Sequence[Payload]) -> list[Chunk]:
    """The smallest chunk for each payload: by the model, by LZMA, or as it is."""
    group = self.lanes if self._rows_together else 1
    return list(itertools.chain.from_iterable(self._pool.map(self._encode_group, _batches(payloads, group))))

  def decode(self, chunks: Sequence[Chunk], shapes: Sequence[PayloadShape]) -> list[bytes | None]:
    """The payloads of chunks; None for one that cannot be what an encoder wrote."""
    decoded: list[bytes | None] = [None] * len(chunks)
    by_model = [index for index, chunk in enumerate(chunks) if chunk.method == MODEL and shapes[index].sample_bytes]
    # Long ones first: a lane that has come to its end drops out, and those in front of it go on.
    by_model.sort(key=lambda index: -shapes[index].num_bytes)
    groups = list(_batches(by_model, -(-min(len(by_model), self.lanes) // self._num_workers)))
    plain = [index for index, chunk in enumerate(chunks) if chunk.method in (STORED, LZMA)]

    def decode_group(group: Sequence[int]) -> list[bytes | None]:
      return self._decode_tokens([chunks[index].body for index in group], [shapes[index] for index in group])

    for group, payloads in zip(groups, self._pool.map(decode_group, groups), strict=True):
      for index, payload in zip(group, payloads, strict=True):
        decoded[index] = payload
    for index, payload in zip(plain, self._pool.map(lambda i: _plain(chunks[i], shapes[i]), plain), strict=True):
      decoded[index] = payload
    return [
      payload if payload is not None and zlib.crc32(payload) == chunk.crc32 else None
      for payload, chunk in zip(decoded, chunks, strict=True)
    ]

  def _encode_group(self, payloads: Sequence[Payload]) -> list[Chunk]:
    bodies: list[bytes | None] = [None] * len(payloads)
    coded = [index for index, payload in enumerate(payloads) if payload.sample_bytes]
    if self.predictor and coded and not self._stopped.is_set():
      rows = _intervals(self.predictor, [payloads[index].tokens for index in coded])
      for index, intervals in zip(coded, rows, strict=True):
        self._watch(intervals)
        bodies[index] = rans.encode(intervals.reshape(-1, 2))
    return [_smallest(payload.data, body) for payload, body in zip(payloads, bodies, strict=True)]

  def _decode_tokens(self, bodies: Sequence[bytes], shapes: Sequence[PayloadShape]) -> list[bytes | None]:
    """Decodes chunks in step, the longest first; None for one whose code is not sound."""
    if self.predictor is None:
      return [None] * len(bodies)
    lengths = np.array([shape.num_bytes // shape.sample_bytes for shape in shapes])
    sample_bytes, places = shapes[0].sample_bytes, self.predictor.places
    work = Decoding(
      decoder=rans.Decoder(bodies),
      counts=adaptive.ByteCounts(len(bodies), max(0, sample_bytes - places)),
      tokens=np.zeros((len(bodies), lengths[0], sample_bytes), np.uint8),
      lengths=lengths,
    )
    lanes = self.predictor.lanes(len(bodies))
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
    np.concatenate([intervals[: len(row), :known], adaptive.intervals(row[:, known:])], axis=1)
    for row, intervals in zip(rows, found, strict=True)
  ]


def _smallest(data: bytes, body: bytes | None) -> Chunk:
  methods = {STORED: data, LZMA: lzma.compress(data, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)}
  if body is not None:
    methods[MODEL] = body
  method = min(methods, key=lambda key: (len(methods[key]), key))
  return Chunk(method=method, crc32=zlib.crc32(data), body=methods[method])


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
