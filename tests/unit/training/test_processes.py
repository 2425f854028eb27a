"""Processes of a run: what one alone does, and in which environments several are looked for."""

import jax
import pytest

from language_modeling_is_compression.config.options import ProcessesConfig
from language_modeling_is_compression.errors import ConfigError, TrainingError
from language_modeling_is_compression.training import processes as processes_module
from language_modeling_is_compression.training.processes import LOST, Processes, join_processes

OUT_OF_MEMORY = 'RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.'


def test_one_alone_agrees_with_itself():
  alone = Processes()
  assert alone.is_first and alone.largest(3, 0) == (3, 0)
  with alone.together():
    pass
  with pytest.raises(ConfigError, match='reason'), alone.together():
    raise ConfigError('reason')
  alone.check_same('settings', 'f' * 64)


def test_processes_with_different_beginnings_are_refused():
  class Two(Processes):
    def largest(self, *values):
      others = [7] * 4 + [-7] * 4
      return tuple(max(pair) for pair in zip(values, others, strict=True))

  same = '0000007' * 4
  Two(2, 1).check_same('settings', same + '0' * 36)
  with pytest.raises(ConfigError, match='do not have the same settings'):
    Two(2, 1).check_same('settings', '0000008' + same[7:] + '0' * 36)


@pytest.mark.parametrize(
  ('environment', 'found'),
  [
    ({}, False),
    ({'SLURM_PROCID': '0', 'SLURM_STEP_NODELIST': 'n1', 'SLURM_NTASKS': '4'}, True),
    ({'SLURM_PROCID': '0', 'SLURM_STEP_NODELIST': 'n1', 'SLURM_NTASKS': '1'}, False),
    ({'SLURM_NTASKS': '4', 'SLURM_JOB_NODELIST': 'n1'}, False),  # A shell within an allocation.
    ({'OMPI_COMM_WORLD_SIZE': '2'}, True),
    ({'TPU_WORKER_HOSTNAMES': 'a,b'}, True),
    ({'TPU_WORKER_HOSTNAMES': 'localhost'}, False),
  ],
)
def test_environments_of_several_processes(monkeypatch, environment, found):
  for name in ('SLURM_PROCID', 'SLURM_STEP_NODELIST', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE', 'TPU_WORKER_HOSTNAMES'):
    monkeypatch.delenv(name, raising=False)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  joined: list[tuple] = []
  monkeypatch.setattr(jax.distributed, 'initialize', lambda *given, **_: joined.append(given))
  monkeypatch.setattr(processes_module, '_say_why_aborted', lambda command: None)
  assert join_processes(ProcessesConfig(), 'train-audio').count == 1
  assert joined == ([(None, None, None)] if found else [])


def test_a_process_that_cannot_join_says_where_it_looked(monkeypatch):
  def initialize(*_, **__):
    raise RuntimeError('DEADLINE_EXCEEDED: nobody there\nmore')

  monkeypatch.setattr(jax.distributed, 'initialize', initialize)
  monkeypatch.setattr(processes_module, '_say_why_aborted', lambda command: None)
  config = ProcessesConfig(coordinator_address='host:1234', num_processes=2, process_id=1)
  with pytest.raises(
    ConfigError, match=r'^coordinator_address: .*DEADLINE_EXCEEDED: nobody there: check that process 0'
  ):
    join_processes(config, 'train-audio')


@pytest.mark.parametrize(
  ('message', 'count', 'explanation'),
  [
    (
      OUT_OF_MEMORY,
      2,
      f'the device failed: {OUT_OF_MEMORY}; try a lower --micro_batch_size or a smaller model',
    ),
    ('INTERNAL: broken\nand 100 lines more', 1, 'the device failed: INTERNAL: broken'),
    ('INTERNAL: broken', 2, f'{LOST} (the device failed: INTERNAL: broken)'),
    ('', 1, 'the device failed: JaxRuntimeError'),
  ],
)
def test_failures_of_devices_are_one_line(message, count, explanation):
  with pytest.raises(TrainingError) as caught, Processes(count).explaining():
    raise jax.errors.JaxRuntimeError(message)
  assert str(caught.value) == explanation
