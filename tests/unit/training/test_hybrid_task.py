"""Hybrid models from evidence to model file: what is measured, and that something is learnt."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import pytest
from support.evidence_cases import VERSION, extract_evidence, write_sound
from support.settings import training_settings
from support.tiny_models import HYBRID

from language_modeling_is_compression.config.options import (
  RunConfig,
  TrainingConfig,
)
from language_modeling_is_compression.data.evidence_cache import Extractor, read_records
from language_modeling_is_compression.data.evidence_sources import DomainFile, Group, evidence_of, streamed_evidence_of
from language_modeling_is_compression.data.evidence_stream import StreamSource
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.network.hybrid_model import HybridModel, HybridSpec
from language_modeling_is_compression.training.hybrid_task import HybridTask
from language_modeling_is_compression.training.run import train_model
from language_modeling_is_compression.training.run_files import claimed_files
from language_modeling_is_compression.training.stopper import Stopper

SETTINGS = training_settings(
  model='hybrid',
  sequence_length=16,
  training_steps=50,
  batch_size=32,
  learning_rate=5e-3,
  log_every=25,
  validate_every=25,
  gradient_clip_norm=1.0,
  no_progress=True,
)
CONFIG, TRAINING = SETTINGS.hybrid, SETTINGS.training
WEIGHTS = {'steps': 1.0, 'pairs': 3.0}


def task_of(train, valid, training: TrainingConfig = TRAINING) -> HybridTask:
  return HybridTask(
    HybridSpec(network=HYBRID), CONFIG, training, train=train, valid=valid, weights=WEIGHTS, experts_version=VERSION
  )


@pytest.fixture(scope='module')
def sides(tmp_path_factory):
  """Evidence of two domains, one of them stereo, at 16 and 8 bits."""
  folder = tmp_path_factory.mktemp('sound')
  train = [
    DomainFile(domain=domain, info=write_sound(folder / f'{domain}_{seed}.wav', 700, channels=channels, seed=seed))
    for domain, channels in (('steps', 1), ('pairs', 2))
    for seed in range(3)
  ]
  return evidence_of(
    [file for file in train if '_2' not in file.info.path.name],
    [file for file in train if '_2' in file.info.path.name],
    CONFIG,
    Extractor(extract=extract_evidence, version=VERSION, effort=1),
    valid_fraction=0.1,
    folder=folder / 'cache',
    show_progress=False,
  )


@pytest.fixture(scope='module')
def streamed(sides, tmp_path_factory):
  """The same files, with evidence to train on that is made when it is needed."""
  extractor = Extractor(extract=extract_evidence, version=VERSION, effort=1)
  folder = tmp_path_factory.mktemp('streamed')
  files = [
    DomainFile(domain=domain, info=write_sound(folder / f'{domain}_{seed}.wav', 700, channels=channels, seed=seed))
    for domain, channels in (('steps', 1), ('pairs', 2))
    for seed in range(2)
  ]
  parts, _ = streamed_evidence_of(
    files, files[:1], CONFIG, extractor, valid_fraction=0.1, folder=folder / 'cache', show_progress=False
  )
  return StreamSource(parts=parts, extractor=extractor, max_bytes=10**6)


@pytest.fixture(scope='module')
def trained(sides, tmp_path_factory):
  """The model file and the outcome of a whole run."""
  run = RunConfig(output_dir=str(tmp_path_factory.mktemp('out')))
  settings = dataclasses.replace(SETTINGS, run=run, model=HYBRID)
  task: Any = task_of(*sides)
  with claimed_files(run) as files:
    outcome = train_model(settings, task, files=files, stopper=Stopper())
  return files, outcome


def test_it_learns_more_than_the_experts_know(trained):
  _, outcome = trained
  mean = outcome.held_out.provenance['means']['']
  assert mean['experts_bits_per_sample'] == 12
  # A normal distribution of 64 steps has log2(64 sqrt(2 pi e)) bits, less one for its sign.
  assert mean['bits_per_sample'] < 8.3


def test_the_held_out_figures_are_the_code_length_of_what_is_held_out(sides, trained):
  """From the whole segments at once, by the outputs of the model file."""
  files, outcome = trained
  model = load_model(files.model)
  assert isinstance(model, HybridModel)
  domains = outcome.held_out.provenance['domains']
  assert set(domains) == {'steps', 'steps_8bit', 'pairs', 'pairs_8bit'}
  for group, spans in sides[1].items():
    nats, count = 0.0, 0
    for span in spans:
      records = read_records(span, span.first, span.last)
      mixtures = model.outputs(records['features'][None])[0].astype(np.float64)
      nats -= np.log(mass_of(mixtures, records)).sum()
      count += len(records)
    assert domains[group.name]['bits_per_sample'] == pytest.approx(nats / math.log(2) / count, rel=1e-5)


def mass_of(outputs: np.ndarray, records: np.ndarray) -> np.ndarray:
  """Masses by the definition: all components of these cases stand on the same centre."""
  weights = np.exp(outputs[:, :9]) / np.exp(outputs[:, :9]).sum(axis=1, keepdims=True)
  scales = 2.0 ** outputs[:, 17:]
  lower = (records['below'][:, :1] - outputs[:, 9:17]) / scales
  upper = lower + records['width'][:, None] / scales
  masses = (np.tanh(upper / 2) - np.tanh(lower / 2)) / 2
  return (weights[:, :8] * masses).sum(axis=1) + weights[:, 8] * 2.0 ** records['experts_log2']


def test_the_model_file_says_what_it_is(sides, trained):
  files, outcome = trained
  model = load_model(files.model)
  assert model.spec.network == HYBRID
  provenance = model.provenance
  assert (provenance['experts_version'], provenance['effort'], provenance['domains']) == (VERSION, 1, WEIGHTS)
  assert provenance['held_out'] == outcome.held_out.provenance
  settings, facts = provenance['settings'], provenance['facts']
  assert facts['train_samples/pairs'] == 2 * 1400 and facts['valid_samples/steps_8bit'] == 700
  assert settings['sequence_length'] == 16 and settings['gradient_clip_norm'] == 1.0


def test_every_domain_is_tracked_beside_the_experts(trained):
  files, outcome = trained
  names = {
    f'{name}{key}'
    for name in ('', 'steps/', 'pairs/', 'steps_8bit/', 'pairs_8bit/', '8bit/')
    for key in ('bits_per_sample', 'experts_bits_per_sample')
  }
  assert set(outcome.held_out.metrics) == names
  figures = outcome.held_out.metrics
  assert figures['8bit/bits_per_sample'] == pytest.approx(
    (figures['steps_8bit/bits_per_sample'] + figures['pairs_8bit/bits_per_sample']) / 2
  )
  text = files.metrics.read_text()
  assert '"samples_per_second"' in text and text.count('"valid/pairs/experts_bits_per_sample": 12.0') == 1
  assert text.count('"held_out/pairs/experts_bits_per_sample": 12.0') == 1
  assert 'pairs ' in outcome.held_out.text and '(12.0000)' in outcome.held_out.text


def test_a_periodic_validation_is_a_part_always_the_same(sides):
  task = task_of(*sides)
  periodic, final = (task.validation(periodic=periodic) for periodic in (True, False))
  # 1,400 samples of stereo and 700 of mono at each of two depths, in rows of 16.
  assert final.num_rows == 2 * (88 + 44)
  assert periodic.num_rows == 2 * (64 + 44)
  first, second = (
    np.concatenate([batch.width for batch in task.validation(periodic=True).batches(10)]) for _ in range(2)
  )
  np.testing.assert_array_equal(first, second)
  reach = HYBRID.num_layers * (HYBRID.attention_window - 1)
  assert first.shape[1] == 16 + reach


def test_a_training_batch_has_the_size_that_was_asked_for(sides):
  batch = task_of(*sides).training_batch(3, range(32))
  assert batch.width.shape == (32, 16) and batch.num_counted == 32 * 16
  assert not np.array_equal(batch.below, task_of(*sides).training_batch(4, range(32)).below)
  jax.tree.map(np.testing.assert_array_equal, batch, task_of(*sides).training_batch(3, range(32)))
  # Rows of one process of several are those of the whole batch.
  own = jax.tree.map(lambda array: array[[30, 2]], batch)
  jax.tree.map(np.testing.assert_array_equal, own, task_of(*sides).training_batch(3, [30, 2]))


def test_evidence_that_is_streamed_is_trained_on_and_named_as_other_data(sides, streamed):
  task, cached = task_of(streamed, sides[1]), task_of(*sides)
  assert task.facts == cached.facts and task.provenance == cached.provenance
  assert task.fingerprint != cached.fingerprint
  assert task.fingerprint == task_of(streamed, sides[1]).fingerprint
  other = dataclasses.replace(streamed, max_bytes=2 * 10**6)
  assert task_of(other, sides[1]).fingerprint != task.fingerprint
  batch = task.training_batch(3, range(32))
  assert batch.width.shape == (32, 16) and batch.num_counted == 32 * 16
  assert not np.array_equal(batch.below, task.training_batch(4, range(32)).below)
  jax.tree.map(np.testing.assert_array_equal, batch, task_of(streamed, sides[1]).training_batch(3, range(32)))


def test_nothing_to_train_on(sides):
  with pytest.raises(AudioFormatError, match='hold no samples'):
    task_of({Group('steps', 'native'): []}, sides[1])


def test_nothing_held_out(sides):
  validation = task_of(sides[0], {}).validation(periodic=False)
  assert validation.num_rows == 0 and validation.result() is None


def test_what_costs_nothing_has_no_sign(sides):
  """Rounding leaves a few nats less than none where every sample is sure, as in silence."""
  task = task_of(*sides)
  assert task.format_loss(-1e-9) == '0.0000 bits per sample'
  validation = task.validation(periodic=False)
  for batch in validation.batches(10):
    validation.add(batch._replace(experts_log2=np.full_like(batch.experts_log2, 1e-12)), -1e-9, np.zeros((4, 1)))
  result = validation.result()
  assert result is not None
  text = result.text
  assert text.count('0.0000 (0.0000)') == 6 and '-0.0' not in text, text
