"""How batches are cut: by the memory that a row is estimated to take, evenly, over all devices."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.tiny_models import DATA, MODEL

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.data.batches import Batch
from language_modeling_is_compression.network.byte_model import ByteSpec
from language_modeling_is_compression.network.hybrid_model import HybridSpec
from language_modeling_is_compression.training import plan as plan_module
from language_modeling_is_compression.training.byte_task import token_bytes
from language_modeling_is_compression.training.hybrid_task import sample_bytes
from language_modeling_is_compression.training.layout import device_mesh
from language_modeling_is_compression.training.plan import MicroBatches, plan_micro_batches

# MODEL and DATA: 2 layers of 8 * (10 + 3 * 2) floats, and 3 * 256 of logits.
TOKEN_BYTES = 4 * (2 * 8 * 16 + 768)
NUM_TOKENS = 16
ROW_BYTES = NUM_TOKENS * TOKEN_BYTES


def fake_mesh(num_devices: int = 2, platform: str = 'cpu', stats: dict | None = None) -> Any:
  device = SimpleNamespace(platform=platform, device_kind='fake', memory_stats=lambda: stats)
  return SimpleNamespace(devices=np.array([device] * num_devices))


def plan(batch_size: int, *, rows: int | None = None, mesh=None, model=MODEL, data=DATA, num_tokens=NUM_TOKENS):
  row_bytes = num_tokens * token_bytes(ByteSpec(network=model, data=data))
  return plan_micro_batches(row_bytes=row_bytes, batch_size=batch_size, rows_per_device=rows, mesh=mesh or fake_mesh())


def allow_rows(monkeypatch, rows_per_device: float) -> None:
  """So many rows fit each of the two CPU devices, which share the memory."""
  monkeypatch.setattr(plan_module, '_CPU_ACTIVATION_BYTES', 2 * rows_per_device * ROW_BYTES)


@pytest.mark.parametrize(
  ('fitting', 'batch_size', 'count', 'rows'),
  [
    (64, 128, 1, 128),
    (1000, 128, 1, 128),  # No more rows than the batch has.
    (63, 128, 2, 64),  # One row too many for one: two of the same size, not 126 and 2.
    (32, 128, 2, 64),
    (31.99, 128, 3, 44),
    (1, 128, 64, 2),
    (1, 5, 3, 2),
    (2, 7, 2, 4),
    (9, 1, 1, 2),  # The second device has nothing but a row of length 0.
  ],
)
def test_as_few_micro_batches_as_fit_all_of_one_size(monkeypatch, fitting, batch_size, count, rows):
  allow_rows(monkeypatch, fitting)
  assert plan(batch_size) == MicroBatches(count=count, rows=rows, remat=False)


@pytest.mark.parametrize('fitting', [0.99, 0.5, 1e-6])
def test_layers_are_recomputed_where_not_even_one_row_fits(monkeypatch, fitting):
  allow_rows(monkeypatch, fitting)
  assert plan(6) == MicroBatches(count=3, rows=2, remat=True)


@pytest.mark.parametrize(
  ('rows_per_device', 'count', 'rows', 'remat'),
  [(1, 5, 2, False), (2, 3, 4, False), (3, 2, 6, True), (4, 2, 6, True), (5, 1, 10, True), (10**9, 1, 10, True)],
)
def test_rows_per_device_that_the_user_chose(monkeypatch, rows_per_device, count, rows, remat):
  allow_rows(monkeypatch, 2)
  expected = MicroBatches(count=count, rows=rows, remat=remat)
  assert plan(10, rows=rows_per_device) == expected


@pytest.mark.parametrize('num_devices', [1, 2, 3, 8])
@pytest.mark.parametrize('batch_size', [1, 2, 7, 128])
@pytest.mark.parametrize('rows', [None, 1, 3, 100])
def test_every_row_has_a_place(monkeypatch, num_devices, batch_size, rows):
  monkeypatch.setattr(plan_module, '_CPU_ACTIVATION_BYTES', num_devices * 5 * ROW_BYTES)
  chosen = plan(batch_size, rows=rows, mesh=fake_mesh(num_devices))
  assert chosen.count * chosen.rows >= batch_size
  assert chosen.rows % num_devices == 0
  assert chosen.rows // num_devices <= (rows or 5), 'a device holds more than it may'
  assert (chosen.count - 1) * chosen.rows < batch_size, 'a micro-batch holds nothing'


def test_devices_that_share_a_hosts_memory_have_less_each(monkeypatch):
  monkeypatch.setattr(plan_module, '_CPU_ACTIVATION_BYTES', 8 * ROW_BYTES)
  assert plan(64, mesh=fake_mesh(1)).rows == 8
  assert plan(64, mesh=fake_mesh(4)).rows == 8


@pytest.mark.parametrize(
  ('stats', 'fitting'),
  [({'bytes_limit': 100 * ROW_BYTES}, 35), ({'bytes_limit': 100 * ROW_BYTES, 'bytes_in_use': 99 * ROW_BYTES}, 35)],
)
def test_accelerators_have_their_own_memory_whatever_is_in_use(stats, fitting):
  for num_devices in (1, 4):
    chosen = plan(1 << 20, mesh=fake_mesh(num_devices, 'gpu', stats))
    assert chosen.count == -(-(1 << 20) // (fitting * num_devices))


@pytest.mark.parametrize('stats', [None, {}, {'bytes_limit': 0}])
def test_accelerators_that_do_not_tell_their_memory(monkeypatch, stats):
  monkeypatch.setattr(plan_module, '_FALLBACK_ACCELERATOR_BYTES', 7 * ROW_BYTES)
  assert plan(14, mesh=fake_mesh(1, 'gpu', stats)) == MicroBatches(count=2, rows=7, remat=False)


def test_the_estimate_grows_with_the_network_and_the_rows(monkeypatch):
  allow_rows(monkeypatch, 64)
  settings = {'embedding_dim': 16, 'num_heads': 2, 'num_layers': 2, 'widening_factor': 2}
  larger: list[dict[str, Any]] = [
    {'model': ModelConfig(**settings)},
    {'model': ModelConfig(**{**settings, 'embedding_dim': 8, 'num_layers': 4})},
    {'model': ModelConfig(**{**settings, 'embedding_dim': 8, 'widening_factor': 8})},
    {'num_tokens': NUM_TOKENS + 1},
  ]
  assert plan(128).count == 1
  assert [plan(128, **change).count for change in larger] == [2] * 4
  # The logits of a large vocabulary are never held all at once.
  large_vocabulary = DataConfig(use_16bit=True, tokenization='sample', chunk_size=NUM_TOKENS)
  assert plan(128, data=large_vocabulary).count == 1


def test_rows_of_hybrid_models_hold_features_and_components():
  row_bytes = 512 * sample_bytes(HybridSpec(network=ModelConfig()))
  chosen = plan_micro_batches(row_bytes=row_bytes, batch_size=1000, rows_per_device=None, mesh=fake_mesh(1))
  assert (1 << 28) // (512 * 4 * (4 * 64 * 22 + 48 + 12 * 8)) == 22
  assert chosen == MicroBatches(count=46, rows=22, remat=False)


def test_the_default_flags_on_this_machine():
  """A quarter of a gibibyte holds 5 rows of 2048 tokens of 4 layers of 64 * 22 floats and 768 more."""
  chosen = plan(1000, model=ModelConfig(), data=DataConfig(), num_tokens=2048, mesh=fake_mesh(1))
  assert (1 << 28) // (2048 * 4 * (4 * 64 * 22 + 768)) == 5
  assert chosen == MicroBatches(count=200, rows=5, remat=False)


def test_the_mesh_has_all_devices():
  assert device_mesh().devices.size == 2, 'tests/conftest.py sets two'
  assert plan(3, mesh=device_mesh()).rows == 4


def test_arrange_keeps_the_order_and_adds_rows_of_length_0():
  batch = Batch(np.arange(1, 21, dtype=np.uint16).reshape(5, 4), np.array([4, 0, 1, 4, 3], np.int32))
  arranged = MicroBatches(count=3, rows=2, remat=False).arrange(batch)
  assert arranged.tokens.shape == (3, 2, 4) and arranged.tokens.dtype == np.uint16
  assert arranged.lengths.shape == (3, 2) and arranged.lengths.dtype == np.int32
  np.testing.assert_array_equal(arranged.tokens.reshape(6, 4)[:5], batch.tokens)
  np.testing.assert_array_equal(arranged.lengths.reshape(6), [4, 0, 1, 4, 3, 0])
  assert not arranged.tokens.reshape(6, 4)[5].any()


def test_arrange_does_not_lose_rows():
  batch = Batch(np.zeros((5, 4), np.uint8), np.full(5, 4, np.int32))
  with pytest.raises(ValueError, match='negative'):
    MicroBatches(count=2, rows=2, remat=False).arrange(batch)


@pytest.mark.parametrize(('batch_size', 'count', 'rows'), [(12, 3, 4), (9, 3, 4), (1, 1, 4), (17, 3, 8), (8, 1, 8)])
def test_processes_share_the_rows_of_a_batch_out(batch_size, count, rows):
  """Beside one another in the order of the processes, their rows are those that one process would have."""
  batch = Batch(np.arange(5 * batch_size, dtype=np.uint8).reshape(batch_size, 5), np.full(batch_size, 5, np.int32))
  parts = []
  for process in range(2):
    plan = MicroBatches(count=count, rows=rows, remat=False, num_processes=2, process=process)
    own = plan.own(batch_size)
    parts.append(plan.arrange(Batch(batch.tokens[own], batch.lengths[own])))
  whole = MicroBatches(count=count, rows=rows, remat=False)
  assert whole.own(batch_size) == list(range(batch_size))
  np.testing.assert_array_equal(np.concatenate([part.tokens for part in parts], 1), whole.arrange(batch).tokens)
  np.testing.assert_array_equal(np.concatenate([part.lengths for part in parts], 1), whole.arrange(batch).lengths)


@pytest.mark.parametrize('remat', [True, False])
def test_recomputation_as_the_user_says(remat):
  chosen = plan_micro_batches(row_bytes=1, batch_size=8, rows_per_device=None, mesh=fake_mesh(), remat=remat)
  assert chosen.remat == remat
