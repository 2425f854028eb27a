"""What integers leave open comes back, and what is known beforehand costs nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.numbers import remainders
from language_modeling_is_compression.numbers.patterns import (
  DOUBLE,
  PRECISIONS,
  SINGLE,
  orders_from_patterns,
  patterns_from_orders,
)


@settings(max_examples=100, deadline=None)
@given(width=st.sampled_from([4, 8]), num=st.integers(1, 100), near=st.integers(0, 62), seed=st.integers(0, 1 << 32))
def test_any_patterns_come_back_by_any_bases(width, num, near, seed):
  rng, precision = np.random.default_rng(seed), PRECISIONS[width]
  orders = orders_from_patterns(rng.integers(0, 1 << (8 * width), num, f'u{width}', endpoint=False))
  bases = np.where(rng.uniform(size=num) < 0.5, orders ^ (rng.integers(0, 1 << near, num) // 2), 0)
  bases = orders_from_patterns(patterns_from_orders(bases, precision))
  free = rng.integers(0, precision.mantissa_bits + 1, num)
  contexts = rng.integers(0, remainders.NUM_CONTEXTS, num)
  code = remainders.encode(orders.copy(), bases, free, contexts, precision)
  found = remainders.decode(code, bases, free, contexts, precision)
  assert found is not None
  np.testing.assert_array_equal(found, orders)


@pytest.mark.parametrize('step', [-2, -1, 1, 2])
@pytest.mark.parametrize('base', [-5, -1, 0, 3])
def test_steps_beside_a_base_are_short(step, base):
  none, bases = np.zeros(2000, np.int64), np.full(2000, base)
  orders = bases + step
  code = remainders.encode(orders, bases, none, none, SINGLE)
  assert len(code) < 14
  np.testing.assert_array_equal(remainders.decode(code, bases, none, none, SINGLE), orders)


def test_low_bits_that_are_clear_cost_next_to_nothing():
  rng = np.random.default_rng(0)
  orders = (rng.integers(0, 1 << 12, 20_000) << 40) | (1023 << 52)
  free, none = np.full(20_000, 52), np.zeros(20_000, np.int64)
  code = remainders.encode(orders, np.full(20_000, 1023 << 52), free, none, DOUBLE)
  assert 8 * len(code) < 20_000 * 12 * 1.02


def test_a_code_that_goes_on_is_refused():
  rng = np.random.default_rng(0)
  orders, none = rng.integers(0, 1 << 30, 200), np.zeros(200, np.int64)
  code = remainders.encode(orders, none, none, none, SINGLE)
  for more in (b'\0', bytes(8), code):
    assert remainders.decode(code + more, none, none, none, SINGLE) is None


def test_a_code_that_was_cut_gives_other_patterns_or_none():
  rng = np.random.default_rng(0)
  orders, none = rng.integers(0, 1 << 30, 200), np.zeros(200, np.int64)
  code = remainders.encode(orders, none, none, none, SINGLE)
  for kept in range(len(code)):
    found = remainders.decode(code[:kept], none, none, none, SINGLE)
    assert found is None or (found.shape == orders.shape and not np.array_equal(found, orders))


@pytest.mark.parametrize('width', [4, 8])
def test_orders_rise_with_values(width):
  rng = np.random.default_rng(0)
  drawn = rng.integers(0, 1 << (8 * width), 5000, f'u{width}')
  np.testing.assert_array_equal(patterns_from_orders(orders_from_patterns(drawn), PRECISIONS[width]), drawn)
  values = drawn.view(f'f{width}')
  finite = np.isfinite(values)
  by_order = values[finite][np.argsort(orders_from_patterns(drawn[finite]), kind='stable')]
  assert (by_order[1:] >= by_order[:-1]).all()
  zeros = np.array([0, 1 << (8 * width - 1)], f'u{width}')
  assert orders_from_patterns(zeros).tolist() == [0, -1]
