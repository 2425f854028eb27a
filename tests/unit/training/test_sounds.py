"""Sounds that are generated while training: which, in what format, and that nothing that fails is worth a run."""

import dataclasses
import logging
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.generation_cases import byte_model, hybrid_model
from support.settings import training_settings
from support.training_runs import tone
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.config.families import FAMILIES, Family
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.errors import ConfigError, TrainingError
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.sounds import Sounds, planned_sounds
from language_modeling_is_compression.training.task import Seed, rate_of_most
from language_modeling_is_compression.training.tracking import Tracker

RATE_HZ = 4000
FRAMES = 12
BLOCK = 8


class FakeTracker(Tracker):
  def __init__(self) -> None:
    super().__init__({})
    self.sounds: list[tuple[int, str, np.ndarray, int]] = []

  def log_audio(self, step, name, samples, sample_rate_hz):
    self.sounds.append((step, name, samples, sample_rate_hz))


@pytest.fixture(autouse=True)
def all_is_heard(caplog):
  caplog.set_level(logging.INFO, 'language_modeling_is_compression')


def task_of(model: Model, seeds: list[Seed]) -> Any:
  return SimpleNamespace(
    provenance=model.provenance,
    seeds=lambda: seeds,
    trained_model=lambda params, provenance: dataclasses.replace(model, params=params, provenance=provenance),
  )


def seed_of(path: Path, *, bits: int = 16, channels: int = 1, num_frames: int = 24, rate_hz: int = RATE_HZ) -> Seed:
  samples = tone(num_frames, 1, channels) << (bits - 16)
  path.write_bytes(build_wav(pcm_bytes(samples, bits), channels=channels, bits=bits, rate_hz=rate_hz))
  return Seed(read_info(path), 0, num_frames)


def settings_of(**values: Any) -> Any:
  given = {'generate_every': 5, 'generate_duration': FRAMES / RATE_HZ, 'no_progress': True, **values}
  return training_settings(**given)


class Run:
  """Sounds of a model in a folder."""

  def __init__(self, folder: Path, model: Model, seeds: list[Seed], *, is_first: bool = True, **values: Any):
    settings = settings_of(model=model.spec.family, **values)
    task = task_of(model, seeds)
    self.files, self.tracker, self.model = RunFiles(folder, 'a'), FakeTracker(), model
    self.planned = planned_sounds(settings, task)
    self.sounds = Sounds(
      self.planned,
      settings,
      lambda params: task.trained_model(params, model.provenance),
      files=self.files,
      tracker=self.tracker,
      is_first=is_first,
    )

  def generate(self, step: int = 5, params: Any = None, is_over: Any = lambda done: done) -> dict[str, bytes]:
    """Contents of the files, by name."""
    self.sounds.generate(step, self.model.params if params is None else params, is_over)
    folder = self.files.generated
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}


@pytest.fixture
def model() -> Model:
  return byte_model(DataConfig(chunk_size=16))


def test_files_are_spread_over_those_held_out(tmp_path, model):
  seeds = [seed_of(tmp_path / f'{number}.wav') for number in range(10)]

  def names(count: int, **values: Any) -> list[str]:
    return [sound.name for sound in planned_sounds(settings_of(**values), task_of(model, seeds[:count]))]

  assert names(10) == ['1_silence', '2_0', '3_3', '4_6']
  assert names(2) == ['1_silence', '2_0', '3_1']
  assert names(0) == names(10, max_generated=1) == ['1_silence']
  assert names(10, generate_every=0, generate_duration=None) == []


def test_names_are_plain_and_never_too_long(tmp_path, model):
  seeds = [seed_of(tmp_path / f'{stem}.wav') for stem in ('a b:c', 'ä.\n', 'caf\udce9', 'ö' * 120, 'ö' * 119 + '-')]
  run = Run(tmp_path, model, seeds, max_generated=6)
  assert [sound.name for sound in run.planned[:4]] == ['1_silence', '2_a_b_c', '3_ä._', '4_caf_']
  assert len(run.generate()) == 6
  assert len((run.planned[4].name + 'step_1234567890_.wav').encode()) < 255


def test_rates_that_no_sound_has_are_not_heeded(tmp_path, model):
  rates = (0, 2**32 - 1, RATE_HZ)
  seeds = [seed_of(tmp_path / f'{rate}.wav', rate_hz=rate) for rate in rates]
  planned = planned_sounds(settings_of(), task_of(model, seeds))
  assert [(sound.name, sound.pcm.sample_rate_hz) for sound in planned] == [
    ('1_silence', 8000),
    ('2_0', 8000),
    (f'3_{RATE_HZ}', RATE_HZ),
  ]
  assert rate_of_most([(seed.info, 5 - number) for number, seed in enumerate(seeds)]) == {'sample_rate_hz': RATE_HZ}
  assert rate_of_most([(seeds[0].info, 7)]) == {}
  files = [(seed_of(tmp_path / 'b.wav', rate_hz=rate).info, frames) for rate, frames in ((1, 5), (2, 6), (1, 2))]
  assert rate_of_most(files) == {'sample_rate_hz': 1}


def test_when_they_are_due(tmp_path, model):
  sounds = Run(tmp_path, model, []).sounds
  assert [step for step in range(12) if sounds.is_due(step)] == [5, 10]
  never = Run(tmp_path, model, [], generate_every=0, generate_duration=None).sounds
  assert not any(never.is_due(step) for step in range(12))


def test_a_family_that_generates_nothing_is_refused_at_once(tmp_path, model, monkeypatch):
  monkeypatch.setitem(FAMILIES, 'bytes', Family(network='byte_model', coder='byte_coder', task='byte_task'))
  with pytest.raises(ConfigError, match=r'^generate_every: models of family bytes cannot generate sound'):
    Run(tmp_path, model, [])


@pytest.mark.parametrize(
  ('data', 'sample_bytes', 'channels'),
  [
    (DataConfig(chunk_size=16), 1, 1),
    (DataConfig(chunk_size=16, quantization='mu-law'), 2, 1),
    (DataConfig(chunk_size=16, use_16bit=True, tokenization='sample'), 2, 1),
    (DataConfig(chunk_size=16, bit_depth=24), 3, 1),
    (DataConfig(chunk_size=16, use_16bit=True, channels='stereo', stereo_blocking_n=BLOCK), 2, 2),
  ],
)
def test_byte_models_generate_at_their_own_depth(tmp_path, caplog, data, sample_bytes, channels):
  wide = seed_of(tmp_path / 'wide.wav', bits=24, channels=2)
  run = Run(tmp_path, byte_model(data), [seed_of(tmp_path / 'short.wav'), wide])
  made = run.generate()
  assert list(made) == ['step_000005_1_silence.wav', 'step_000005_2_short.wav', 'step_000005_3_wide.wav']
  info = read_info(run.files.generated / 'step_000005_3_wide.wav')
  assert (info.sample_bytes, info.num_channels, info.sample_rate_hz) == (sample_bytes, channels, RATE_HZ)
  assert info.num_frames == 24 + FRAMES
  sources = read_frames(*wide)
  if channels == 1:
    sources = (2 * sources.sum(axis=1, keepdims=True) + 2) // 4
  np.testing.assert_array_equal(read_frames(info, 0, 24), sources >> (24 - 8 * sample_bytes))
  # The loggers get the same, and the next time it is the same again.
  steps, names, samples, rates = zip(*run.tracker.sounds, strict=True)
  assert (steps, names) == ((5,) * 3, ('generated/1_silence', 'generated/2_short', 'generated/3_wide'))
  assert rates == (8000, RATE_HZ, RATE_HZ), 'without a seed at the rate that the model was trained on'
  np.testing.assert_array_equal(samples[2] * 2.0 ** (8 * sample_bytes - 1), read_frames(info, 0, info.num_frames))
  assert list(run.generate(step=10).values()) == [*made.values()] * 2
  assert not [record for record in caplog.records if record.levelno > logging.INFO]
  said = [message for message in caplog.messages if message.startswith('generated ')]  # And that it compiles.
  assert [message[: message.index(' in ')] for message in said] == [
    'generated at step 5: 3 of 3 sound(s)',
    'generated at step 10: 3 of 3 sound(s)',
  ]
  assert sum(sound.num_bytes for sound in run.planned) == sum(sound.size for sound in samples) * sample_bytes


def test_hybrid_models_generate_at_the_depth_of_the_seed(tmp_path):
  run = Run(
    tmp_path, hybrid_model(), [seed_of(tmp_path / 'wide.wav', bits=24, channels=2), seed_of(tmp_path / 'b.wav')]
  )
  assert len(run.generate()) == 3
  shapes = [(each.pcm.sample_bytes, each.pcm.num_channels) for each in run.planned]
  assert shapes == [(2, 1), (3, 2), (2, 1)]
  for sound in run.planned[1:]:
    assert sound.seed
    info = read_info(run.files.generated / f'step_000005_{sound.name}.wav')
    np.testing.assert_array_equal(read_frames(info, 0, 24), read_frames(*sound.seed))


def test_other_seeds_of_the_run_give_other_sounds(tmp_path, model):
  seeds = [seed_of(tmp_path / 'a.wav'), seed_of(tmp_path / 'b.wav')]  # The same sound twice.
  first = Run(tmp_path, model, seeds, seed=1).generate()
  other = Run(tmp_path, model, seeds, seed=2**64 + 5).generate()
  assert len({*first.values(), *other.values()}) == 6


def test_what_cannot_be_written_is_one_warning(tmp_path, model, caplog):
  run = Run(tmp_path, model, [seed_of(tmp_path / 'b.wav')])
  run.files.generated.write_text('in the way')
  run.generate()
  (warning,) = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
  assert warning.startswith('generating at step 5 failed, the run goes on without it: ')
  assert not run.tracker.sounds


def test_parameters_that_no_integers_suit_are_one_warning(tmp_path, model, caplog):
  run = Run(tmp_path, model, [seed_of(tmp_path / 'b.wav')])
  params = {
    module: {name: np.full_like(each, np.nan) for name, each in arrays.items()}
    for module, arrays in model.params.items()
  }
  assert run.generate(params=params) == {}
  (warning,) = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
  assert warning.startswith('generating at step 5 failed, the run goes on without it: ')


def test_a_seed_that_is_gone_costs_its_sound_alone(tmp_path, model, caplog):
  run = Run(tmp_path, model, [seed_of(tmp_path / 'gone.wav'), seed_of(tmp_path / 'b.wav')])
  (tmp_path / 'gone.wav').unlink()
  assert list(run.generate()) == ['step_000005_1_silence.wav', 'step_000005_3_b.wav']
  assert 'gone.wav' in caplog.messages[0] and '2 of 3 sound(s)' in caplog.messages[1]


def test_it_stops_soon_when_it_is_told_to(tmp_path, model, caplog):
  run = Run(tmp_path, model, [], generate_duration=3600)  # Of work for minutes.
  asked = []

  def is_over(done: bool) -> bool:
    asked.append(done)
    return len(asked) == 3

  assert run.generate(is_over=is_over) == {}
  assert asked == [False] * 3 and not run.tracker.sounds
  assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_work_ends_where_another_process_is_lost(tmp_path, model):
  run = Run(tmp_path, model, [], generate_duration=3600)
  before = threading.active_count()
  with pytest.raises(TrainingError):
    run.generate(is_over=lambda done: exec('raise TrainingError', {'TrainingError': TrainingError}))
  for thread in threading.enumerate()[before:]:
    thread.join(timeout=60)
  assert threading.active_count() <= before and not run.files.generated.exists()


def test_other_processes_wait_and_write_nothing(tmp_path, model):
  run = Run(tmp_path, model, [], is_first=False)
  asked = []

  def is_over(done: bool) -> bool:
    asked.append(done)
    return len(asked) == 3

  assert run.generate(is_over=is_over) == {} and asked == [False] * 3


def test_the_folder_takes_its_name_when_there_is_a_model(tmp_path, model):
  (tmp_path / 'a.npz').write_text('earlier')
  (tmp_path / 'a_generated').mkdir()
  (tmp_path / 'a_generated.unsaved').mkdir()
  (tmp_path / 'a_generated.unsaved/stale.wav').touch()  # Of a run that ended without a model.
  run = Run(tmp_path, model, [])
  assert list(run.generate()) == ['step_000005_1_silence.wav']
  assert run.files.generated.name == 'a_generated.unsaved'
  run.files.save(lambda path: path.write_text('model'))
  assert list(run.generate(step=10)) == ['step_000005_1_silence.wav', 'step_000010_1_silence.wav']
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a.1.npz', 'a.npz', 'a_generated', 'a_generated.1']
