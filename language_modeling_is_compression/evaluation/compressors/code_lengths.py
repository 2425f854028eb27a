"""Models whose tokens code no files: what an ideal coder would reach with them, and nothing else.

Tokens are made as in training, from samples of the file's own resolution: of `--quantization mu-law` the companded
samples, 8 bits each, of `--tokenization sample` with 16 bits whole samples, one of 65,536. So there are no compressed
bytes, and no speeds.

Shapes: B rows, T tokens of a row, N samples, of which a token is one.
"""

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from language_modeling_is_compression.audio.reading import read_frames
from language_modeling_is_compression.data.chunks import tokens_of
from language_modeling_is_compression.errors import BaselineError
from language_modeling_is_compression.evaluation.recordings import Recording, chunk_samples
from language_modeling_is_compression.evaluation.statistics.measurements import CompressorInfo, Span, spans_of
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.system.extras import require_extra
from language_modeling_is_compression.version import __version__

_TOKENS_AT_ONCE = 1 << 15


@dataclass(frozen=True, kw_only=True)
class CodeLength:
  """Code length of one recording. bits: sum over all samples. by_position: of chunks, else ()."""

  bits: float
  by_position: tuple[Span, ...] = ()


class TokenModel:
  """A model in floats, which says code lengths. Both methods raise AudioFormatError, and BaselineError for samples of
  another width than it predicts.

  path: where the model is from. device: 'cpu' or 'gpu'; raises ConfigError if there is no such device.
  """

  def __init__(self, name: str, path: Path, model: ByteModel, *, device: str):
    data = path.read_bytes()
    self._model = model
    self._nats = _compiled(model, device)
    self.info = CompressorInfo(
      name=name,
      is_model=True,
      version=f'{__version__}, model file {hashlib.sha256(data).hexdigest()[:16]}',
      settings=f'code length of the {model.token_kind} tokens under {path}, which codes no files',
      parameters_bytes=len(data),
    )

  @property
  def sample_bits(self) -> int:
    """Bits of the samples that its tokens stand for."""
    return self._model.spec.data.sample_bits

  def whole(self, recording: Recording) -> CodeLength:
    """Every channel alone, in pieces of the chunk size that the model was trained with."""
    self._check_width(recording.sample_bytes)
    limit = min(self._model.spec.data.chunk_size, recording.info.num_frames)
    pieces = (self._tokens(samples, recording) for samples in _pieces(recording, limit))
    return CodeLength(bits=math.fsum(bits.sum() for bits in self._bits(pieces, limit)))

  def chunked(self, recording: Recording, indices: Sequence[int], chunk_bytes: int) -> CodeLength:
    """Some chunks of a recording mixed down to one channel, each by itself."""
    self._check_width(recording.chunk_sample_bytes)
    limit = min(recording.chunk_frames(chunk_bytes), recording.info.num_frames)
    chunks = (self._tokens(chunk_samples(recording, index, chunk_bytes), recording) for index in indices)
    by_chunk = list(self._bits(chunks, limit))
    return CodeLength(bits=math.fsum(bits.sum() for bits in by_chunk), by_position=spans_of(by_chunk))

  def _check_width(self, sample_bytes: int) -> None:
    if 8 * sample_bytes != self.sample_bits:
      raise BaselineError(
        f'{self.info.name}: it predicts samples of {self.sample_bits} bits, and these have {8 * sample_bytes}: '
        f'measure it with --bit_depth {self.sample_bits}'
      )

  def _tokens(self, samples: np.ndarray, recording: Recording) -> np.ndarray:
    return tokens_of(samples, recording.info.resolution_bits, self._model.spec.data)

  def _bits(self, rows: Iterable[np.ndarray], longest: int) -> Iterator[np.ndarray]:
    """Code lengths of each row's tokens, in bits, given those before them: float64 [N]. longest: N at most."""
    # Powers of two, so that few programs are compiled.
    num_tokens = _power_of_two(longest)
    rows = iter(rows)
    while some := list(itertools.islice(rows, max(1, _TOKENS_AT_ONCE // num_tokens))):
      tokens = np.zeros((_power_of_two(len(some)), num_tokens), np.int32)
      for row, known in zip(tokens, some, strict=False):
        row[: len(known)] = known
      nats = self._nats(tokens)
      yield from (lengths[: len(known)] / math.log(2) for lengths, known in zip(nats, some, strict=False))


def _pieces(recording: Recording, frames: int) -> Iterator[np.ndarray]:
  """Every channel in pieces of so many samples: int32 [N]."""
  info = recording.info
  for start in range(0, info.num_frames, frames):
    yield from read_frames(info, start, min(start + frames, info.num_frames)).T


def _power_of_two(least: int) -> int:
  return 1 << (least - 1).bit_length()


def _compiled(model: ByteModel, device: str) -> Any:
  """Tokens, int32 [B, T], to what each costs, in nats: float64 [B, T]."""
  # It takes seconds to import, and most evaluations can do without.
  require_extra('train')
  import jax

  from language_modeling_is_compression.network.transformer import build_transformer
  from language_modeling_is_compression.quantized.xla import gpu
  from language_modeling_is_compression.training.loss import token_code_lengths

  transformer = build_transformer(model.spec.network, model.spec.data)
  where = gpu() if device == 'gpu' else jax.devices('cpu')[0]
  params = jax.device_put(dict(model.params), where)

  @jax.jit
  def lengths(params: Any, tokens: jax.Array) -> jax.Array:
    return token_code_lengths(transformer.apply(params, tokens), tokens)

  return lambda tokens: np.asarray(lengths(params, jax.device_put(tokens, where)), np.float64)
