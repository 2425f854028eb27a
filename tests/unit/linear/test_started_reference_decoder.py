"""docs/FORMAT.md suffices for segments of codings 5 and 6: a decoder written from it gives back what was coded."""

import dataclasses

import numpy as np
import pytest
from reference_decoder import segments as independent_segments
from reference_decoder import started as independent_started
from support import hybrid_cases
from support.reference_networks import as_lists

from language_modeling_is_compression.format.payloads import Segment
from language_modeling_is_compression.linear import groups
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.linear.groups import GroupCoder
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.codebook import filters
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS
from language_modeling_is_compression.prediction.start import Start
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.system.cancellation import Cancellation

NETWORK = hybrid_cases.random_network(experts=LINEAR_EXPERTS)
CODERS: dict[str, GroupCoder] = {'linear': LinearCoder(), 'hybrid': HybridCoder(NETWORK)}
KINDS = [(kind, effort) for kind, coder in CODERS.items() for effort in range(len(coder.presets))]
SOUNDS = hybrid_cases.sounds(60)


def encoded(kind: str, samples: np.ndarray, **shape: int) -> bytes:
  segment = Segment(samples=samples, shape=hybrid_cases.shape_of(samples, **shape))
  [found] = CODERS[kind].encode([segment], Cancellation())
  assert found is not None
  return found.body


def decoded(kind: str, body: bytes, samples: np.ndarray, **shape: int) -> list[list[int]]:
  described = dataclasses.asdict(hybrid_cases.shape_of(samples, **shape))
  network = as_lists(NETWORK) if kind == 'hybrid' else None
  return independent_started.decode(body, network, independent_segments.Segment(**described))


def check(kind: str, samples: np.ndarray, **shape: int) -> None:
  assert decoded(kind, encoded(kind, samples, **shape), samples, **shape) == samples.tolist()


@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize(('kind', 'effort'), KINDS)
def test_decodes_a_tone(kind, effort, channels):
  check(kind, hybrid_cases.tone(150, channels=channels), effort=effort)


@pytest.mark.parametrize('name', SOUNDS)
def test_decodes_every_sound(name):
  samples, sample_bytes = SOUNDS[name]
  check('linear', samples, sample_bytes=sample_bytes, effort=len(name) % 4)
  check('hybrid', samples[:30], sample_bytes=sample_bytes, effort=len(name) % 5)


def test_decodes_to_the_end_of_what_a_start_takes():
  check('linear', hybrid_cases.tone(1100), effort=0)


def test_decodes_ten_channels():
  """Of two groups; some are silent, one of them the first of its group."""
  samples = hybrid_cases.tone(40, channels=10) // np.arange(1, 11, dtype=np.int32)
  samples[:, [3, 4, 8]] = [0, 5, -7]
  for kind in CODERS:
    check(kind, samples)


def test_decodes_lags_and_their_absence(monkeypatch):
  samples = hybrid_cases.tone(4150)
  check('linear', samples, effort=1)
  monkeypatch.setattr(groups, 'find_lags', lambda indices, cancellation: np.array([[0, 0], [777, 32]]))
  check('linear', samples, effort=2)


@pytest.mark.parametrize('start', [Start(filter=0, level=-2), Start(filter=31, level=29), Start(filter=14, level=3)])
def test_decodes_any_start(start, monkeypatch):
  monkeypatch.setattr(value_map, 'find_start', lambda indices: start)
  for kind in CODERS:
    check(kind, hybrid_cases.tone(40, channels=2), effort=1)


def test_filters_are_the_same_to_the_last_bit():
  for number, chosen in enumerate(filters()):
    found = independent_started.FirstFilter(number)
    assert found.deviations == chosen.deviations.tolist()
    assert [found.correlation(i) for i in range(33)] == chosen.correlations(33).tolist()
    assert found.coefficients[8] == chosen.predictors[8].tolist()


def test_says_the_same_of_damage():
  """Mostly that it is none that an encoder wrote; what is left of a short code may also be that of other samples."""
  samples = hybrid_cases.tone(20)
  for kind, coder in CODERS.items():
    body, num_refused = encoded(kind, samples), 0
    damaged = [body[:kept] for kept in range(len(body))]
    damaged += [body[:at] + bytes([body[at] ^ 1 << at % 8]) + body[at + 1 :] for at in range(len(body))]
    damaged += [body + b'x', body + bytes(4), b'\x80' * 20]
    for each in damaged:
      [found] = coder.decode([each], [hybrid_cases.shape_of(samples)], Cancellation())
      if found is None:
        num_refused += 1
        with pytest.raises(ValueError, match=r'\w'):
          decoded(kind, each, samples)
      else:
        assert isinstance(found, Segment)
        assert decoded(kind, each, samples) == found.samples.tolist()
    assert num_refused > 0.9 * len(damaged)
