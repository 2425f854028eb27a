"""Generator of byte models: lanes that draw tokens in step, each its own sequence.

Attention reaches back a fixed number of tokens in each layer, so the window slides along as tokens come, at the same
cost for each, however many they are; and of a seed only those tokens count that the next one can depend on.

Shapes: S sequences, L lanes, N samples, P tokens of a sample, C channels.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.data import tokens
from language_modeling_is_compression.data.chunks import tokens_of
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.generation.generator import Request, Wanted, check_channels
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.quantized.cpu import CpuLanes, CpuPredictor
from language_modeling_is_compression.quantized.quantize import quantize_byte_model
from language_modeling_is_compression.system.cancellation import Cancellation

TAKES_ALL_RATES = False

_SAMPLES_AT_A_TIME = 256  # Between two looks at the cancellation.
_DEFAULT_CHANNELS = 2  # Of models that were trained on more than one.
_MU_LAW_BYTES = 2  # Of the samples that mu-law tokens stand for.


class _Group(NamedTuple):
  """Lanes of one thread. sequences: int64 [L], their numbers."""

  lanes: CpuLanes
  sequences: np.ndarray


def output_shape(model: ByteModel, wanted: Wanted, seed: PcmFormat | None) -> tuple[int, int]:
  """Bytes of a sample, and channels; a seed of several may be mixed down.

  Raises ConfigError for what the model cannot generate.
  """
  data = model.spec.data
  sample_bytes = _MU_LAW_BYTES if data.quantization == 'mu-law' else data.sample_bits // 8
  if wanted.sample_bytes not in (None, sample_bytes):
    raise ConfigError(f'the model generates {8 * sample_bytes} bits, not {8 * (wanted.sample_bytes or 0)}')
  if data.channels == 'mono':
    if wanted.num_channels not in (None, 1):
      raise ConfigError(f'the model generates one channel, not {wanted.num_channels}')
    return sample_bytes, 1
  num_channels = wanted.num_channels or (seed.num_channels if seed else _DEFAULT_CHANNELS)
  check_channels(seed, num_channels)
  return sample_bytes, num_channels


def make_generator(model: ByteModel, request: Request) -> 'ByteGenerator':
  """Generator of a model. Raises CheckpointError, ConfigError for a seed that is shorter than a block of channels."""
  return ByteGenerator(model, request)


class ByteGenerator:
  """The `Generator` of a byte model."""

  def __init__(self, model: ByteModel, request: Request):
    data = model.spec.data
    self._data = data
    self._sampler = request.sampler
    self._num_channels = request.pcm.num_channels
    seed = _stream(request.seed, data)
    known = tokens_of(seed, request.seed_bits, data).reshape(-1, data.tokens_per_sample)
    reach = -(-receptive_field(model.spec.network) // data.tokens_per_sample)
    self._num_ignored = max(0, len(known) - reach)
    self._seed = known[self._num_ignored :]
    predictor = CpuPredictor(quantize_byte_model(model))
    parts = np.array_split(np.arange(request.num_sequences), min(request.num_threads, request.num_sequences))
    self._groups = [_Group(predictor.lanes(len(part)), part) for part in parts]
    self._threads = ThreadPoolExecutor(len(self._groups))
    self._num_drawn = 0  # Tokens of each sequence.
    # Frames that are drawn and not taken yet: of several channels whole blocks are drawn.
    self._left = np.zeros((request.num_sequences, 0, self._num_channels), np.int32)

  def follow_seed(self, progress: Callable[[int], object], cancellation: Cancellation) -> None:
    progress(self._num_ignored // self._num_channels)
    for start in range(0, len(self._seed), _SAMPLES_AT_A_TIME):
      cancellation.check()
      part = self._seed[start : start + _SAMPLES_AT_A_TIME]
      list(self._threads.map(lambda group, part=part: group.lanes.follow(_repeated(part, group)), self._groups))
      progress(len(part) // self._num_channels)

  def draw(self, num_frames: int, cancellation: Cancellation) -> np.ndarray:
    wanted = num_frames - self._left.shape[1]
    if wanted > 0:
      span = 1 if self._num_channels == 1 else self._data.stereo_blocking_n
      frames = self._drawn(-(-wanted // span) * span, cancellation)
      self._left = np.concatenate([self._left, frames], axis=1)
    found, self._left = self._left[:, :num_frames], self._left[:, num_frames:]
    return found

  def close(self) -> None:
    self._threads.shutdown()

  def _drawn(self, num_frames: int, cancellation: Cancellation) -> np.ndarray:
    """Draws frames, of several channels whole blocks: int32 [S, N, C]."""
    num_samples = num_frames * self._num_channels
    parts = []
    for start in range(0, num_samples, _SAMPLES_AT_A_TIME):
      cancellation.check()
      count = min(_SAMPLES_AT_A_TIME, num_samples - start)
      parts.append(np.concatenate(list(self._threads.map(lambda group, n=count: self._tokens(group, n), self._groups))))
      self._num_drawn += count * self._data.tokens_per_sample
    samples = _samples(np.concatenate(parts, axis=1), self._data)
    if self._num_channels == 1:
      return samples[:, :, None]
    blocks = [tokens.frames_of_blocks(each, self._num_channels, self._data.stereo_blocking_n) for each in samples]
    return np.stack(blocks)

  def _tokens(self, group: _Group, num_samples: int) -> np.ndarray:
    """Draws tokens, [L, N, P], of the lanes of a thread."""
    drawn = np.zeros((len(group.sequences), num_samples, self._data.tokens_per_sample), np.uint16)
    group.lanes.sample(drawn, self._sampler, group.sequences, self._num_drawn)
    return drawn


def receptive_field(network: ModelConfig) -> int:
  """Number of tokens that the next one depends on at most."""
  return network.num_layers * (network.attention_window - 1) + 1


def _stream(frames: np.ndarray, data: DataConfig) -> np.ndarray:
  """A seed's samples in the order that the model reads them, int32 [N].

  Of several channels the first frames are left out, so that whole blocks remain, and the model goes on with the last.
  """
  if data.channels == 'mono':
    return tokens.mix_down(frames)
  block = data.stereo_blocking_n
  if 0 < len(frames) < block:
    raise ConfigError(
      f'seed audio: the model reads channels in blocks of {block} frames, got {len(frames)}: give it a longer seed'
    )
  return tokens.interleave_blocks(frames[len(frames) % block :], block)


def _repeated(seed: np.ndarray, group: _Group) -> np.ndarray:
  """The same tokens [N, P] for all lanes of a group: [L, N, P]."""
  return np.repeat(seed[None], len(group.sequences), axis=0)


def _samples(drawn: np.ndarray, data: DataConfig) -> np.ndarray:
  """Signed samples, int32 [S, N], of tokens [S, N, P]: the inverse of `tokens_of`."""
  if data.quantization == 'mu-law':
    return tokens.mu_law_decode(drawn[:, :, 0])
  half = 1 << (data.sample_bits - 1)
  if data.tokens_per_sample == 1:
    return drawn[:, :, 0].astype(np.int32) - half
  unsigned = tokens.samples_from_bytes(drawn.reshape(-1), data.tokens_per_sample)
  return unsigned.reshape(drawn.shape[:2]).astype(np.int32) - half
