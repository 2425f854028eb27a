"""What coders of hybrid models draw is what their codes would be of, and depends on nothing but seed and sampler."""

import math

import numpy as np
import pytest
from support import hybrid_cases
from support.hybrid_cases import shape_of, tone

from language_modeling_is_compression.entropy.sampling import Sampler
from language_modeling_is_compression.format.layout import HybridLayout
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.prediction.evidence import ENSEMBLE_EXPERTS, LINEAR_EXPERTS
from language_modeling_is_compression.quantized.drawing import DrawnGroup
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.system.cancellation import Cancellation

CODERS: dict[str, HybridCoder | EnsembleCoder] = {
  'linear': HybridCoder(hybrid_cases.random_network(experts=LINEAR_EXPERTS), HybridLayout),  # Of which sound is drawn.
  'ensemble': EnsembleCoder(hybrid_cases.random_network(experts=ENSEMBLE_EXPERTS)),
}
# The ensemble, of version 2, does not change any more, and what draws of it takes a quarter of a minute to compile.
EACH = pytest.mark.parametrize(
  'coder',
  [pytest.param(coder, id=name, marks=[pytest.mark.slow] * (name == 'ensemble')) for name, coder in CODERS.items()],
)
SAMPLER = Sampler(5, [1.0] * 8)


def with_room(seed: np.ndarray, num_frames: int, sample_bytes: int = 2) -> SegmentShape:
  return shape_of(np.concatenate([seed, np.zeros((num_frames, seed.shape[1]), np.int32)]), sample_bytes)


def groups(
  coder: HybridCoder | EnsembleCoder, seed: np.ndarray, num_frames: int, block: int = 1000
) -> list[DrawnGroup]:
  """Groups that have taken in their seed, so many frames at a time."""
  found = coder.drawn_groups(seed, with_room(seed, num_frames))
  for group in found:
    while group.follow(block) == block:
      pass
  return found


def drawn(found: list[DrawnGroup], blocks: list[int], sequence: int = 0, sampler: Sampler = SAMPLER) -> np.ndarray:
  """int32 [N, C]."""
  parts = [np.concatenate([group.draw(block, sampler, sequence) for group in found], axis=1) for block in blocks]
  return np.concatenate(parts)


@EACH
def test_draws_are_as_frequent_as_codes_say(coder):
  """Of the frame behind a seed, whose values have the code lengths that they would have there."""
  seed = (tone(300) >> 8).clip(-20, 20)
  seed[:41, 0] = np.arange(-20, 21)  # So that all values have been.
  seed[250:] = tone(50, amplitude=3.0, noise=1.0)
  [group] = groups(coder, seed, 1)
  num_draws, values = 3000, np.unique(seed)
  sampler = Sampler(5, [1.0] * num_draws)
  found = [int(group.copy().draw(1, sampler, sequence)[0, 0]) for sequence in range(num_draws)]
  shares = []
  for value in values:
    samples = np.concatenate([seed, [[value]]]).astype(np.int32)
    [encoded] = coder.encode([Segment(samples=samples, shape=shape_of(samples))], Cancellation())
    assert encoded is not None
    shares.append(2.0 ** -float(encoded.sample_bits()[-1, 0]))
  assert math.fsum(shares) == pytest.approx(1, abs=0.01)
  assert max(shares) < 0.6  # They are spread, so that much is compared.
  counts = np.array([found.count(value) for value in values])
  expected = np.array(shares) * num_draws
  assert counts.sum() == num_draws
  assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected) + 3).all()


@EACH
@pytest.mark.parametrize('channels', [1, 2, 9])
def test_blocks_change_nothing(coder, channels):
  """Neither those that the seed is taken in by nor those that are drawn."""
  seed = tone(100, channels=channels)
  expected = drawn(groups(coder, seed, 40), [40])
  np.testing.assert_array_equal(drawn(groups(coder, seed, 40, block=7), [1, 13, 26]), expected)
  assert (np.ptp(expected, axis=0) > 0).all()


@EACH
def test_copies_go_on_by_themselves(coder):
  """In any order, also from where something has been drawn."""
  seed = tone(100, channels=2)
  [group] = groups(coder, seed, 60)
  first, second = group.copy(), group.copy()
  drawn([first], [60], sequence=1)
  begin = drawn([second], [20])
  third = second.copy()
  drawn([second], [40])
  expected = drawn([group], [60])
  np.testing.assert_array_equal(np.concatenate([begin, drawn([third], [40])]), expected)


@EACH
def test_sequences_and_groups_have_random_numbers_of_their_own(coder):
  seed = np.tile(tone(100), (1, 16))
  found = groups(coder, seed, 30)
  assert len(found) == 2
  one, other = (drawn([group.copy() for group in found], [30], sequence) for sequence in (0, 1))
  assert not np.array_equal(one, other)
  assert not np.array_equal(one[:, :8], one[:, 8:])  # Of the same seed.


@EACH
def test_at_temperature_0_the_likeliest_is_drawn(coder):
  """Whatever the random numbers."""
  seed, numbers = tone(200), (1, 2)
  found = [drawn(groups(coder, seed, 30), [30], sampler=Sampler(number, [0.0])).tolist() for number in numbers]
  assert found[0] == found[1]
  warm = [drawn(groups(coder, seed, 30), [30], sampler=Sampler(number, [1.0])).tolist() for number in numbers]
  assert warm[0] != warm[1]


@EACH
@pytest.mark.parametrize('temperature', [0.5, 1.0, 4.0])
def test_nothing_is_drawn_beyond_the_values_of_the_seed(coder, temperature):
  """However unlikely it may be: limits, distances, and a channel of one value."""
  seed = np.concatenate([6 * (tone(200) >> 6) + 1, np.full((200, 1), -77, np.int32)], axis=1).astype(np.int32)
  found = drawn(groups(coder, seed, 400), [400], sampler=Sampler(3, [temperature]))
  assert (found[:, 1] == -77).all()
  assert seed[:, 0].min() <= found[:, 0].min() and found[:, 0].max() <= seed[:, 0].max()
  assert (found[:, 0] % 6 == 1).all() and len(np.unique(found[:, 0])) > 20


@EACH
@pytest.mark.parametrize('sample_bytes', [1, 2, 3])
def test_without_a_seed_all_values_may_come(coder, sample_bytes):
  nothing = np.zeros((0, 2), np.int32)
  [group] = coder.drawn_groups(nothing, with_room(nothing, 200, sample_bytes))
  assert group.follow(1000) == 0
  found = drawn([group], [200], sampler=Sampler(3, [20.0]))
  limit = 1 << (8 * sample_bytes - 1)
  assert -limit <= found.min() and found.max() < limit and np.ptp(found) > limit // 8


@EACH
def test_nothing_is_learnt_from_what_is_drawn(coder):
  """Else it would run away: long after the seed, what comes is about as loud as it was."""
  seed = tone(1500)
  found = drawn(groups(coder, seed, 4000), [4000], sampler=Sampler(1, [0.0]))
  assert 2000 < np.abs(found[-500:]).max() <= np.abs(seed).max()
