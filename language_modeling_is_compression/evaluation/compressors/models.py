"""Our own models as compressors: the codec on whole files, its coder on chunks.

The model alone is measured: `lmic compress` stores a chunk as LZMA or as plain bytes where that is smaller, this does
not, but counts how often it would have happened (`Fallback`).
"""

import dataclasses
import filecmp
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import wav_integers
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder, Modelled
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.errors import BaselineError
from language_modeling_is_compression.evaluation.compressors.compressor import CompressionResult, Pcm
from language_modeling_is_compression.evaluation.statistics.measurements import CompressorInfo, Fallback, spans_of
from language_modeling_is_compression.format.container import CHUNK_OVERHEAD_BYTES, MODEL, Container
from language_modeling_is_compression.format.payloads import Payload
from language_modeling_is_compression.quantized.loading import DEFAULT, load_coder, model_path
from language_modeling_is_compression.system.files import scratch_folder
from language_modeling_is_compression.version import __version__

_SEGMENTS = LEVELS[DEFAULT_LEVEL].segments


class ModelCompressor:
  """A model behind the `Compressor` protocol.

  path: a model file, or the name of a packaged one. One of segments is measured at the default level.
  Raises CheckpointError, ModelMismatchError, ConfigError as `load_coder`.
  """

  def __init__(self, name: str, path: str, *, device: str, lanes: int):
    self._coder = load_coder(path, device)
    self._lanes = lanes
    with model_path(path) as found:
      size = os.path.getsize(found)
    self.info = CompressorInfo(
      name=name,
      is_model=True,
      version=f'{__version__}, model {self._coder.identity.hex()[:16]}',
      settings=f'lmic compress -m {path}' if path != DEFAULT else 'lmic compress',
      parameters_bytes=size,
    )
    # Compilation at first use must not be timed.
    sample_bytes = (self.sample_bits or 16) // 8
    self.chunked(Pcm(chunks=[_some_noise(64 * sample_bytes)], sample_bytes=sample_bytes, sample_rate_hz=8000))

  @property
  def sample_bits(self) -> int | None:
    """Bits of the samples that the model was trained on; None for one that is for all."""
    return self._coder.sample_bits

  def whole(self, wav: Path) -> CompressionResult:
    """A file to a .lmic file and back, in which the model codes all sound that it can code.

    The code length of a file that it cannot code, of floats for example, is None.
    """
    modelled: list[Modelled] = []

    def observe(one: Modelled) -> None:
      modelled.append(dataclasses.replace(one, sample_bits=one.sample_bits.sum(keepdims=True)))

    with (
      scratch_folder() as folder,
      ChunkCoder(self._coder, self._lanes, model_only=True, observe=observe) as coder,
    ):
      packed, restored = folder / 'packed', folder / 'restored'
      begin = time.perf_counter()
      with open(wav, 'rb') as source, open(packed, 'wb') as target:
        compressed = file_codec.compress(source, target, coder, segments=_SEGMENTS)
      encoded = time.perf_counter()
      with open(packed, 'rb') as source, open(restored, 'wb') as target:
        file_codec.decompress(Container(source, compressed.num_bytes, bodies_may_expand=True), target, coder)
      decoded = time.perf_counter()
      if not filecmp.cmp(wav, restored, shallow=False):
        raise BaselineError(f'{self.info.name}: what it decodes is not what it encoded')
    info, header = read_pcm_info(wav), compressed.header
    return CompressionResult(
      compressed_bytes=compressed.num_bytes,
      encode_seconds=encoded - begin,
      decode_seconds=decoded - encoded,
      code_length_bits=_total_bits(modelled) if modelled else None,
      fallback=_fallback(
        modelled,
        # A file with too many channels for its length is bytes alone.
        sound_chunks=header.num_audio_chunks or header.num_chunks,
        raw_bytes=info.num_frames * info.frame_bytes,
        compressed_bytes=compressed.num_bytes,
      ),
    )

  def chunked(self, pcm: Pcm) -> CompressionResult:
    """Chunks of a .lmic file, each with its record and its entry in the table, without the file's header and footer."""
    payloads = [self._payload(chunk, pcm.sample_bytes, pcm.sample_rate_hz) for chunk in pcm.chunks]
    shapes = [payload.shape for payload in payloads]
    modelled: list[Modelled] = []
    with ChunkCoder(self._coder, self._lanes, model_only=True, observe=modelled.append) as coder:
      begin = time.perf_counter()
      chunks = coder.encode(payloads)
      encoded = time.perf_counter()
      restored = coder.decode(chunks, shapes)
      decoded = time.perf_counter()
    if any(
      after is None or after.to_bytes() != before.to_bytes() for after, before in zip(restored, payloads, strict=True)
    ):
      raise BaselineError(f'{self.info.name}: what it decodes is not what it encoded')
    compressed_bytes = sum(len(chunk.body) + CHUNK_OVERHEAD_BYTES for chunk in chunks)
    return CompressionResult(
      compressed_bytes=compressed_bytes,
      encode_seconds=encoded - begin,
      decode_seconds=decoded - encoded,
      header_bytes=CHUNK_OVERHEAD_BYTES,
      code_length_bits=_total_bits(modelled),
      by_position=spans_of([one.sample_bits[:, 0] for one in modelled]),
      fallback=_fallback(
        modelled,
        sound_chunks=len(payloads),
        raw_bytes=sum(shape.num_bytes for shape in shapes),
        compressed_bytes=compressed_bytes,
      ),
    )

  def sample_bits_of(self, chunk: bytes, sample_bytes: int, sample_rate_hz: int) -> np.ndarray:
    """Code lengths of a chunk's samples, in bits: float64 [N]."""
    found: list[Modelled] = []
    with ChunkCoder(self._coder, self._lanes, model_only=True, observe=found.append) as coder:
      coder.encode([self._payload(chunk, sample_bytes, sample_rate_hz)])
    return found[0].sample_bits[:, 0]

  def _payload(self, chunk: bytes, sample_bytes: int, sample_rate_hz: int) -> Payload:
    frames = np.frombuffer(chunk, np.uint8).reshape(-1, 1, sample_bytes)
    pcm = wav_integers(sample_bytes=sample_bytes, num_channels=1, sample_rate_hz=sample_rate_hz)
    division = self._coder.division(pcm, len(frames), _SEGMENTS)
    assert division, 'one channel is never too many'
    [payload] = division.layout.split(frames, pcm)
    return payload


def _some_noise(num_bytes: int) -> bytes:
  """Samples that differ: of those that are all the same, a model of segments codes one."""
  return np.random.default_rng(0).bytes(num_bytes)


def _total_bits(modelled: Sequence[Modelled]) -> float:
  return math.fsum(one.sample_bits.sum() for one in modelled)


def _fallback(modelled: Sequence[Modelled], *, sound_chunks: int, raw_bytes: int, compressed_bytes: int) -> Fallback:
  """modelled: what the model coded of so many chunks and bytes of sound, with it alone in so many bytes."""
  kept = [one for one in modelled if one.method == MODEL]
  return Fallback(
    sound_chunks=sound_chunks,
    fallback_chunks=sound_chunks - len(kept),
    fallback_bytes=raw_bytes - sum(one.raw_bytes for one in kept),
    lmic_bytes=compressed_bytes - sum(one.model_bytes - one.kept_bytes for one in modelled),
  )
