"""Generator of hybrid models: the state that codes samples draws them.

Shapes: S sequences, N frames, C channels.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.config.defaults import MAX_EFFORT
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.format.layout import HybridLayout
from language_modeling_is_compression.format.payloads import SegmentShape
from language_modeling_is_compression.generation.generator import BLOCK_FRAMES, Request, Wanted, check_channels
from language_modeling_is_compression.linear.presets import EFFORT_NUMBERS
from language_modeling_is_compression.network.hybrid_model import HybridModel
from language_modeling_is_compression.prediction.evidence import STARTED_EXPERTS
from language_modeling_is_compression.quantized.drawing import DrawnGroup
from language_modeling_is_compression.quantized.hybrid_coder import load_coder
from language_modeling_is_compression.system.cancellation import Cancellation

TAKES_ALL_RATES = True

_DEFAULT_BYTES = 2
_DEFAULT_EFFORT = 1
_MAX_SAMPLES = 1 << 27  # Of all sequences, each with the seed: 8 bytes of memory are held for each.


def output_shape(model: HybridModel, wanted: Wanted, seed: PcmFormat | None) -> tuple[int, int]:
  """Bytes of a sample, and channels. Raises ConfigError for a seed of other channels."""
  num_channels = wanted.num_channels or (seed.num_channels if seed else 1)
  check_channels(seed, num_channels)
  return wanted.sample_bytes or (seed.sample_bytes if seed else _DEFAULT_BYTES), num_channels


def make_generator(model: HybridModel, request: Request) -> 'HybridGenerator':
  """Generator of a model. Raises CheckpointError, ConfigError for more samples than it can hold."""
  return HybridGenerator(model, request)


class HybridGenerator:
  """The `Generator` of a hybrid model."""

  def __init__(self, model: HybridModel, request: Request):
    pcm, num_frames = request.pcm, len(request.seed) + request.num_frames
    if num_frames * pcm.num_channels * request.num_sequences > _MAX_SAMPLES:
      seconds = _MAX_SAMPLES // (request.num_sequences * pcm.num_channels * pcm.sample_rate_hz)
      raise ConfigError(
        f'a hybrid model generates at most {_MAX_SAMPLES:,} samples at a time, here {seconds:,} s of each sequence '
        'with its seed: ask for less, or name a byte model'
      )
    effort = model.provenance.get('effort')
    effort = effort if isinstance(effort, int) and 0 <= effort <= MAX_EFFORT else _DEFAULT_EFFORT
    shape = SegmentShape(
      num_frames=num_frames,
      num_channels=pcm.num_channels,
      sample_bytes=pcm.sample_bytes,
      sample_rate_hz=pcm.sample_rate_hz,
      # Of predictors that the network was trained on; others are drawn from as they ever were.
      effort=EFFORT_NUMBERS[effort] if model.spec.experts == STARTED_EXPERTS else effort,
    )
    # What is drawn does not change with how files begin.
    self._groups = load_coder(model, 'cpu').of(HybridLayout).drawn_groups(request.known_frames(), shape)
    self._num_seed_frames = len(request.seed)
    self._sampler, self._num_sequences = request.sampler, request.num_sequences
    self._threads = ThreadPoolExecutor(min(request.num_threads, request.num_sequences * len(self._groups)))
    self._sequences: list[list[DrawnGroup]] = []

  def follow_seed(self, progress: Callable[[int], object], cancellation: Cancellation) -> None:
    for start in range(0, self._num_seed_frames, BLOCK_FRAMES):
      cancellation.check()
      count = min(BLOCK_FRAMES, self._num_seed_frames - start)
      list(self._threads.map(lambda group, count=count: group.follow(count), self._groups))
      progress(count)
    self._sequences = [[group.copy() for group in self._groups] for _ in range(self._num_sequences)]

  def draw(self, num_frames: int, cancellation: Cancellation) -> np.ndarray:
    cancellation.check()
    jobs = [(group, sequence) for sequence, groups in enumerate(self._sequences) for group in groups]
    drawn = list(self._threads.map(lambda job: job[0].draw(num_frames, self._sampler, job[1]), jobs))
    size = len(self._groups)
    return np.stack([np.concatenate(drawn[at : at + size], axis=1) for at in range(0, len(drawn), size)])

  def close(self) -> None:
    self._threads.shutdown()
