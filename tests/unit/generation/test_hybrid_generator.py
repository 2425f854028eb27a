"""Hybrid models: what they draw is what their codes would be of, within the seed's values, and does not run away."""

import numpy as np
import pytest
from support.generation_cases import generated, hybrid_model, pcm_of, request
from support.hybrid_cases import random_network, shape_of, tone

from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.entropy.sampling import Sampler, random_bits
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.generation import hybrid_generator
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.long_term import NUM_LAGS, num_blocks
from language_modeling_is_compression.quantized.segments import EnsembleCoder, _Group
from language_modeling_is_compression.system.cancellation import Cancellation


@pytest.mark.slow  # Of version 2, which does not change any more: what draws takes a quarter of a minute to compile.
@pytest.mark.parametrize(('sample_bytes', 'channels'), [(1, 1), (2, 1), (2, 2), (3, 2), (2, 9)])
def test_the_first_frame_is_decoded_from_random_numbers(sample_bytes, channels):
  """Each byte's interval, as the encoder has it, holds the number that it was drawn by."""
  seed = tone(200, channels=channels)
  seed = seed >> 8 if sample_bytes == 1 else seed << (8 * sample_bytes - 16)
  coder = EnsembleCoder(random_network())
  sampler = Sampler(5, [1.0] * 3)
  for sequence in range(3):
    for number, group in enumerate(coder.drawn_groups(seed, _with_room(seed, sample_bytes, 1))):
      group.follow(1000)
      drawn = group.draw(1, sampler, sequence)
      part = seed[:, 8 * number : 8 * number + 8]
      values = [value_map.channel_values(channel) for channel in part.T]
      both = np.concatenate([part, drawn])
      shape = shape_of(both, sample_bytes)
      lags = np.zeros((num_blocks(shape.num_frames), NUM_LAGS), np.int64)
      coded = _Group(coder._network, values, lags, shape)
      intervals = coded.encode(value_map.to_indices(both, values), Cancellation())
      places = coded._places
      last = intervals[-int(places.sum()) :].astype(np.int64)
      at = 0
      for channel, count in enumerate(places):
        for place in range(count):
          position = (number << 48) + 4 * channel + place
          slot = int(random_bits(*map(np.uint64, (5, position, sequence)))) % (1 << PRECISION_BITS)
          assert last[at, 0] <= slot < last[at].sum()
          at += 1


def _with_room(seed: np.ndarray, sample_bytes: int, num_frames: int):
  return shape_of(np.concatenate([seed, np.zeros((num_frames, seed.shape[1]), np.int32)]), sample_bytes)


@pytest.mark.parametrize('channels', [1, 2, 9])
def test_sequences_do_not_depend_on_others_nor_on_threads_and_blocks(channels):
  model, pcm, seed = hybrid_model(), pcm_of(2, channels), tone(300, channels=channels)
  alone = generated(model, request(pcm, num_frames=60, seed=seed))
  together = generated(model, request(pcm, num_frames=60, seed=seed, num_sequences=3, num_threads=2), block=13)
  assert together.shape == (3, 60, channels)
  np.testing.assert_array_equal(together[0], alone[0])
  assert len(np.unique(together.reshape(3, -1), axis=0)) == 3


def test_values_are_those_of_the_seed():
  """Whatever the model makes of them: no louder, and even where the seed is even."""
  seed = 2 * (tone(400) >> 4)
  drawn = generated(hybrid_model(), request(pcm_of(), num_frames=2000, seed=seed))
  assert seed.min() <= drawn.min() and drawn.max() <= seed.max()
  assert not (drawn % 2).any() and len(np.unique(drawn)) > 50


def test_silence_goes_on_as_silence():
  silent = np.full((50, 2), -7, np.int32)
  drawn = generated(hybrid_model(), request(pcm_of(2, 2), num_frames=30, num_sequences=2, seed=silent))
  assert (drawn == -7).all()
  beside = np.concatenate([silent[:, :1], tone(50)], axis=1)
  drawn = generated(hybrid_model(), request(pcm_of(2, 2), num_frames=30, seed=beside))
  assert (drawn[..., 0] == -7).all() and np.ptp(drawn[..., 1]) > 100


def test_without_a_seed_the_beginning_of_a_file_is_drawn():
  drawn = generated(hybrid_model(), request(pcm_of(), num_frames=500, num_sequences=2))
  assert np.ptp(drawn) > 0 and not np.array_equal(drawn[0], drawn[1])


@pytest.mark.parametrize('frequency', [200.0, 440.0, 1234.5])
def test_a_sine_goes_on(frequency):
  """At temperature 0: the same frequency within 1%, about as loud."""
  time = np.arange(4000)[:, None] / 8000
  seed = np.round(8000 * np.sin(2 * np.pi * frequency * time)).astype(np.int32)
  drawn = generated(hybrid_model(), request(pcm_of(), num_frames=8000, seed=seed, temperature=0.0))[0, :, 0]
  spectrum = np.abs(np.fft.rfft(drawn * np.hanning(len(drawn))))
  assert abs(np.argmax(spectrum) * 8000 / len(drawn) / frequency - 1) < 0.01
  assert 0.5 < np.sqrt((drawn[-1000:] ** 2.0).mean() * 2) / 8000 < 1.1


def test_more_than_memory_holds_is_refused(monkeypatch):
  monkeypatch.setattr(hybrid_generator, '_MAX_SAMPLES', 1000)
  with pytest.raises(ConfigError, match='at most 1,000 samples'):
    generated(hybrid_model(), request(pcm_of(), num_frames=700, seed=tone(301)))
  with pytest.raises(ConfigError, match='at most 1,000 samples'):
    generated(hybrid_model(), request(pcm_of(), num_frames=300, num_sequences=4))
