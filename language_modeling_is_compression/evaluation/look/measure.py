"""Measures a sound under one model: codes it as `lmic compress` does, in the same chunks, and keeps sums alone."""

import hashlib
import io
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import numpy as np

from language_modeling_is_compression.codec.chunk_coder import smallest_chunk
from language_modeling_is_compression.codec.plan import plan_file
from language_modeling_is_compression.codec.reading import read_payloads
from language_modeling_is_compression.errors import InputError
from language_modeling_is_compression.evaluation.look.by_byte import ByteObserver
from language_modeling_is_compression.evaluation.look.findings import Findings, PointSums
from language_modeling_is_compression.evaluation.look.hybrid import HybridObserver
from language_modeling_is_compression.evaluation.look.sources import Sound
from language_modeling_is_compression.format.container import MODEL, Chunk, ContainerWriter
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.model_coder import Encoded, ModelCoder
from language_modeling_is_compression.format.payloads import Payload
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.loading import load_coder, model_path
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.cores import usable_cores

_MAX_BYTES_AT_ONCE = 1 << 25  # Of payloads that are handed to the threads together.

Progress = Callable[[int], object]  # Told how many more bytes are done.


class _Observer(Protocol):
  """Codes payloads, in any thread, and sums up what came of them, in one."""

  quantiles: np.ndarray

  def code(self, payload: Payload, first_frame: int, cancellation: Cancellation) -> tuple[Encoded, np.ndarray, Any]: ...

  def add(self, first_frame: int, found: Any) -> None: ...


class _Coded(NamedTuple):
  """A chunk as the file has it; of sound also the model's bytes, the samples' bits [N, C], and what is to be added."""

  chunk: Chunk
  model_bytes: int
  bits: np.ndarray | None
  found: Any


class _Totals(NamedTuple):
  model_bytes: int
  file_bytes: int
  fallback_chunks: int


def measure(
  sound: Sound,
  model: str,
  name: str,
  *,
  rank: int,
  threads: int | None,
  progress: Progress,
  cancellation: Cancellation,
) -> Findings:
  """Findings about a sound. model: a packaged one's name or a file. name, rank: see `Findings`.

  Raises CheckpointError, ModelMismatchError, InputError for a sound or a model that there are no pictures of,
  AudioFormatError if the file changes meanwhile, CancelledError.
  """
  coder = load_coder(model, 'cpu')
  with open(sound.info.path, 'rb') as source:
    header = plan_file(source, sound.name, coder, sound.segments)
    if not header.pcm.num_channels:
      raise InputError(f'{sound.name}: expected sound that models code, got too many channels for its length')
    points = PointSums(num_frames=header.num_frames, num_channels=header.pcm.num_channels)
    observer = _observer(coder, model, header, points)
    totals = _code(source, sound.name, header, observer, points, threads or usable_cores(), progress, cancellation)
  return Findings(
    model=name,
    rank=rank,
    bits=points.mean_bits,
    total_bits=float(points.bits.sum()),
    num_samples=header.num_frames * header.pcm.num_channels,
    model_bytes=totals.model_bytes,
    file_bytes=totals.file_bytes,
    original_bytes=header.original_bytes,
    chunks=header.num_audio_chunks,
    fallback_chunks=totals.fallback_chunks,
    quantiles=observer.quantiles,
    residuals=observer.residuals(),
    hybrid=observer.findings() if isinstance(observer, HybridObserver) else None,
    by_byte=observer.findings(sound.info) if isinstance(observer, ByteObserver) else None,
  )


def _observer(coder: ModelCoder, model: str, header: Header, points: PointSums) -> HybridObserver | ByteObserver:
  if isinstance(coder, HybridCoder | EnsembleCoder):
    return HybridObserver(coder, points, header.pcm.sample_rate_hz)
  with model_path(model) as path:
    loaded = load_model(path)  # In floats.
  if not isinstance(loaded, ByteModel) or not isinstance(coder, ByteCoder):
    raise InputError(f'-m {model}: expected a hybrid or a byte model, got one of family {loaded.spec.family}')
  assert isinstance(coder.predictor, CpuPredictor), 'it was loaded for the CPU'
  return ByteObserver(loaded, coder.predictor, min(header.chunk_frames, header.num_frames), header.pcm.sample_bytes)


def _code(
  source: BinaryIO,
  name: str,
  header: Header,
  observer: _Observer,
  points: PointSums,
  threads: int,
  progress: Progress,
  cancellation: Cancellation,
) -> _Totals:
  """Codes a file by as many threads, a few chunks at a time."""
  stop = Cancellation(cancellation)
  digest = hashlib.sha256()
  writer = ContainerWriter(cast(BinaryIO, _Nowhere()), header)
  model_bytes = fallback_chunks = 0

  def first_frame(index: int) -> int:
    return (header.span_of(index) or 0) * header.chunk_frames

  def coded(index: int, payload: Payload) -> _Coded:
    data = payload.to_bytes()
    if header.span_of(index) is None:
      return _Coded(smallest_chunk(payload, data, None, stop), 0, None, None)
    encoded, bits, found = observer.code(payload, first_frame(index), stop)
    return _Coded(smallest_chunk(payload, data, encoded.body, stop), len(encoded.body), bits, found)

  at_a_time = max(threads, min(8 * threads, _MAX_BYTES_AT_ONCE // (header.chunk_frames * header.pcm.frame_bytes)))
  payloads = enumerate(read_payloads(source, name, header, digest.update))
  with ThreadPoolExecutor(threads) as pool:
    try:
      while batch := list(itertools.islice(payloads, at_a_time)):
        for (index, payload), done in zip(batch, pool.map(coded, *zip(*batch, strict=True)), strict=True):
          cancellation.check()
          writer.add(done.chunk)
          progress(payload.shape.num_bytes)
          if done.bits is not None:
            channel = (index - header.num_head_chunks) % header.chunks_per_span
            points.add(first_frame(index), channel, done.bits)
            observer.add(first_frame(index), done.found)
            model_bytes += done.model_bytes
            fallback_chunks += done.chunk.method != MODEL
    finally:
      stop.cancel()  # Threads whose work nobody waits for any more end soon.
  writer.finish(digest.digest())
  return _Totals(model_bytes, writer.bytes_written, fallback_chunks)


class _Nowhere(io.RawIOBase):
  """Takes what a file would have, of which the length alone counts."""

  def writable(self) -> bool:
    return True

  def write(self, data: Any) -> int:
    return len(data)
