"""Sounds that a model generates while it is trained, for people to hear what it has learnt so far.

Each time they are the same ones: one from silence, the others going on with the beginnings of held-out files, with the
same random numbers. None of it changes the training, and no failure of it ends a run.

Shapes: N frames, C channels.
"""

import concurrent.futures
import contextlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat, raw_from_integers, wav_integers
from language_modeling_is_compression.audio.reading import read_frames
from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.config.families import FAMILIES
from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.entropy.sampling import MAX_SEED, Sampler
from language_modeling_is_compression.errors import CancelledError, ConfigError
from language_modeling_is_compression.format.surroundings import wav_envelope
from language_modeling_is_compression.generation.generator import (
  DEFAULT_RATE_HZ,
  Request,
  Wanted,
  generated_blocks,
  make_generator,
  model_rate_hz,
  output_format,
)
from language_modeling_is_compression.kernels.compilation import require_compiler
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.files import replacing
from language_modeling_is_compression.system.progress import progress_bar
from language_modeling_is_compression.system.text import duration
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.task import Seed, Task
from language_modeling_is_compression.training.tracking import Tracker

_logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.1  # At signals, and at what the other processes know.
_SECONDS_TO_END = 1.0  # For work that was told to stop; a compiler hears nothing.
_NAME_BYTES = 100


class Sound(NamedTuple):
  """A sound to generate. name: part of its file's. seed: what it goes on with. num_frames: without the seed's."""

  name: str
  seed: Seed | None
  pcm: PcmFormat
  num_frames: int

  @property
  def total_frames(self) -> int:
    return self.num_frames + (self.seed.last - self.seed.first if self.seed else 0)

  @property
  def num_bytes(self) -> int:
    """Bytes of its samples."""
    return self.total_frames * self.pcm.num_channels * self.pcm.sample_bytes


def planned_sounds(settings: TrainingSettings, task: Task) -> list[Sound]:
  """What is to be generated each time: none if nothing is asked for. Raises ConfigError if the model generates nothing.

  The files are evenly spread over those that are held out.
  """
  config = settings.generation
  if not config.every:
    return []
  if FAMILIES[settings.family.model].generator is None:
    raise ConfigError(f'generate_every: models of family {settings.family.model} cannot generate sound: leave it out')
  require_compiler()
  model = task.trained_model({}, task.provenance)  # Of any parameters.
  seeds = [seed for seed in task.seeds() if seed.info.sample_rate_hz <= defaults.MAX_RATE_HZ]
  count = min(config.max_sounds - 1, len(seeds))
  spread = [seeds[index * len(seeds) // count] for index in range(count)]
  return [_sound(number, seed, model, config.seconds) for number, seed in enumerate((None, *spread), 1)]


def _sound(number: int, seed: Seed | None, model: Model, seconds: float) -> Sound:
  pcm = _format(seed, model)
  name = _plain(seed.info.path.stem) if seed else 'silence'
  return Sound(f'{number}_{name}', seed, pcm, max(1, round(seconds * pcm.sample_rate_hz)))


def _format(seed: Seed | None, model: Model) -> PcmFormat:
  """Format of what a model generates: the seed's rate, and its depth and channels where the model has no own."""
  if seed is None:
    return output_format(model, Wanted(sample_rate_hz=model_rate_hz(model) or DEFAULT_RATE_HZ), None)
  info = seed.info
  rate = info.sample_rate_hz or model_rate_hz(model) or DEFAULT_RATE_HZ
  given = wav_integers(sample_bytes=info.resolution_bits // 8, num_channels=info.num_channels, sample_rate_hz=rate)
  module = FAMILIES[model.spec.family].generator_module()
  assert module is not None
  # Of a byte model's depth whatever the seed's is, which is reduced.
  sample_bytes, num_channels = module.output_shape(model, Wanted(), given)
  return wav_integers(sample_bytes=sample_bytes, num_channels=num_channels, sample_rate_hz=rate)


def _plain(stem: str) -> str:
  """A part of a file name, of a file's own name: letters, digits, dots, dashes and underscores."""
  return re.sub(r'[^\w.-]', '_', stem).encode()[:_NAME_BYTES].decode(errors='ignore')


class Sounds:
  """Generates sounds, as they are planned, of parameters, writes them and gives them to the loggers.

  sounds: as `planned_sounds` gives them. model_of: the model that parameters make. is_first: whether this process is
  the one that generates.
  """

  def __init__(
    self,
    sounds: Sequence[Sound],
    settings: TrainingSettings,
    model_of: Callable[[Any], Model],
    *,
    files: RunFiles,
    tracker: Tracker,
    is_first: bool,
  ):
    self._sounds, self._model_of = sounds, model_of
    self._every = settings.generation.every
    self._seed, self._temperature = settings.training.seed, settings.generation.temperature
    self._tracker, self._is_first = tracker, is_first
    self._show_progress = not settings.logging.no_progress
    self._folder = files.generated
    if sounds and is_first:
      if not files.goes_on:
        shutil.rmtree(self._folder, ignore_errors=True)  # Of a run that ended without a model.
      files.when_renamed(generated=self._rename)

  def is_due(self, step: int) -> bool:
    """Whether sounds are to be generated once so many steps are done."""
    return bool(self._sounds) and step > 0 and step % self._every == 0

  def generate(self, step: int, params: Any, is_over: Callable[[bool], bool]) -> None:
    """Generates the sounds of a step; a warning says why some cannot be.

    params: whole arrays. is_over: asked in all processes in step whether to stop, given whether this one is done; so
    those that wait for the first one heed signals as it does, and none of them waits longer than a moment at a time.
    """
    if not self._is_first:
      while not is_over(False):
        pass
      return
    started = time.monotonic()
    total = sum(sound.total_frames for sound in self._sounds)
    cancellation, done = Cancellation(), _Count()
    threads = concurrent.futures.ThreadPoolExecutor(min(len(self._sounds), usable_cores()))
    with progress_bar(
      total=total, unit='frame', description='generating', leave=False, shown=self._show_progress
    ) as bar:
      model = self._model_of(params)
      futures = [
        threads.submit(self._sounded, step, number, model, done.add, cancellation)
        for number in range(len(self._sounds))
      ]
      unfinished, shown = set(futures), 0
      try:
        while not is_over(not unfinished):
          unfinished = concurrent.futures.wait(unfinished, _SECONDS_BETWEEN_LOOKS).not_done
          now = done.frames
          bar.update(now - shown)
          shown = now
      finally:
        cancellation.cancel()  # Also where another process is lost: the process would wait for its threads.
    concurrent.futures.wait(unfinished, _SECONDS_TO_END)
    threads.shutdown(wait=False, cancel_futures=True)
    self._tell(step, futures, time.monotonic() - started)

  def _sounded(
    self, step: int, number: int, model: Model, progress: Callable[[int], object], cancellation: Cancellation
  ) -> np.ndarray:
    """Generates a sound and writes it. Returns all of it, int32 [N, C]. Raises CancelledError."""
    sound = self._sounds[number]
    seed = sound.seed
    request = Request(
      seed=read_frames(*seed) if seed else np.zeros((0, sound.pcm.num_channels), np.int32),
      seed_bits=seed.info.resolution_bits if seed else 8 * sound.pcm.sample_bytes,
      pcm=sound.pcm,
      num_frames=sound.num_frames,
      num_sequences=1,
      # Other random numbers for each, or all of them would have the same luck.
      sampler=Sampler((self._seed + number) & MAX_SEED, [self._temperature], defaults.TOP_P),
      num_threads=1,
    )
    with contextlib.closing(make_generator(model, request)) as generator:
      blocks = generated_blocks(generator, sound.num_frames, progress, cancellation)
      samples = np.concatenate([request.known_frames(), *(block[0] for block in blocks)])
    cancellation.check()
    self._write(f'step_{step:06d}_{sound.name}.wav', sound.pcm, samples)
    return samples

  def _write(self, name: str, pcm: PcmFormat, samples: np.ndarray) -> None:
    """Raises OSError."""
    header, tail = wav_envelope(pcm, len(samples))
    self._folder.mkdir(exist_ok=True)
    with replacing(self._folder / name) as file:
      file.write(header + raw_from_integers(samples, pcm).tobytes() + tail)

  def _tell(self, step: int, futures: 'Sequence[concurrent.futures.Future[np.ndarray]]', seconds: float) -> None:
    """Logs what has come of it, and gives the loggers what there is."""
    made = 0
    failure: BaseException | None = None
    for sound, future in zip(self._sounds, futures, strict=True):
      if not future.done() or future.cancelled():
        continue
      error = future.exception()
      if error is None:
        made += 1
        scale = np.float32(1 << (8 * sound.pcm.sample_bytes - 1))
        samples = future.result().astype(np.float32) / scale
        self._tracker.log_audio(step, f'generated/{sound.name}', samples, sound.pcm.sample_rate_hz)
      elif not isinstance(error, CancelledError):
        failure = failure or error
    if failure is not None:
      reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
      _logger.warning('generating at step %d failed, the run goes on without it: %s', step, reason)
    _logger.info(
      'generated at step %d: %d of %d sound(s) in %s, in %s',
      *(step, made, len(self._sounds), self._folder, duration(seconds)),
    )

  def _rename(self, path: Path) -> None:
    """Gives the folder another name. Raises OSError."""
    if self._folder.exists():
      os.replace(self._folder, path)
    self._folder = path


class _Count:
  """Frames that several threads have done."""

  def __init__(self) -> None:
    self.frames = 0
    self._lock = threading.Lock()

  def add(self, frames: int) -> None:
    with self._lock:
      self.frames += frames
