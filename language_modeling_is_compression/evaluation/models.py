"""Our own models as compressors: the codec on whole files, its coder on chunks."""

import filecmp
import itertools
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from language_modeling_is_compression import __version__, codec
from language_modeling_is_compression.audio.tokens import planes_from_frames
from language_modeling_is_compression.chunk_coder import ChunkCoder, Payload, PayloadShape
from language_modeling_is_compression.coding.rans import PRECISION_BITS
from language_modeling_is_compression.container import CHUNK_OVERHEAD_BYTES, Container
from language_modeling_is_compression.errors import BaselineError
from language_modeling_is_compression.evaluation.compressors import Outcome, Pcm
from language_modeling_is_compression.evaluation.measurements import CompressorInfo, Span
from language_modeling_is_compression.files import scratch_folder
from language_modeling_is_compression.inference.loading import DEFAULT, load_predictor, model_path
from language_modeling_is_compression.inference.predictor import SegmentPredictor, SegmentShape
from language_modeling_is_compression.levels import DEFAULT_LEVEL, LEVELS

_LEVEL = LEVELS[DEFAULT_LEVEL]


class ModelCompressor:
  """A model behind the `Compressor` protocol.

  path: a model file, or the name of a packaged one. One of segments is measured at the default level.
  Raises CheckpointError, ModelMismatchError, ConfigError as `load_predictor`.
  """

  def __init__(self, name: str, path: str, *, device: str, lanes: int):
    self._predictor = load_predictor(path, device)
    self._lanes = lanes
    with model_path(path) as found:
      size = os.path.getsize(found)
    self.info = CompressorInfo(
      name=name,
      is_model=True,
      version=f'{__version__}, model {self._predictor.identity.hex()[:16]}',
      settings=f'lmic compress -m {path}' if path != DEFAULT else 'lmic compress',
      parameters_bytes=size,
    )
    # What is compiled when it is first needed shall not be timed.
    sample_bytes = (self.sample_bits or 16) // 8
    self.chunked(Pcm(chunks=[bytes(8 * sample_bytes)], sample_bytes=sample_bytes, sample_rate_hz=1))

  @property
  def sample_bits(self) -> int | None:
    """Bits of the samples that the model was trained on; None for one that is for all."""
    return None if isinstance(self._predictor, SegmentPredictor) else 8 * self._predictor.places

  def whole(self, wav: Path) -> Outcome:
    """A file to a .lmic file and back."""
    bits: list[float] = []
    with (
      scratch_folder() as folder,
      ChunkCoder(self._predictor, self._lanes, lambda intervals: bits.append(_bits(intervals).sum())) as coder,
    ):
      compressed, restored = folder / 'compressed', folder / 'restored'
      begin = time.perf_counter()
      with open(compressed, 'wb') as target:
        _, compressed_bytes = codec.compress(wav, target, coder, level=_LEVEL)
      encoded = time.perf_counter()
      with open(compressed, 'rb') as source, open(restored, 'wb') as target:
        codec.decompress(Container(source, compressed_bytes), target, coder)
      decoded = time.perf_counter()
      if not filecmp.cmp(wav, restored, shallow=False):
        raise BaselineError(f'{self.info.name}: what it decodes is not what it encoded')
    return Outcome(
      compressed_bytes=compressed_bytes,
      encode_seconds=encoded - begin,
      decode_seconds=decoded - encoded,
      code_length_bits=math.fsum(bits),
    )

  def chunked(self, pcm: Pcm) -> Outcome:
    """Chunks of a .lmic file, each with its record and its entry in the table, without the file's header and footer."""
    payloads = [self._payload(chunk, pcm.sample_bytes, pcm.sample_rate_hz) for chunk in pcm.chunks]
    shapes = [
      PayloadShape(num_bytes=len(payload.data), sample_bytes=payload.sample_bytes, segment=payload.segment)
      for payload in payloads
    ]
    by_chunk: list[np.ndarray] = []
    with ChunkCoder(self._predictor, self._lanes, lambda intervals: by_chunk.append(_bits(intervals))) as coder:
      begin = time.perf_counter()
      chunks = coder.encode(payloads)
      encoded = time.perf_counter()
      restored = coder.decode(chunks, shapes)
      decoded = time.perf_counter()
    if restored != [payload.data for payload in payloads]:
      raise BaselineError(f'{self.info.name}: what it decodes is not what it encoded')
    return Outcome(
      compressed_bytes=sum(len(chunk.body) + CHUNK_OVERHEAD_BYTES for chunk in chunks),
      encode_seconds=encoded - begin,
      decode_seconds=decoded - encoded,
      header_bytes=CHUNK_OVERHEAD_BYTES,
      code_length_bits=math.fsum(bits.sum() for bits in by_chunk),
      by_position=_spans(by_chunk),
    )

  def sample_bits_of(self, chunk: bytes, sample_bytes: int, sample_rate_hz: int) -> np.ndarray:
    """What each sample of a chunk costs, in bits: float64 [N]."""
    found: list[np.ndarray] = []
    with ChunkCoder(self._predictor, self._lanes, lambda intervals: found.append(_bits(intervals))) as coder:
      coder.encode([self._payload(chunk, sample_bytes, sample_rate_hz)])
    return found[0]

  def _payload(self, chunk: bytes, sample_bytes: int, sample_rate_hz: int) -> Payload:
    frames = np.frombuffer(chunk, np.uint8).reshape(-1, 1, sample_bytes)
    data = planes_from_frames(frames, signed=sample_bytes > 1).tobytes()
    if not isinstance(self._predictor, SegmentPredictor):
      return Payload(data=data, sample_bytes=sample_bytes)
    segment = SegmentShape(
      num_frames=len(frames),
      num_channels=1,
      sample_bytes=sample_bytes,
      sample_rate_hz=sample_rate_hz,
      effort=_LEVEL.effort,
    )
    return Payload(data=data, segment=segment)


def _bits(intervals: np.ndarray) -> np.ndarray:
  """Code lengths of samples, float64 [N], from their bytes' intervals [N, S, 2]."""
  return (PRECISION_BITS - np.log2(intervals[..., 1])).sum(axis=1)


def _spans(by_chunk: Sequence[np.ndarray]) -> tuple[Span, ...]:
  """Sums over all chunks at positions 0, 1, 2 to 3, 4 to 7 and so on."""
  longest = max((len(bits) for bits in by_chunk), default=0)
  edges = [0, *(1 << power for power in range(longest.bit_length()) if 1 << power < longest), longest]
  return tuple(
    Span(
      begin=begin,
      num_samples=sum(len(bits[begin:end]) for bits in by_chunk),
      bits=math.fsum(value for bits in by_chunk for value in bits[begin:end]),
    )
    for begin, end in itertools.pairwise(edges)
    if end > begin
  )
