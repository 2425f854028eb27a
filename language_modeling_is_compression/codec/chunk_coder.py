"""Chunks coder: payloads to chunks and back, by a model or without one, several at a time on all cores."""

import functools
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from language_modeling_is_compression.codec import general
from language_modeling_is_compression.codec.workers import Job, Steps, Workers
from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.format.container import LZMA, MODEL, PRIMED, STORED, Chunk
from language_modeling_is_compression.format.model_coder import Encoded, ModelCoder
from language_modeling_is_compression.format.payloads import (
  Channel,
  ChannelShape,
  Patterns,
  PatternShape,
  Payload,
  PayloadShape,
  Raw,
  RawShape,
  Segment,
  SegmentShape,
)
from language_modeling_is_compression.system.cancellation import Cancellation

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


class Coded(NamedTuple):
  """A payload's chunk, and what it decodes to if that was asked for: None for one that is not sound."""

  chunk: Chunk
  decoded: Payload | None


class ChunkCoder:
  """Payloads to chunks and back. Several threads may hand over work at a time.

  model: None stores everything without a model. lanes: chunks in work at a time, over all threads; None for as many as
  there are threads, and defaults.LANES channels of a byte model together.
  threads: None for one on each core. workers: threads that several coders share, instead of ones of its own.
  cancellation: ends all work with CancelledError; so does leaving the context.
  model_only: code by the model whatever it can code, even where something else is smaller. Such chunks may be longer
  than what they decode to, so they are for measuring, not for files.
  observe: callback for every payload that the model encodes, called from any thread in any order. Without it nothing is
  computed for it.
  """

  def __init__(
    self,
    model: ModelCoder | None,
    lanes: int | None = None,
    *,
    threads: int | None = None,
    workers: Workers | None = None,
    cancellation: Cancellation | None = None,
    model_only: bool = False,
    observe: Callable[[Modelled], object] | None = None,
  ):
    self.model = model
    self._lanes = lanes or defaults.LANES
    self._model_only = model_only
    self._observe = observe
    self._cancellation = Cancellation(cancellation)
    # One segment of hours of silence equals the next: the last one of few bytes is kept, in both directions.
    self._last_encoded: tuple[PayloadShape, bytes, Chunk] | None = None
    self._last_decoded: tuple[PayloadShape, bytes, Payload] | None = None
    self._batch_size = model.encode_batch_size(self._lanes) if model else 1
    # A model that takes many payloads at a time keeps its device busy by itself.
    self._workers = workers or Workers(1 if self._batch_size > 1 else threads, at_most=lanes)
    self._owns_workers = workers is None

  def __enter__(self) -> 'ChunkCoder':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def close(self) -> None:
    """Ends all work that still runs, and its own threads."""
    self._cancellation.cancel()
    if self._owns_workers:
      self._workers.close()

  def encode(self, payloads: Iterable[Payload], progress: Progress = lambda done: None) -> list[Chunk]:
    """The smallest chunk for each payload: by the model, by LZMA, or as it is; see also `model_only`."""
    return [chunk for chunk, _ in self.encoded(payloads, progress, decode=False)]

  def decode(
    self, chunks: Iterable[Chunk], shapes: Iterable[PayloadShape], progress: Progress = lambda done: None
  ) -> list[Payload | None]:
    """The payloads of chunks; None for one that cannot be what an encoder wrote."""
    return list(self.decoded(zip(chunks, shapes, strict=True), progress))

  def encoded(self, payloads: Iterable[Payload], progress: Progress, *, decode: bool) -> Generator[Coded, None, None]:
    """As `encode`, one after the other, of payloads that are taken as they are needed; close it if some are left.

    decode: decode each chunk as soon as it is made, while others are encoded. progress is told of both.
    """
    together = _together(payloads, lambda payload: isinstance(payload, Channel), self._lanes)
    parts = (self._encoding(some, decode) for some in together)
    with closing(self._workers.in_order(parts, progress)) as outcomes:
      for outcome in outcomes:
        yield from outcome

  def decoded(
    self, chunks: Iterable[tuple[Chunk | None, PayloadShape]], progress: Progress
  ) -> Generator[Payload | None, None, None]:
    """As `decode`, one after the other, of chunks that are taken as they are needed; close it if some are left.

    None stands for a chunk that could not be read, of which progress is told too.
    """
    together = _together(chunks, lambda item: isinstance(item[1], ChannelShape), self._lanes)
    parts = (self._decoding([chunk for chunk, _ in some], [shape for _, shape in some]) for some in together)
    with closing(self._workers.in_order(parts, progress)) as outcomes:
      for outcome in outcomes:
        yield from outcome

  def _encoding(self, payloads: list[Payload], decode: bool) -> Steps[list[Coded]]:
    shapes = [payload.shape for payload in payloads]
    batches: dict[int, list[Chunk]] = {}

    def encode(first: int) -> int:
      batch = payloads[first : first + self._batch_size]
      batches[first] = self._encode_batch(batch)
      return sum(payload.shape.num_bytes for payload in batch)

    yield [functools.partial(encode, first) for first in range(0, len(payloads), self._batch_size)]
    payloads.clear()  # From here on their chunks stand for them.
    chunks = [chunk for _, batch in sorted(batches.items()) for chunk in batch]
    decoded: list[Payload | None] = [None] * len(chunks)
    if decode:
      decoded = yield from self._decoding(chunks, shapes)
    return [Coded(*each) for each in zip(chunks, decoded, strict=True)]

  def _decoding(self, chunks: Sequence[Chunk | None], shapes: Sequence[PayloadShape]) -> Steps[list[Payload | None]]:
    decoded: list[Payload | None] = [None] * len(chunks)
    readable = {index: chunk for index, chunk in enumerate(chunks) if chunk is not None}
    modelled = [index for index, chunk in readable.items() if chunk.method == MODEL]
    batches = [[index] for index, chunk in readable.items() if chunk.method != MODEL]
    if self.model:
      some = self.model.decode_batches([shapes[index] for index in modelled], self._lanes, self._workers.num_threads)
      batches = [[modelled[index] for index in batch] for batch in some] + batches

    def decode(batch: Sequence[int]) -> int:
      payloads = self._decode_batch([readable[index] for index in batch], [shapes[index] for index in batch])
      for index, payload in zip(batch, payloads, strict=True):
        decoded[index] = payload
      return _num_bytes(shapes[index] for index in batch)

    lost = _num_bytes(shape for chunk, shape in zip(chunks, shapes, strict=True) if chunk is None)
    jobs: list[Job] = [functools.partial(decode, batch) for batch in batches]
    yield [*jobs, lambda: lost] if lost or not jobs else jobs
    return decoded

  def _encode_batch(self, payloads: Sequence[Payload]) -> list[Chunk]:
    self._cancellation.check()
    data = [payload.to_bytes() for payload in payloads]
    last = self._last_encoded
    if last and len(payloads) == 1 and not self._observe and (payloads[0].shape, data[0]) == last[:2]:
      return [last[2]]
    none: list[Encoded | None] = [None] * len(payloads)
    encoded = self.model.encode(payloads, self._cancellation) if self.model else none
    if not self._observe:  # What would compute code lengths holds on to more memory than all else.
      encoded = [each and Encoded(each.body, _not_asked_for) for each in encoded]
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
    self._cancellation.check()
    if chunks[0].method == MODEL:
      return self._decode_modelled(chunks, shapes)
    [chunk], [shape] = chunks, shapes
    dictionary = shape.dictionary if isinstance(shape, RawShape) else b''
    data = general.decompress(chunk.method, chunk.body, shape.num_bytes, dictionary)
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
  if body is not None and isinstance(payload, Segment | Patterns):
    return _smallest_segment(payload.shape, data, body, cancellation)
  return _smallest(data, body, payload.dictionary if isinstance(payload, Raw) else b'')


def _smallest(data: bytes, body: bytes | None, dictionary: bytes) -> Chunk:
  methods = {STORED: data, LZMA: general.compress(data, None if body is None else len(body))}
  if body is not None:
    methods[MODEL] = body
  if dictionary and len(data) <= general.MAX_PRIMED_BYTES:
    methods[PRIMED] = general.compress_primed(data, dictionary)
  method = min(methods, key=lambda key: (len(methods[key]), key))
  return _with_checksum(method, data, methods[method])


def _smallest_segment(
  shape: SegmentShape | PatternShape, data: bytes, body: bytes, cancellation: Cancellation
) -> Chunk:
  method, smallest = (MODEL, body) if len(body) < len(data) else (STORED, data)
  if packed := general.compress_below(data, len(smallest), cancellation, num_planes=shape.num_planes):
    method, smallest = LZMA, packed
  return _with_checksum(method, data, smallest)


def _not_asked_for() -> np.ndarray:
  raise AssertionError('code lengths are for observers')


def _with_checksum(method: int, data: bytes, body: bytes) -> Chunk:
  return Chunk(method=method, crc32=zlib.crc32(data), body=body)


def _num_bytes(shapes: Iterable[PayloadShape]) -> int:
  return sum(shape.num_bytes for shape in shapes)


def _together(items: Iterable[_Item], is_lane: Callable[[_Item], bool], lanes: int) -> Iterator[list[_Item]]:
  """Items as they are handed over: as many as there are lanes of those that are one, the others by themselves."""
  group: list[_Item] = []
  for item in items:
    if not is_lane(item) and group:
      yield group
      group = []
    group.append(item)
    if not is_lane(item) or len(group) == lanes:
      yield group
      group = []
  if group:
    yield group
