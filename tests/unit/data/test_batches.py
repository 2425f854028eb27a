"""What a step reads depends on seed and step alone, an epoch is everything once, and damage costs only itself."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.config.options import AugmentationConfig, DataConfig
from language_modeling_is_compression.data import batches
from language_modeling_is_compression.data.augmentation import drawn_change
from language_modeling_is_compression.data.batches import Domains, training_batch, validation_batches
from language_modeling_is_compression.data.chunks import Chunks, whole_stream

CHUNK = 4
CONFIG = DataConfig(chunk_size=CHUNK)
DRAWN_OF_SEED_5_STEP_3 = [10, 9, 2, 9, 0, 2, 2, 2, 0, 2, 3, 9]
# Of 11 chunks, and the first of the next epoch: runs that go on on another machine rely on it.
ORDER_OF_SEED_5 = [3, 10, 6, 2, 4, 5, 7, 0, 9, 8, 1, 2]


@pytest.fixture
def chunks(tmp_path):
  return make_chunks(tmp_path, [7, 4, 20, 9])


def make_chunks(folder, lengths: list[int], **settings) -> Chunks:
  """Chunks of files of so many frames, every chunk beginning with its own number; rows of CHUNK samples."""
  config = DataConfig(chunk_size=CHUNK, **settings)
  streams, number = [], 0
  for index, num_frames in enumerate(lengths):
    samples = np.zeros(num_frames, np.int64)
    starts = samples[::CHUNK]
    starts[:] = np.arange(number, number + len(starts)) - 128
    number += len(starts)
    path = folder / f'{index}.wav'
    path.write_bytes(build_wav(pcm_bytes(samples << 8, 16)))
    streams.append(whole_stream(read_pcm_info(path), config))
  return Chunks(streams, config)


def read(
  chunks: Chunks, *, step: int, batch_size: int = 3, seed: int = 5, num_tokens: int = CHUNK, **others: Any
) -> batches.Batch:
  return training_batch(
    chunks, range(batch_size), num_tokens=num_tokens, batch_size=batch_size, seed=seed, step=step, **others
  )


def numbers(chunks: Chunks, steps: range, **options) -> list[int]:
  return [int(row[0]) for step in steps for row in read(chunks, step=step, **options).tokens]


def test_a_batch_is_a_function_of_seed_and_step(chunks):
  in_order = [read(chunks, step=step) for step in range(12)]
  batches._order.cache_clear()
  for step in (11, 3, 0, 7):
    again = read(chunks, step=step)
    np.testing.assert_array_equal(again.tokens, in_order[step].tokens)
    np.testing.assert_array_equal(again.lengths, in_order[step].lengths)


def test_the_order_is_the_same_on_every_machine(chunks):
  assert len(chunks) == 11
  assert numbers(chunks, range(4), batch_size=3, seed=5) == ORDER_OF_SEED_5


@pytest.mark.parametrize('batch_size', [1, 3, 11, 25])
def test_every_epoch_is_everything_once_in_an_order_of_its_own(chunks, batch_size):
  total = len(chunks)
  order = numbers(chunks, range(-(-3 * total // batch_size)), batch_size=batch_size)
  epochs = [order[total * epoch : total * (epoch + 1)] for epoch in range(3)]
  assert all(sorted(epoch) == list(range(total)) for epoch in epochs)
  assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
  # The batch size only cuts the order.
  assert order[:total] == numbers(chunks, range(total), batch_size=1)


def test_seeds_give_other_orders(chunks):
  orders = {tuple(numbers(chunks, range(11), batch_size=1, seed=seed)) for seed in (0, 1, 2, 2**32, 2**64, 2**70)}
  assert len(orders) == 6


def test_rows_are_padded_and_their_lengths_told(chunks):
  batch = read(chunks, step=0, batch_size=11, num_tokens=6)
  assert batch.tokens.shape == (11, 6) and batch.tokens.dtype == np.uint8 and batch.lengths.dtype == np.int32
  assert sorted(batch.lengths) == [1, 3] + [4] * 9
  for row, length in zip(batch.tokens, batch.lengths, strict=True):
    np.testing.assert_array_equal(row[length:], 0)
    np.testing.assert_array_equal(row[1:length], 128)


def test_wide_tokens(tmp_path):
  chunks = make_chunks(tmp_path, [5], use_16bit=True, tokenization='sample')
  batch = read(chunks, step=0, batch_size=2)
  assert batch.tokens.dtype == np.uint16
  assert sorted(batch.tokens[:, 0]) == [0, 256]


def validated(chunks: Chunks, batch_size: int) -> list[batches.Batch]:
  """Batches of all chunks."""
  return [batch for _, batch in validation_batches(chunks, range(len(chunks)), num_tokens=CHUNK, batch_size=batch_size)]


def test_validation_is_everything_once_in_order(chunks):
  for batch_size in (1, 4, 11, 16):
    rows = validated(chunks, batch_size)
    assert all(batch.tokens.shape == (batch_size, CHUNK) and len(batch.lengths) == batch_size for batch in rows)
    tokens = np.concatenate([batch.tokens for batch in rows])
    lengths = np.concatenate([batch.lengths for batch in rows])
    np.testing.assert_array_equal(tokens[:11, 0], np.arange(11))
    np.testing.assert_array_equal(lengths[:11], [len(chunk) for chunk in chunks])
    assert lengths.sum() == 40
    np.testing.assert_array_equal(lengths[11:], 0)
    np.testing.assert_array_equal(tokens[11:], 0)


@pytest.fixture
def mixed(tmp_path):
  """Chunks 0 and 1 of drums, 2 of speech, 3 to 7 of drums, 8 to 10 of music."""
  chunks = make_chunks(tmp_path, [7, 4, 20, 9])
  domains = ['drums', 'speech', 'drums', 'music']
  return Chunks(
    [replace(stream, domain=domain) for stream, domain in zip(chunks._streams, domains, strict=True)], CONFIG
  )


def test_chunks_by_domain(mixed):
  found = {domain: indices.tolist() for domain, indices in mixed.by_domain().items()}
  assert found == {'drums': [0, 1, 3, 4, 5, 6, 7], 'music': [8, 9, 10], 'speech': [2]}
  assert list(found) == sorted(found)
  # Of the same chunks as without domains: 0, 3 and 7.
  assert {domain: list(each) for domain, each in mixed.limited(3).by_domain().items()} == {'drums': [0, 1, 2]}
  assert Chunks([], CONFIG).by_domain() == {}


def drawn(mixed, weights: Mapping[str, float], steps: range, batch_size: int = 50, seed: int = 5) -> list[int]:
  domains = Domains(mixed.by_domain(), weights)
  rows = [
    row for step in steps for row in read(mixed, step=step, batch_size=batch_size, seed=seed, domains=domains).tokens
  ]
  return [int(row[0]) for row in rows]


def test_rows_are_drawn_by_weight_and_within_a_domain_evenly(mixed):
  counts = np.bincount(drawn(mixed, {'speech': 3, 'drums': 1, 'music': 4, 'none of them': 7}, range(80)), minlength=11)
  shares = counts / counts.sum()
  assert shares[2] == pytest.approx(3 / 8, abs=0.03)
  assert shares[8:].sum() == pytest.approx(4 / 8, abs=0.03)
  np.testing.assert_allclose(shares[8:], 4 / 24, atol=0.03)
  np.testing.assert_allclose(shares[[0, 1, 3, 4, 5, 6, 7]], 1 / 56, atol=0.01)


def test_what_is_drawn_is_a_function_of_seed_step_and_row(mixed):
  weights = {'speech': 1, 'drums': 1, 'music': 1}
  every = [drawn(mixed, weights, range(step, step + 1), batch_size=12) for step in range(4)]
  # Runs that go on on another machine rely on it.
  assert every[3] == DRAWN_OF_SEED_5_STEP_3
  assert drawn(mixed, weights, range(3, 4), batch_size=5) == every[3][:5]
  assert drawn(mixed, weights, range(3, 4), batch_size=12, seed=6) != every[3] != every[2]


AUGMENTATION = AugmentationConfig(min_gain_db=-6, max_gain_db=3, invert_polarity=0.5, reverse_time=0.5)


def test_changes_are_a_function_of_seed_step_and_row(tmp_path):
  sound = np.random.default_rng(0).integers(-20_000, 20_000, 400)
  (tmp_path / 'a.wav').write_bytes(build_wav(pcm_bytes(sound, 16)))
  config = DataConfig(chunk_size=100, use_16bit=True, tokenization='sample')
  chunks = Chunks([whole_stream(read_pcm_info(tmp_path / 'a.wav'), config)], config)
  plain, changed = (
    [read(chunks, step=step, num_tokens=100, augmentation=each) for step in range(9)] for each in (None, AUGMENTATION)
  )
  for step, (before, after) in enumerate(zip(plain, changed, strict=True)):
    again = read(chunks, step=step, num_tokens=100, augmentation=AUGMENTATION)
    np.testing.assert_array_equal(again.tokens, after.tokens)
    for row, (samples, expected) in enumerate(zip(before.tokens, after.tokens, strict=True)):
      change = drawn_change(AUGMENTATION, seed=5, step=step, row=row)
      np.testing.assert_array_equal(change.apply(samples.astype(np.int32) - 32768, 16) + 32768, expected)
    assert drawn_change(AUGMENTATION, seed=5, step=step, row=1) != drawn_change(AUGMENTATION, seed=6, step=step, row=1)
  without = [read(chunks, step=step, num_tokens=100, augmentation=AugmentationConfig()) for step in range(9)]
  np.testing.assert_array_equal([batch.tokens for batch in without], [batch.tokens for batch in plain])


@pytest.mark.parametrize('rows', [[], [1, 4], [5, 0, 3]])
def test_rows_of_one_process_are_those_of_the_whole_batch(mixed, rows):
  weights = {'speech': 1, 'drums': 1, 'music': 1}
  for others in ({}, {'domains': Domains(mixed.by_domain(), weights)}, {'augmentation': AUGMENTATION}):
    whole = read(mixed, step=4, batch_size=6, **others)
    own = training_batch(mixed, rows, num_tokens=CHUNK, batch_size=6, seed=5, step=4, **others)
    for array, expected in zip(own, whole, strict=True):
      np.testing.assert_array_equal(array, expected[rows])


def test_validation_of_some_chunks(chunks):
  each = list(validation_batches(chunks, np.array([1, 4, 9, 3]), num_tokens=CHUNK, batch_size=3))
  assert [indices for indices, _ in each] == [[1, 4, 9], [3]]
  np.testing.assert_array_equal(np.stack([batch.tokens[:, 0] for _, batch in each]), [[1, 4, 9], [3, 0, 0]])
  np.testing.assert_array_equal(np.stack([batch.lengths for _, batch in each]), [[3, 4, 4], [4, 0, 0]])


def test_validation_of_nothing(tmp_path):
  assert validated(make_chunks(tmp_path, []), 2) == []


def test_a_chunk_that_cannot_be_read_any_more_is_left_out(chunks, tmp_path, caplog):
  (tmp_path / '2.wav').unlink()
  with caplog.at_level(logging.WARNING):
    (batch,) = validated(chunks, 11)
  np.testing.assert_array_equal(batch.lengths, [4, 3, 4, 0, 0, 0, 0, 0, 4, 4, 1])
  np.testing.assert_array_equal(batch.tokens[3:8], 0)
  np.testing.assert_array_equal(batch.tokens[8:, 0], [8, 9, 10])
  messages = [record.getMessage() for record in caplog.records]
  assert len(messages) == 5
  assert all('2.wav: cannot be read' in message for message in messages)
  assert [message.partition(':')[0] for message in messages] == [f'chunk {index} is left out' for index in range(3, 8)]
  assert sorted(read(chunks, step=0, batch_size=11).lengths) == [0] * 5 + [1, 3, 4, 4, 4, 4]
