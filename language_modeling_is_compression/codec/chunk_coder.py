"""Chunks coder: payloads to chunks and back, by a model or without one, several at a time on all cores."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from language_modeling_is_compression.codec import general
from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.format.container import LZMA, MODEL, STORED, Chunk
from language_modeling_is_compression.format.model_coder import Encoded, ModelCoder
from language_modeling_is_compression.format.payloads import Payload, PayloadShape, Segment
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.cores import usable_cores

_MAX_BATCH_BYTES = 1 << 25  # Payloads that are handed over together.
_SILENT_BYTES = 64  # Largest body of a silent segment of few channels.

Progress = Callable[[int], object]  # Told how many more bytes are done.

_Item = TypeVar('_Item')


@dataclass(frozen=True, kw_only=True)
class Modelled:
  """Code of a payload by the model, beside what the codec writes for it.

  raw_bytes: of the payload. model_bytes: the model's body. method, kept_bytes: of the smallest chunk's body.
  sample_bits: float64 [N, C], what each sample costs under the model; N samples, C channels.
  """

  raw_bytes: int
  model_bytes: int
  method: int
  kept_bytes: int
  sample_bits: np.ndarray


class ChunkCoder:
  """Payloads to chunks and back. Several threads may hand over work at a time.

  model: None stores everything without a model. lanes: chunks that are in work at a time, over all threads.
  threads: None for one on each core. cancellation: ends all work with CancelledError; so does leaving the context.
  model_only: code by the model whatever it can code, even where something else is smaller. Such chunks may be longer
  than what they decode to, so they are for measuring, not for files.
  observe: callback for every payload that the model encodes, called from any thread in any order. Without it nothing is
  computed for it.
  """

  def __init__(
    self,
    model: ModelCoder | None,
    lanes: int = defaults.LANES,
    *,
    threads: int | None = None,
    cancellation: Cancellation | None = None,
    model_only: bool = False,
    observe: Callable[[Modelled], object] | None = None,
  ):
    self.model = model
    self.lanes = lanes
    self._model_only = model_only
    self._observe = observe
    self._cancellation = Cancellation(cancellation)
    # One segment of hours of silence equals the next: the last one of few bytes is kept, in both directions.
    self._last_encoded: tuple[PayloadShape, bytes, Chunk] | None = None
    self._last_decoded: tuple[PayloadShape, bytes, Payload] | None = None
    self._batch_size = model.encode_batch_size(lanes) if model else 1
    # A model that takes many payloads at a time keeps its device busy by itself.
    self._num_threads = 1 if self._batch_size > 1 else max(1, min(lanes, threads or usable_cores()))
    self._pool = ThreadPoolExecutor(self._num_threads)

  def __enter__(self) -> 'ChunkCoder':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def close(self) -> None:
    """Ends its threads, and all work that still runs."""
    self._cancellation.cancel()
    self._pool.shutdown(cancel_futures=True)

  def payloads_at_a_time(self, payload_bytes: int) -> int:
    """Number of payloads to hand over together: no more than fit into some memory, but work for every thread."""
    return max(self._num_threads, min(self.lanes, _MAX_BATCH_BYTES // payload_bytes))

  def encode(self, payloads: Sequence[Payload], progress: Progress = lambda done: None) -> list[Chunk]:
    """The smallest chunk for each payload: by the model, by LZMA, or as it is; see also `model_only`."""
    encoded: list[Chunk] = []
    for chunks in self._pool.map(self._encode_batch, _batches(payloads, self._batch_size)):
      self._cancellation.check()
      progress(sum(payload.shape.num_bytes for payload in payloads[len(encoded) : len(encoded) + len(chunks)]))
      encoded += chunks
    return encoded

  def decode(
    self, chunks: Sequence[Chunk], shapes: Sequence[PayloadShape], progress: Progress = lambda done: None
  ) -> list[Payload | None]:
    """The payloads of chunks; None for one that cannot be what an encoder wrote."""
    decoded: list[Payload | None] = [None] * len(chunks)
    modelled = [index for index, chunk in enumerate(chunks) if chunk.method == MODEL]
    batches = [[index] for index, chunk in enumerate(chunks) if chunk.method != MODEL]
    if self.model:
      some = self.model.decode_batches([shapes[index] for index in modelled], self.lanes, self._num_threads)
      batches = [[modelled[index] for index in batch] for batch in some] + batches

    def decode_batch(batch: Sequence[int]) -> list[Payload | None]:
      return self._decode_batch([chunks[index] for index in batch], [shapes[index] for index in batch])

    for batch, payloads in zip(batches, self._pool.map(decode_batch, batches), strict=True):
      self._cancellation.check()
      progress(sum(shapes[index].num_bytes for index in batch))
      for index, payload in zip(batch, payloads, strict=True):
        decoded[index] = payload
    return decoded

  def _encode_batch(self, payloads: Sequence[Payload]) -> list[Chunk]:
    data = [payload.to_bytes() for payload in payloads]
    last = self._last_encoded
    if last and len(payloads) == 1 and not self._observe and (payloads[0].shape, data[0]) == last[:2]:
      return [last[2]]
    none: list[Encoded | None] = [None] * len(payloads)
    encoded = self.model.encode(payloads, self._cancellation) if self.model else none
    chunks = [self._chunk(*each) for each in zip(payloads, data, encoded, strict=True)]
    if len(chunks) == 1 and len(chunks[0].body) <= _SILENT_BYTES:
      self._last_encoded = payloads[0].shape, data[0], chunks[0]
    return chunks

  def _chunk(self, payload: Payload, data: bytes, encoded: Encoded | None) -> Chunk:
    if encoded is None:
      return smallest_chunk(payload, data, None, self._cancellation)
    modelled = _with_checksum(MODEL, data, encoded.body)
    if self._model_only and not self._observe:
      return modelled
    kept = smallest_chunk(payload, data, encoded.body, self._cancellation)
    if self._observe:
      self._observe(
        Modelled(
          raw_bytes=len(data),
          model_bytes=len(encoded.body),
          method=kept.method,
          kept_bytes=len(kept.body),
          sample_bits=encoded.sample_bits(),
        )
      )
    return modelled if self._model_only else kept

  def _decode_batch(self, chunks: Sequence[Chunk], shapes: Sequence[PayloadShape]) -> list[Payload | None]:
    """Decodes chunks by the model, or one without it; None for one that is not sound."""
    if chunks[0].method == MODEL:
      return self._decode_modelled(chunks, shapes)
    [chunk], [shape] = chunks, shapes
    data = general.decompress(chunk.method, chunk.body, shape.num_bytes)
    return [shape.parse(data) if data is not None and zlib.crc32(data) == chunk.crc32 else None]

  def _decode_modelled(self, chunks: Sequence[Chunk], shapes: Sequence[PayloadShape]) -> list[Payload | None]:
    if self.model is None:
      return [None] * len(chunks)
    last = self._last_decoded
    if last and len(chunks) == 1 and (shapes[0], chunks[0].body) == last[:2]:
      payloads: list[Payload | None] = [last[2]]
    else:
      payloads = self.model.decode([chunk.body for chunk in chunks], shapes, self._cancellation)
    for index, (chunk, payload) in enumerate(zip(chunks, payloads, strict=True)):
      if payload is None or zlib.crc32(payload.to_bytes()) != chunk.crc32:
        payloads[index] = None
      elif len(chunks) == 1 and len(chunk.body) <= _SILENT_BYTES:
        self._last_decoded = shapes[0], chunk.body, payload
    return payloads


def smallest_chunk(payload: Payload, data: bytes, body: bytes | None, cancellation: Cancellation) -> Chunk:
  """The chunk that files have for a payload. data: its bytes. body: the model's, or None. Raises CancelledError."""
  if body is not None and isinstance(payload, Segment):
    return _smallest_segment(data, body, cancellation)
  return _smallest(data, body)


def _smallest(data: bytes, body: bytes | None) -> Chunk:
  methods = {STORED: data, LZMA: general.compress(data)}
  if body is not None:
    methods[MODEL] = body
  method = min(methods, key=lambda key: (len(methods[key]), key))
  return _with_checksum(method, data, methods[method])


def _smallest_segment(data: bytes, body: bytes, cancellation: Cancellation) -> Chunk:
  method, smallest = (MODEL, body) if len(body) < len(data) else (STORED, data)
  if packed := general.compress_below(data, len(smallest), cancellation):
    method, smallest = LZMA, packed
  return _with_checksum(method, data, smallest)


def _with_checksum(method: int, data: bytes, body: bytes) -> Chunk:
  return Chunk(method=method, crc32=zlib.crc32(data), body=body)


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
  for start in range(0, len(items), size):
    yield items[start : start + size]
