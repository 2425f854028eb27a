"""Batches and figures of byte models."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.settings import training_settings
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.data import paths
from language_modeling_is_compression.data.batches import Batch
from language_modeling_is_compression.data.chunks import Chunks
from language_modeling_is_compression.data.folders import find_folders
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.network.byte_model import ByteSpec
from language_modeling_is_compression.training import byte_task
from language_modeling_is_compression.training.byte_task import ByteTask, ByteValidation, make_task

CHUNK = 8


def batch_of(task: ByteTask, step: int) -> Batch:
  """All rows of a step's batch, of the default size."""
  return task.training_batch(step, range(128))


def write_wav(path, num_chunks: int, value: int) -> None:
  """A file of so many chunks, whose tokens are all 128 + value."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(build_wav(pcm_bytes(np.full(CHUNK * num_chunks, value << 8), 16)))


@pytest.fixture
def corpus(tmp_path):
  """Drums (values 1 and -1) and speech (2 and -2, the held-out ones), much more of drums."""
  for number, (domain, length) in enumerate((('drums', 12), ('speech', 3)), 1):
    write_wav(tmp_path / domain / 'train/a.wav', length, number)
    write_wav(tmp_path / domain / 'valid/b.wav', length, -number)
  return tmp_path


def task_of(*names, **values) -> ByteTask:
  settings = training_settings(audio_dir=tuple(map(str, names)), chunk_size=CHUNK, **values)
  folders = find_folders(settings.folders.audio_dir, settings.folders.valid_fraction, paths)
  byte_task.check(settings, folders)
  return make_task(settings, folders)


def speech_share(task: ByteTask, num_steps: int = 20) -> float:
  values = [batch_of(task, step).tokens[:, 0] for step in range(num_steps)]
  return float(np.mean(np.array(values) == 130))


def test_weights_say_how_often_a_domain_comes(corpus):
  folders = (corpus / 'drums', corpus / 'speech')
  assert speech_share(task_of(*folders)) == pytest.approx(3 / 15, abs=0.01)
  weighted = task_of(*folders, audio_weights='1,3')
  assert speech_share(weighted) == pytest.approx(3 / 4, abs=0.03)
  assert weighted.provenance == {'sample_rate_hz': 8000, 'domains': {'drums': 1.0, 'speech': 3.0}}
  # Domains below a single folder.
  assert speech_share(task_of(corpus, audio_weights='equal')) == pytest.approx(1 / 2, abs=0.03)


def test_without_weights_domains_change_nothing(corpus):
  apart, together = task_of(corpus / 'drums', corpus / 'speech'), task_of(corpus)
  assert apart.provenance == together.provenance == {'sample_rate_hz': 8000}
  assert apart.fingerprint == together.fingerprint
  for step in (0, 5):
    np.testing.assert_array_equal(batch_of(apart, step).tokens, batch_of(together, step).tokens)
  assert task_of(corpus, audio_weights='equal').fingerprint != together.fingerprint


def test_weights_that_do_not_suit_the_folders(corpus):
  with pytest.raises(ConfigError, match=r'^audio_weights: expected 1 numbers, one for each audio_dir, got 2$'):
    task_of(corpus, audio_weights='1,2')


def measured(task: ByteTask):
  """A validation in which the tokens of drums cost one nat each, and those of speech two."""
  validation = task.validation(periodic=False)
  for batch in validation.batches(2):
    nats = np.where(batch.tokens[:, 0] == 127, 1.0, 2.0) * batch.lengths
    validation.add(batch, float(nats.sum()), nats[:, None])
  result = validation.result()
  assert result is not None and validation.num_rows == 15
  return result


def test_held_out_figures_of_each_domain(corpus):
  bit = 1 / np.log(2)
  result = measured(task_of(corpus))
  mean = (12 * 1 + 3 * 2) / 15 * bit
  assert result.score == result.metrics['bits_per_sample'] == pytest.approx(mean)
  expected = {'drums/bits_per_sample': bit, 'speech/bits_per_sample': 2 * bit, 'speech/compression_rate': bit / 4}
  assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)
  assert len(result.metrics) == 9
  assert result.text.endswith('; bits per sample by domain: drums 1.4427, speech 2.8854')
  parts = {part.name.split('/')[-3]: part[1:] for part in result.parts}
  assert parts == {'drums': (96, pytest.approx(bit)), 'speech': (24, pytest.approx(2 * bit))}
  assert result.provenance['domains']['speech'] == pytest.approx(
    {'loss_nats': 2, 'bits_per_byte': 2 * bit, 'bits_per_sample': 2 * bit, 'compression_rate': bit / 4}
  )


@pytest.mark.parametrize('most', [1, 32])
def test_one_domain_or_too_many_have_no_figures_of_their_own(corpus, monkeypatch, caplog, most):
  caplog.set_level('INFO')
  monkeypatch.setattr(byte_task, '_MAX_DOMAINS', most)
  task = task_of(corpus) if most == 1 else task_of(corpus / 'drums')
  validation = task.validation(periodic=False)
  for batch in validation.batches(2):
    validation.add(batch, 1.0, np.full((2, 1), 0.5))
  result = validation.result()
  assert result is not None
  assert set(result.metrics) == {'bits_per_byte', 'bits_per_sample', 'compression_rate'}
  assert 'domains' not in result.provenance and 'domain' not in result.text
  assert ('2 domains are held out, more than the 1 that are measured by themselves' in caplog.text) == (most == 1)


@pytest.fixture
def lengths(tmp_path):
  """Files of 1 to 5 seconds to train on, whose tokens are 129 to 133, and a held-out one of 3."""
  for seconds in range(1, 6):
    write_wav(tmp_path / f'train/{seconds}.wav', 1000 * seconds, seconds)
  write_wav(tmp_path / 'valid/a.wav', 3000, -1)
  return tmp_path


@pytest.mark.parametrize(
  ('values', 'chunks', 'message'),
  [
    ({'min_seconds': 2}, [2000, 3000, 4000, 5000], '1 of 6 files are left out: 1 shorter than --min_seconds 2'),
    ({'max_seconds': 3.5}, [1000, 2000, 3000], '2 of 6 files are left out: 2 longer than --max_seconds 3.5'),
    (
      {'min_seconds': 2.5, 'max_seconds': 3, 'skip_seconds': 1.0001},
      [2000],
      '4 of 6 files are left out: 2 longer than --max_seconds 3, 2 shorter than --min_seconds 2.5',
    ),
    ({'skip_seconds': 2}, [1000, 2000, 3000], '2 of 6 files are left out: 2 not longer than --skip_seconds 2'),
    ({'max_seconds': 9}, [1000, 2000, 3000, 4000, 5000], ''),
  ],
)
def test_files_by_their_length(lengths, caplog, values, chunks, message):
  caplog.set_level('INFO')
  task = task_of(lengths, **values)
  # Values are what each file's samples are, so the batch that is everything once says which there are.
  task._training = replace(task._training, batch_size=len(task._train))
  rows = task.training_batch(0, range(len(task._train)))
  present = np.bincount(rows.tokens[:, 0])
  assert present[present > 0].tolist() == chunks
  assert [said for said in caplog.messages if 'left out' in said] == [message][: len(message)]


def test_no_file_of_that_length(lengths):
  with pytest.raises(
    ConfigError, match=r'^audio_dir: expected files to train on, found none: 6 of 6 files are left out'
  ):
    task_of(lengths, min_seconds=1e300)
  with pytest.raises(
    ConfigError, match=r'found none: 6 of 6 files are left out: 6 not longer than --skip_seconds 1e\+3'
  ):
    task_of(lengths, skip_seconds=1e300)


def test_a_file_that_does_not_say_how_long_a_second_is(lengths, caplog):
  header = build_wav(pcm_bytes(np.zeros(100), 16), rate_hz=0)
  (lengths / 'train/1.wav').write_bytes(header)
  assert task_of(lengths).facts['num_train_files'] == 5
  caplog.clear()
  assert task_of(lengths, max_seconds=10).facts['num_train_files'] == 4
  assert 'expected a sample rate, since files are chosen by seconds, got 0' in caplog.text


def test_what_is_held_out_is_not_changed(corpus):
  plain, changed = task_of(corpus), task_of(corpus, invert_polarity=1.0, min_gain_db=-20)
  assert not np.array_equal(batch_of(plain, 0).tokens, batch_of(changed, 0).tokens)
  assert (batch_of(changed, 0).tokens <= 128).all(), 'samples to train on are positive'
  for periodic in (False, True):
    sides = [list(task.validation(periodic=periodic).batches(4)) for task in (plain, changed)]
    for before, after in zip(*sides, strict=True):
      np.testing.assert_array_equal(before.tokens, after.tokens)


def test_what_costs_nothing_has_no_sign():
  """Rounding leaves a few nats less than none where every token is sure, as in silence."""
  task: Any = SimpleNamespace(spec=ByteSpec(network=ModelConfig(), data=DataConfig()))
  assert ByteTask.format_loss(task, -1e-9) == '0.0000 bits per byte'
  validation = ByteValidation(Chunks([], DataConfig()), 8)
  batch: Any = SimpleNamespace(num_counted=8, lengths=[0])
  validation.add(batch, -1e-9, np.zeros((1, 1)))
  result = validation.result()
  assert result is not None
  text = result.text
  assert text.startswith('0.0000 bits per byte, 0.0000 bits per sample, compression rate 0.0000 ('), text


@pytest.mark.parametrize(('settings', 'names'), [({'use_16bit': True}, ['high', 'low']), ({}, [])])
def test_bytes_of_a_sample_are_told_apart(settings, names):
  validation = ByteValidation(Chunks([], DataConfig(**settings)), 8)
  places = max(1, len(names))
  for factor in (1, 3):
    batch: Any = SimpleNamespace(num_counted=4 * places, lengths=[0, 0])
    # Two rows of two samples; the first byte takes one bit, the second two.
    by_row = factor * 2 * math.log(2) * np.tile(np.arange(1, places + 1), (2, 1))
    validation.add(batch, float(by_row.sum()), by_row)
  result = validation.result()
  assert result is not None
  each = [result.metrics[f'bits_per_byte/{name}'] for name in names]
  assert each == pytest.approx([2, 4][: len(names)])
  assert result.metrics['bits_per_byte'] == pytest.approx(np.mean(each or [2]))
  assert result.text.endswith('; of the bytes: high 2.0000, low 4.0000' if names else ' tokens)')
  assert len(result.metrics) == 3 + len(names)
