"""The compiled and the parallel predictor: the same integers, in lanes and at once, whatever the lanes."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from support import tiny_models

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.quantized import xla
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.predictor import Predictor
from language_modeling_is_compression.quantized.quantize import quantize_byte_model
from language_modeling_is_compression.quantized.xla import XlaPredictor

TOTAL = 1 << 24


class Case(NamedTuple):
  use_16bit: bool = False
  scale: float = 0.05
  window: int = 4
  num_heads: int = 2
  num_layers: int = 1


CASES = {
  '8-bit': Case(num_layers=2),
  '16-bit, window longer than the text': Case(use_16bit=True, window=90),
  'extreme weights': Case(use_16bit=True, scale=20.0),
  'window of 1': Case(scale=0.5, window=1, num_heads=1),
}
LENGTHS = np.array([40, 40, 23, 7, 2])


@functools.cache
def predictors(name: str) -> tuple[CpuPredictor, XlaPredictor]:
  case = CASES[name]
  config = ModelConfig(
    embedding_dim=6,
    num_layers=case.num_layers,
    num_heads=case.num_heads,
    widening_factor=3,
    attention_window=case.window,
  )
  data = DataConfig(use_16bit=case.use_16bit, chunk_size=16)
  params: Any = tiny_models.random_params(build_transformer(config, data), scale=case.scale)
  network = quantize_byte_model(ByteModel(params=params, spec=ByteSpec(network=config, data=data), provenance={}))
  return CpuPredictor(network), XlaPredictor(network, jax.devices('cpu')[0])


@functools.cache
def text() -> np.ndarray:
  return tiny_models.random_tokens((len(LENGTHS), 40), seed=5).astype(np.uint8)


def stepwise(predictor: Predictor, rows: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
  """Cdfs [length, V + 1] of each row; the rows are lanes, the longest first, that drop out as they end."""
  lanes = predictor.lanes(len(rows))
  found: list[list[np.ndarray]] = [[] for _ in rows]
  for t in range(max(lengths)):
    active = int((lengths > t).sum())
    for lane, cdf in enumerate(lanes.cdfs(active).copy()):
      found[lane].append(cdf)
    lanes.push(rows[:active, t].astype(np.int64))
  return [np.array(each) for each in found]


def of_tokens(cdfs: np.ndarray, tokens: np.ndarray) -> np.ndarray:
  """Intervals [T, 2] of the tokens."""
  bounds = np.stack([tokens, tokens + np.int64(1)], axis=1, dtype=np.int64)
  ends = np.take_along_axis(cdfs, bounds, axis=1).astype(np.int64)
  return np.stack([ends[:, 0], ends[:, 1] - ends[:, 0]], axis=1)


@pytest.mark.parametrize('name', ['8-bit', 'extreme weights'])
def test_both_give_the_same_distributions(name):
  compiled, by_xla = predictors(name)
  assert compiled.identity == by_xla.identity
  assert (compiled.places, compiled.vocab_size) == (by_xla.places, 256) == (1 + CASES[name].use_16bit, 256)
  expected = stepwise(compiled, text(), LENGTHS)
  for found, cdfs in zip(stepwise(by_xla, text(), LENGTHS), expected, strict=True):
    np.testing.assert_array_equal(found, cdfs)
  assert len(np.unique(np.concatenate(expected), axis=0)) > (1 if CASES[name].scale > 1 else 20)  # The text matters.


@pytest.mark.parametrize('name', CASES)
def test_at_once_is_step_by_step(name, monkeypatch):
  """Also beside rows of other lengths, whose padding is of no account, and where blocks of tokens meet."""
  monkeypatch.setattr(xla, '_TOKENS_AT_ONCE', 16)
  expected = stepwise(predictors(name)[0], text(), LENGTHS)
  for predictor in predictors(name):
    found = predictor.intervals(text(), LENGTHS)
    assert found.shape == (len(LENGTHS), 40, 2) and found.dtype == np.uint32
    for row, length in enumerate(LENGTHS):
      np.testing.assert_array_equal(found[row, :length], of_tokens(expected[row], text()[row, :length]))


@pytest.mark.parametrize('name', CASES)
def test_cdfs_are_valid(name):
  for cdfs in stepwise(predictors(name)[0], text(), LENGTHS):
    assert cdfs.dtype == np.uint32 and cdfs.shape[1] == 257
    assert (cdfs[:, 0] == 0).all() and (cdfs[:, -1] == TOTAL).all()
    assert np.diff(cdfs.astype(np.int64)).min() >= 1


@pytest.mark.parametrize('num_lanes', [1, 2, 3, 5, 16, 65])
def test_a_lane_knows_nothing_of_the_others(num_lanes):
  compiled, _ = predictors('8-bit')
  rows = tiny_models.random_tokens((num_lanes, 12), seed=num_lanes).astype(np.uint8)
  rows[num_lanes // 2] = text()[0, :12]
  together = stepwise(compiled, rows, np.full(num_lanes, 12))
  np.testing.assert_array_equal(together[num_lanes // 2], stepwise(compiled, text()[:1], np.array([12]))[0])


def test_only_what_came_before_counts():
  compiled, _ = predictors('16-bit, window longer than the text')
  before, other = text()[:1], text()[:1].copy()
  other[0, 20] ^= 1
  lengths = np.array([40])
  found, changed = compiled.intervals(before, lengths)[0], compiled.intervals(other, lengths)[0]
  np.testing.assert_array_equal(found[:20], changed[:20])
  assert not np.array_equal(found[21:], changed[21:])
