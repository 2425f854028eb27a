"""Compares two decoders on damaged bodies of linear prediction: python tests/fuzz/compare_linear.py [COUNT] [SEED].

A body is of coding 3 or 5, or of 4 or 6, with a network of random integers. The package's and the reference decoder
(docs/reference_decoder) read side information with changed numbers and random codes. Both must refuse a body,
or find the same samples; neither asks here whether the code is at its end, which random ones never are. Exits 1 if they
differ.
"""

import collections
import dataclasses
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ('', 'tests', 'docs')]

from reference_decoder import hybrid, linear, segments, started
from support import hybrid_cases, segment_bodies
from support.reference_networks import as_lists

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.format.layout import HybridLayout, LinearLayout
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.linear.groups import GroupCoder
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.system.cancellation import Cancellation

_FRAMES = 40
_SAMPLE_BYTES = 30  # Of random code, at least: more than five symbols take.


def main(count: int = 2000, seed: int = 0) -> int:
  warnings.simplefilter('error')
  rng = np.random.default_rng(seed)
  sounds = list(hybrid_cases.sounds(_FRAMES).items())
  network = hybrid_cases.random_network(experts=LINEAR_EXPERTS)
  coders = (LinearCoder(LinearLayout), HybridCoder(network, HybridLayout), LinearCoder(), HybridCoder(network))
  outcomes: collections.Counter[str] = collections.Counter()
  with (
    mock.patch.object(rans.Decoder, 'sound', lambda decoder: decoder._well_formed),
    mock.patch.object(segments.EntropyDecoder, 'finish', return_value=None),
    mock.patch.object(started.CompactDecoder, 'finish', return_value=None),
  ):
    for _ in range(count):
      name, (samples, sample_bytes) = sounds[rng.integers(len(sounds))]
      coder = coders[rng.integers(len(coders))]
      effort = int(rng.integers(len(coder.presets)))
      shape = hybrid_cases.shape_of(samples, sample_bytes=sample_bytes, effort=effort)
      body = _damaged_body(coder, samples, shape, rng)
      outcome = _outcome(coder, as_lists(network), body, shape)
      outcomes[outcome] += 1
      if outcome == 'different':
        print(f'different: {name}, coding {coder.layout.coding}, effort {effort}', file=sys.stderr)
  print(', '.join(f'{number:,} {outcome}' for outcome, number in sorted(outcomes.items())))
  return 1 if outcomes['different'] else 0


def _damaged_body(coder: GroupCoder, samples: np.ndarray, shape: SegmentShape, rng: np.random.Generator) -> bytes:
  body, channels = _encoded(coder, samples, shape), samples.shape[1]
  if coder.has_starts:
    groups = segment_bodies.compact_groups_of(body, channels, shape)
    return segment_bodies.compact_body_of([_damaged_compact(group, rng) for group in groups])
  return segment_bodies.body_of([_damaged(group, rng) for group in segment_bodies.groups_of(body, channels)])


def _encoded(coder: GroupCoder, samples: np.ndarray, shape: SegmentShape) -> bytes:
  [found] = coder.encode([Segment(samples=samples, shape=shape)], Cancellation())
  assert found is not None
  return found.body


def _damaged(group: segment_bodies.Group, rng: np.random.Generator) -> segment_bodies.Group:
  """Another code, and often another number in the side information of a channel."""
  channels = [list(numbers) for numbers in group.channels]
  if rng.random() < 0.6:
    numbers = channels[rng.integers(len(channels))]
    place, is_near = rng.integers(len(numbers)), rng.random() < 0.6
    large = int(rng.integers(-(1 << 33), 1 << 33)) >> int(rng.integers(33))
    numbers[place] = numbers[place] + int(rng.integers(-3, 4)) if is_near else large
    numbers[5:] = numbers[5:] or [int(rng.integers(0, 5))] if numbers[4] else []
  words = len(channels) * _FRAMES * _SAMPLE_BYTES // 4 + 2
  return group._replace(channels=channels, code=group.code[:6] + rng.bytes(4 * words - 6))


def _damaged_compact(group: segment_bodies.CompactGroup, rng: np.random.Generator) -> segment_bodies.CompactGroup:
  """The same of codings 5 and 6. A code of all but 8 bytes may be of any length."""
  side = bytearray(group.side)
  if rng.random() < 0.6:
    place = int(rng.integers(len(side)))
    side[place] = side[place] + int(rng.integers(-3, 4)) & 255 if rng.random() < 0.5 else int(rng.integers(256))
  num_bytes = int(rng.integers(12)) if rng.random() < 0.2 else _FRAMES * _SAMPLE_BYTES + int(rng.integers(8))
  code = group.code if rng.random() < 0.1 else rng.bytes(num_bytes)
  return group._replace(side=bytes(side), code=code)


def _outcome(coder: GroupCoder, network: segments.Network, body: bytes, shape: SegmentShape) -> str:
  [found] = coder.decode([body], [shape], Cancellation())
  segment = segments.Segment(**dataclasses.asdict(shape))
  try:
    has_network = isinstance(coder, HybridCoder)
    if coder.has_starts:
      expected = started.decode(body, network if has_network else None, segment)
    else:
      expected = hybrid.decode(body, network, segment) if has_network else linear.decode(body, segment)
  except ValueError:
    return 'refused by both' if found is None else 'different'
  same = isinstance(found, Segment) and found.samples.tolist() == expected
  return 'decoded to the same' if same else 'different'


if __name__ == '__main__':
  sys.exit(main(*map(int, sys.argv[1:])))
