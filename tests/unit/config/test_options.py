"""Every field's check, where values come from and which of them wins, and what `--help` says."""

import argparse
import dataclasses
import json
import math
import re
from dataclasses import dataclass
from typing import Any

import pytest
from support.settings import training_settings

from language_modeling_is_compression.config.options import (
  AugmentationConfig,
  CheckpointConfig,
  ComputationConfig,
  DataConfig,
  EarlyStoppingConfig,
  FamilyConfig,
  FinderConfig,
  FoldersConfig,
  GenerationConfig,
  HybridConfig,
  LoggingConfig,
  ModelConfig,
  OptimizerConfig,
  ProcessesConfig,
  RunConfig,
  ScheduleConfig,
  TrainingConfig,
  TrainingSettings,
  recorded_settings,
)
from language_modeling_is_compression.config.settings import (
  Settings,
  add_flags,
  from_mapping,
  given_settings,
  kinds_of,
  read_settings,
  setting,
  to_mapping,
)
from language_modeling_is_compression.errors import ConfigError

KINDS = tuple(kinds_of(TrainingSettings).values())
# What else has to be chosen for a setting to mean something.
COMPANIONS: dict[str, dict[str, Any]] = {
  'cycles': {'learning_rate_schedule': 'cosine'},
  'decay_fraction': {'learning_rate_schedule': 'warmup_stable_decay'},
  'final_fraction': {'learning_rate_schedule': 'linear'},
  'early_stopping_figure': {'early_stopping_patience': 1},
  'early_stopping_min_improvement': {'early_stopping_patience': 1},
  'early_stopping_warmup_steps': {'early_stopping_patience': 1},
  'generate_duration': {'generate_every': 1},
  'generate_temperature': {'generate_every': 1},
  'max_generated': {'generate_every': 1},
  'find_from': {'find_learning_rate': True},
  'find_steps': {'find_learning_rate': True},
  'find_to': {'find_learning_rate': True},
  'momentum': {'optimizer': 'sgd'},
  'plateau_factor': {'learning_rate_schedule': 'plateau'},
  'plateau_patience': {'learning_rate_schedule': 'plateau'},
  'weight_decay': {'optimizer': 'adamw'},
  'coordinator_address': {'num_processes': 2, 'process_id': 0},
  'num_processes': {'coordinator_address': 'host:1', 'process_id': 0},
  'process_id': {'coordinator_address': 'host:1', 'num_processes': 2**31 - 1},
}
REQUIRED = {FoldersConfig: {'audio_dir': ('music',)}}

COUNTS = [
  (DataConfig, 'stereo_blocking_n'),
  (DataConfig, 'chunk_size'),
  (ModelConfig, 'embedding_dim'),
  (ModelConfig, 'num_layers'),
  (ModelConfig, 'num_heads'),
  (ModelConfig, 'widening_factor'),
  (ModelConfig, 'attention_window'),
  (HybridConfig, 'sequence_length'),
  (HybridConfig, 'segment_frames'),
  (HybridConfig, 'stream_megabytes'),
  (TrainingConfig, 'training_steps'),
  (TrainingConfig, 'num_epochs'),
  (TrainingConfig, 'batch_size'),
  (TrainingConfig, 'micro_batch_size'),
  (TrainingConfig, 'num_chunks'),
  (LoggingConfig, 'log_every'),
  (CheckpointConfig, 'max_checkpoints'),
  (ScheduleConfig, 'cycles'),
  (ScheduleConfig, 'plateau_patience'),
  (EarlyStoppingConfig, 'early_stopping_patience'),
  (FinderConfig, 'find_steps'),
]
NUMBERS_OF_PROCESSES = [(ProcessesConfig, 'num_processes')]
PROCESSES = [(ProcessesConfig, 'process_id')]
ADDRESSES = [(ProcessesConfig, 'coordinator_address')]
DROPOUT = [(ComputationConfig, 'dropout')]
COUNTS_OR_ZERO = [
  (TrainingConfig, 'seed'),
  (TrainingConfig, 'validate_every'),
  (LoggingConfig, 'profile'),
  (CheckpointConfig, 'checkpoint_every'),
]
LIMITED_COUNTS_OR_ZERO = [(OptimizerConfig, 'max_bad_steps'), (ScheduleConfig, 'warmup_steps')]
LIMITED_COUNTS_OR_ZERO += [(GenerationConfig, 'generate_every')]
LIMITED_COUNTS_OR_ZERO += [(EarlyStoppingConfig, 'early_stopping_warmup_steps')]
POSITIVE_NUMBERS = [(OptimizerConfig, 'learning_rate'), (CheckpointConfig, 'save_minutes')]
OPTIONAL_NUMBERS = [(OptimizerConfig, 'gradient_clip_norm')]
OPTIONAL_DOUBLES = [(LoggingConfig, 'peak_tflops')]
EFFORTS = [(HybridConfig, 'effort')]
BELOW_ONE = [
  (OptimizerConfig, 'beta1'),
  (OptimizerConfig, 'beta2'),
  (OptimizerConfig, 'momentum'),
  (OptimizerConfig, 'ema_decay'),
  (ScheduleConfig, 'final_fraction'),
]
BIT_DEPTHS = [(DataConfig, 'bit_depth')]
SECONDS = [(FoldersConfig, 'min_seconds'), (FoldersConfig, 'max_seconds'), (FoldersConfig, 'skip_seconds')]
GAINS = [(AugmentationConfig, 'min_gain_db'), (AugmentationConfig, 'max_gain_db')]
SHARES = [(AugmentationConfig, 'invert_polarity'), (AugmentationConfig, 'reverse_time')]
OPTIONAL_NUMBERS_OR_ZERO = [(OptimizerConfig, 'weight_decay')]
EPSILONS = [(OptimizerConfig, 'epsilon')]
OPTIONAL_FRACTIONS = [(ScheduleConfig, 'decay_fraction'), (ScheduleConfig, 'plateau_factor')]
TEMPERATURES = [(GenerationConfig, 'generate_temperature')]
SOUND_SECONDS = [(GenerationConfig, 'generate_duration')]
SOUND_COUNTS = [(GenerationConfig, 'max_generated')]
IMPROVEMENTS = [(EarlyStoppingConfig, 'early_stopping_min_improvement')]
THRESHOLDS = [(EarlyStoppingConfig, 'early_stopping_divergence'), (EarlyStoppingConfig, 'early_stopping_target')]
FRACTIONS = [(FoldersConfig, 'valid_fraction')]
SWITCHES = [
  (DataConfig, 'use_16bit'),
  (LoggingConfig, 'no_progress'),
  (CheckpointConfig, 'resume'),
  (ProcessesConfig, 'shard_parameters'),
]
SWITCHES += [(FinderConfig, 'find_learning_rate')]
SMALL_RATES = [(FinderConfig, 'find_from')]
LARGE_RATES = [(FinderConfig, 'find_to')]
CHOICES = [
  (FamilyConfig, 'model'),
  (HybridConfig, 'evidence'),
  (DataConfig, 'tokenization'),
  (DataConfig, 'quantization'),
  (DataConfig, 'channels'),
  (ScheduleConfig, 'learning_rate_schedule'),
  (OptimizerConfig, 'optimizer'),
  (CheckpointConfig, 'checkpoint_policy'),
  (ComputationConfig, 'dtype'),
  (ComputationConfig, 'remat'),
  (ComputationConfig, 'attention'),
  (ComputationConfig, 'loss'),
]
TEXTS = [(RunConfig, 'output_dir')]
FOLDERS = [(FoldersConfig, 'audio_dir')]
OPTIONAL_TEXTS = [
  (LoggingConfig, 'wandb_project'),
  (LoggingConfig, 'wandb_run_name'),
  (LoggingConfig, 'wandb_entity'),
  (LoggingConfig, 'wandb_group'),
  (LoggingConfig, 'wandb_notes'),
  (LoggingConfig, 'wandb_job_type'),
  (HybridConfig, 'cache_dir'),
  (CheckpointConfig, 'resume_from'),
  (CheckpointConfig, 'init_from'),
  (EarlyStoppingConfig, 'early_stopping_figure'),
]
OPTIONAL_CHOICES = [(CheckpointConfig, 'save_parameters')]
OPTIONAL_MODES = [(LoggingConfig, 'wandb_mode')]
TAGS = [(LoggingConfig, 'wandb_tags')]
LOGGERS = [(LoggingConfig, 'loggers')]
WEIGHTS = [(FoldersConfig, 'audio_weights')]
DEPTHS = [(HybridConfig, 'bit_depths')]
FILE_NAMES = [(RunConfig, 'model_name')]


def with_values(groups: list) -> list:
  """(kind, name, value) of every field and value of each group (fields, values)."""
  return [(kind, name, value) for fields, values in groups for kind, name in fields for value in values]


def build(kind, **values):
  companions = {key: chosen for name in values for key, chosen in COMPANIONS.get(name, {}).items()}
  return kind(**{**REQUIRED.get(kind, {}), **companions, **values})


def parse(argv: list[str]) -> dict:
  """Configurations by kind."""
  parser = argparse.ArgumentParser()
  add_flags(parser, TrainingSettings)
  settings = read_settings(vars(parser.parse_args(argv)), TrainingSettings)
  return {kind: getattr(settings, name) for name, kind in kinds_of(TrainingSettings).items()}


def test_every_field_is_checked_below():
  listed: list[tuple[type, str]] = [*COUNTS, *COUNTS_OR_ZERO, *POSITIVE_NUMBERS, *FRACTIONS]
  listed += [*OPTIONAL_NUMBERS, *EFFORTS, *SWITCHES, *CHOICES, *TEXTS, *FOLDERS, *OPTIONAL_TEXTS, *FILE_NAMES]
  listed += [*WEIGHTS, *DEPTHS, *OPTIONAL_MODES, *TAGS, *LOGGERS]
  listed += [*LIMITED_COUNTS_OR_ZERO, *BELOW_ONE, *OPTIONAL_NUMBERS_OR_ZERO, *EPSILONS]
  listed += [*OPTIONAL_FRACTIONS, *OPTIONAL_DOUBLES, *SECONDS, *GAINS, *SHARES, *BIT_DEPTHS]
  listed += [*NUMBERS_OF_PROCESSES, *PROCESSES, *ADDRESSES, *DROPOUT]
  listed += [*TEMPERATURES, *SOUND_SECONDS, *SOUND_COUNTS]
  listed += [*IMPROVEMENTS, *THRESHOLDS, *OPTIONAL_CHOICES, *SMALL_RATES, *LARGE_RATES]
  fields = [(kind, field.name) for kind in KINDS for field in dataclasses.fields(kind)]
  missing, unknown = set(fields) - set(listed), set(listed) - set(fields)
  assert not missing, f'name these fields in one of the lists above, or in a new one: {missing}'
  assert not unknown, f'there is no such field: {unknown}'
  assert len(listed) == len(fields), 'a field is listed twice'


BAD_VALUES = with_values(
  [
    (COUNTS, [0, -1, 2**31, 1.5, 2.0, '1', True]),
    (NUMBERS_OF_PROCESSES, [0, -1, 2**31, 1.5, '2', True]),
    (PROCESSES, [-1, 2**31 - 1, 0.5, '0', True]),
    (ADDRESSES, ['', 'host', ':80', 'host:', 'host:0', 'host:65536', 'host:-1', 'host:a', 80, True]),
    (DROPOUT, [-0.1, 1, 1.0, 1.5, math.nan, '0.1', None, False]),
    (COUNTS_OR_ZERO, [-1, 0.5, '0', None, False, math.inf]),
    ([(OptimizerConfig, 'learning_rate')], [3.5e38, 1e39, 10**39]),  # Steps are taken in float32.
    (OPTIONAL_NUMBERS, [0, -1.0, math.nan, math.inf, 1e39, '1', True]),
    (OPTIONAL_DOUBLES, [0, -1.0, math.nan, math.inf, 10**400, '1', True]),
    (LIMITED_COUNTS_OR_ZERO, [-1, 2**31, 0.5, '0', False, math.inf]),
    (BELOW_ONE, [-0.1, 1, 1.0, 0.99999999, 1.5, math.nan, math.inf, '0.9', True]),  # Factors are float32.
    (BIT_DEPTHS, [0, 12, 32, -8, 16.0, '16', True]),
    (GAINS, [-60.1, 61, math.nan, math.inf, 10**400, '1', True]),
    (SHARES, [-0.1, 1.1, math.nan, math.inf, '1', True]),
    (SECONDS, [0, -1.0, math.nan, math.inf, 10**400, '1', True]),
    (OPTIONAL_NUMBERS_OR_ZERO, [-1e-9, 3.5e38, 10**39, math.nan, math.inf, '0', False]),
    (EPSILONS, [0, -1.0, 1e-38, 5e-324, 3.5e38, math.nan, math.inf, '1e-8', True]),
    (OPTIONAL_FRACTIONS, [0, 1, -0.1, 1.1, math.nan, '0.1', False]),
    (TEMPERATURES, [-0.1, math.nan, math.inf, 10**400, '1', True]),
    (SOUND_SECONDS, [0, -1.0, 3600.1, math.nan, math.inf, 10**400, '1', True]),
    (SOUND_COUNTS, [0, -1, 65, 1.0, '1', True]),
    (IMPROVEMENTS, ['', '%', '-1', 'nan', 'inf', '100%', '-1%', '1 percent', 0.1, 1, True]),
    (THRESHOLDS, [math.nan, math.inf, -math.inf, 10**400, '1', True]),
    (OPTIONAL_CHOICES, ['', 'Best', 'first', 1, False]),
    (SMALL_RATES + LARGE_RATES, [0, -1.0, 1e-39, 1e39, math.nan, '1', True]),
    (EFFORTS, [-1, 3, 1.0, None, True]),
    (FOLDERS, ['music', (), ('',), ('a\0',), ('a', ''), (1,), None, ['music']]),
    (WEIGHTS, ['', 'even', '1,', '1,0', '-1', 'nan', 'inf', '1;2', 1, (1, 2)]),
    (DEPTHS, ['', 'all', '8,', '12', 'native,native', '8,native,8', None, 8]),
    (POSITIVE_NUMBERS, [0, -1.0, math.nan, math.inf, -math.inf, 10**400, '1e-4', None, True]),
    (FRACTIONS, [0, 1, 0.0, 1.0, -0.1, 1.1, math.nan, '0.1', None, False]),
    (SWITCHES, [0, 1, 'true', None]),
    (CHOICES, ['', 'Mono', 'linear ', 1, None, True]),
    (TEXTS, ['', 'a\0b', None, 1, True, b'music', ['music']]),
    (OPTIONAL_TEXTS, [1, False]),
    (OPTIONAL_MODES, ['', 'Online', 'dryrun', 1, False]),
    (TAGS, ['', ',', 'a,', 'x' * 65, 1, ('a',)]),
    (LOGGERS, ['', 'none', 'jsonl,', 'csv, jsonl', 'csv,csv', None, 1, ('csv',)]),
    (FILE_NAMES, ['', '.', '..', 'a/b', '/a', 'a\\b', 'a\0', 'a\nb', 'a\r', None, 1]),
  ]
)


@pytest.mark.parametrize(('kind', 'name', 'value'), BAD_VALUES)
def test_bad_value(kind, name, value):
  with pytest.raises(ConfigError, match=f'^{name}: expected ') as caught:
    build(kind, **{name: value})
  assert '\n' not in str(caught.value)


GOOD_VALUES = with_values(
  [
    (COUNTS, [8, 2**31 - 8]),
    (NUMBERS_OF_PROCESSES, [1, 2**31 - 1]),
    (PROCESSES, [0, 2**31 - 2]),
    (ADDRESSES, ['host:1', '10.0.0.1:65535', '[::1]:8476']),
    (DROPOUT, [0, 0.0, 0.5]),
    (COUNTS_OR_ZERO, [0, 1, 2**70]),
    (POSITIVE_NUMBERS, [1, 5e-324, 3.4e38]),
    ([(CheckpointConfig, 'save_minutes')], [1.7e308]),
    (FRACTIONS, [1e-9, 0.5, 0.999]),
    (OPTIONAL_NUMBERS, [None, 1, 1e-3]),
    (OPTIONAL_DOUBLES, [None, 1, 989.5, 1e39]),
    (LIMITED_COUNTS_OR_ZERO, [0, 1, 2**31 - 1]),
    (BELOW_ONE, [None, 0, 0.9, 0.9999999, 1 - 2**-24]),
    (BIT_DEPTHS, [None, 24]),
    ([(AugmentationConfig, 'min_gain_db')], [None, -60, -1.5, 0]),
    ([(AugmentationConfig, 'max_gain_db')], [None, 0, 60, 0.1]),
    (SHARES, [None, 0, 0.5, 1]),
    (SECONDS, [None, 1, 1e-3, 1e300]),
    (OPTIONAL_NUMBERS_OR_ZERO, [None, 0, 0.0, 1e-50, 0.1, 3.4e38]),
    (EPSILONS, [None, 2.0**-126, 1e-8, 1, 3.4e38]),
    (OPTIONAL_FRACTIONS, [None, 1e-9, 0.5, 0.999]),
    (TEMPERATURES, [None, 0, 0.95, 1, 1.7e308]),
    (SOUND_SECONDS, [None, 1e-9, 3, 3600]),
    (SOUND_COUNTS, [None, 1, 64]),
    (IMPROVEMENTS, [None, '0', '0.01', '1e-3', '0%', '0.5%', '99.9%']),
    (THRESHOLDS, [None, 0, -1.5, 7.2, 1.7e308]),
    (OPTIONAL_CHOICES, [None, 'last', 'best']),
    (SMALL_RATES, [None, 1e-30, 0.5]),
    (LARGE_RATES, [None, 1e-5, 10]),
    (EFFORTS, [0, 1, 2]),
    (FOLDERS, [('a',), ('a', 'b c')]),
    (WEIGHTS, [None, 'equal', '1', '0.5,2,1e3']),
    (DEPTHS, ['native', '8', 'native,8', '8,16,24']),
    (SWITCHES, [True, False]),
    (TEXTS, ['.', 'a b/c']),
    (OPTIONAL_TEXTS, [None, 'x']),
    (OPTIONAL_MODES, [None, 'online', 'offline', 'disabled']),
    (TAGS, [None, 'a', 'a,b c', 'x' * 64]),
    (LOGGERS, ['jsonl', 'csv', 'wandb,tensorboard,csv,jsonl']),
    (FILE_NAMES, ['a', '...', 'a.npz', 'ä b']),
  ]
)


@pytest.mark.parametrize(('kind', 'name', 'value'), GOOD_VALUES)
def test_good_value(kind, name, value):
  others = {'embedding_dim': 2**31 - 8, 'num_heads': 8} if kind is ModelConfig else {}
  if name == 'num_heads':
    others['embedding_dim'] = value
  assert getattr(build(kind, **{**others, name: value}), name) == value


def test_the_user_may_leave_the_micro_batch_size_to_the_program():
  assert TrainingConfig(micro_batch_size=None) == TrainingConfig()


def test_combinations():
  with pytest.raises(ConfigError, match=r'^chunk_size: expected an even number .*, got 7$'):
    DataConfig(use_16bit=True, chunk_size=7)
  assert DataConfig(chunk_size=7).chunk_size == 7
  with pytest.raises(ConfigError, match=r'^quantization: mu-law makes 8-bit samples'):
    DataConfig(use_16bit=True, quantization='mu-law')
  with pytest.raises(ConfigError, match=r'^embedding_dim: expected a multiple of num_heads \(8\), got 60$'):
    ModelConfig(embedding_dim=60)
  with pytest.raises(ConfigError, match=r'^max_seconds: expected at least min_seconds \(2.5\), got 2$'):
    FoldersConfig(audio_dir=('music',), min_seconds=2.5, max_seconds=2)
  FoldersConfig(audio_dir=('music',), min_seconds=2.5, max_seconds=2.5, skip_seconds=9)
  with pytest.raises(
    ConfigError, match=r'^stream_megabytes: expected evidence to be stream or auto with it, got cache'
  ):
    HybridConfig(evidence='cache', stream_megabytes=100)
  for evidence in ('auto', 'stream'):
    assert HybridConfig(evidence=evidence, stream_megabytes=100).stream_bytes == 10**8
  for depth in (8, 24):
    with pytest.raises(ConfigError, match=rf'^bit_depth: expected 16 with use_16bit, got {depth}$'):
      DataConfig(use_16bit=True, bit_depth=depth)
  with pytest.raises(ConfigError, match=r'^tokenization: expected byte with bit_depth 24, got sample$'):
    DataConfig(bit_depth=24, tokenization='sample')
  for depth in (16, 24):
    with pytest.raises(ConfigError, match=r'^quantization: mu-law makes 8-bit samples'):
      DataConfig(bit_depth=depth, quantization='mu-law')
  with pytest.raises(ConfigError, match=r'^chunk_size: expected an even number'):
    DataConfig(bit_depth=16, chunk_size=7)
  assert DataConfig(bit_depth=24, chunk_size=7).chunk_size == 7
  for values in ({'min_gain_db': 1, 'max_gain_db': 0.5}, {'min_gain_db': 1}, {'max_gain_db': -1}):
    with pytest.raises(ConfigError, match=r'^min_gain_db: expected at most max_gain_db \('):
      AugmentationConfig(**values)
  config: Any = ModelConfig()
  with pytest.raises(dataclasses.FrozenInstanceError):
    config.num_layers = 3


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--weight_decay', '0.1'], 'weight_decay: expected --optimizer to be one of adamw, lion, muon, got adam; choose'),
    (['--momentum', '0.9', '--optimizer', 'lion'], 'momentum: expected --optimizer to be one of sgd, rmsprop, muon, '),
    (['--beta1', '0.9', '--optimizer', 'rmsprop'], 'beta1: expected --optimizer to be one of adam, adamw, lion, muon,'),
    (['--beta2', '0.9', '--optimizer', 'sgd'], 'beta2: expected --optimizer to be one of adam, adamw, rmsprop, lion, '),
    (['--epsilon', '1', '--optimizer', 'lion'], 'epsilon: expected --optimizer to be one of adam, adamw, rmsprop, mu'),
    (['--final_fraction', '0'], 'final_fraction: expected --learning_rate_schedule to be one of linear, cosine, exp'),
    (['--cycles', '2'], 'cycles: expected --learning_rate_schedule to be one of cosine, got constant; choose one, or'),
    (['--decay_fraction', '.2'], 'decay_fraction: expected --learning_rate_schedule to be one of warmup_stable_decay'),
  ],
)
def test_what_the_optimizer_or_the_schedule_does_not_heed_is_refused(flags, message):
  with pytest.raises(ConfigError, match=f'^{re.escape(message)}'):
    parse(['--audio_dir', 'a', *flags])


def test_what_decays_by_factors_has_no_zero():
  with pytest.raises(ConfigError, match=r'^final_fraction: expected 1\.175e-38 to .*, got 0'):
    ScheduleConfig(learning_rate_schedule='exponential', final_fraction=0.0)


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    ({'warmup_steps': 10}, r'warmup_steps: expected fewer than all steps \(10\), got 10$'),
    (
      {'learning_rate_schedule': 'cosine', 'warmup_steps': 4, 'cycles': 7},
      r'cycles: expected at most one for each step after the warm-up \(6\), got 7$',
    ),
    (
      {'learning_rate_schedule': 'warmup_stable_decay', 'warmup_steps': 7, 'decay_fraction': 0.4},
      r'decay_fraction: expected at most the steps after the warm-up \(3\), got 4 of 10; lower it or warmup_steps$',
    ),
  ],
)
def test_a_schedule_has_to_fit_into_the_steps(values, message):
  with pytest.raises(ConfigError, match=f'^{message}'):
    training_settings(training_steps=10, **values)
  training_settings(training_steps=11, **values)
  # How many steps an epoch is remains to be seen, and is checked then.
  epochs = training_settings(num_epochs=1, batch_size=5, **values)
  with pytest.raises(ConfigError, match=f'^{message}'):
    epochs.with_steps(num_chunks=50)
  assert epochs.with_steps(num_chunks=51).training.steps == 11


@pytest.mark.parametrize('name', ['generate_duration', 'max_generated', 'generate_temperature'])
@pytest.mark.parametrize('every', [{}, {'generate_every': 0}])
def test_what_is_generated_means_nothing_where_nothing_is(name, every):
  with pytest.raises(ConfigError, match=f'^{name}: expected generate_every with it; give it, or leave this out$'):
    training_settings(**{name: 2}, **every)
  training_settings(**{name: 2}, generate_every=500)


def test_what_is_generated_by_default():
  config = training_settings(generate_every=500).generation
  assert (config.every, config.seconds, config.max_sounds, config.temperature) == (500, 3.0, 4, 0.95)
  assert training_settings().generation.every == 0


def test_a_depth_has_one_form():
  """That of all model files and checkpoints of 8 and 16 bits."""
  assert DataConfig(bit_depth=8) == DataConfig()
  assert DataConfig(bit_depth=16) == DataConfig(bit_depth=16, use_16bit=True) == DataConfig(use_16bit=True)
  wide = DataConfig(bit_depth=24)
  assert dataclasses.replace(wide, chunk_size=64) == DataConfig(bit_depth=24, chunk_size=64)
  assert recorded_settings(training_settings(bit_depth=16)) == recorded_settings(training_settings(use_16bit=True))
  assert recorded_settings(training_settings(bit_depth=24))['bit_depth'] == 24
  assert parse(['--audio_dir', 'a', '--bit_depth', '24'])[DataConfig] == wide


def test_steps_or_epochs():
  with pytest.raises(ConfigError, match=r'^num_epochs: expected none with training_steps \(5\), got 2; leave one'):
    TrainingConfig(training_steps=5, num_epochs=2)
  assert TrainingConfig().steps == 1000 and TrainingConfig(training_steps=7).steps == 7
  assert TrainingConfig(training_steps=7).with_steps(10) == TrainingConfig(training_steps=7)
  assert TrainingConfig().with_steps(10) == TrainingConfig(training_steps=1000)
  for epochs, chunks, steps in ((1, 1, 1), (1, 4, 1), (1, 5, 2), (3, 4, 3), (3, 5, 4)):
    config = TrainingConfig(num_epochs=epochs, batch_size=4)
    assert config.with_steps(chunks) == TrainingConfig(training_steps=steps, batch_size=4)
  with pytest.raises(ConfigError, match=r'^num_epochs: expected at most 2147483647 steps, got 4294967294; give fewer'):
    TrainingConfig(num_epochs=2**31 - 1, batch_size=1).with_steps(2)


def test_domains_of_hybrid_models_are_equal_unless_weights_are_given():
  # As files and checkpoints of hybrid models say it; byte models without weights go through all chunks.
  assert training_settings(model='hybrid').folders == FoldersConfig(audio_dir=('sound',), audio_weights='equal')
  assert training_settings().folders.audio_weights is None
  assert recorded_settings(training_settings(model='hybrid'))['audio_weights'] == 'equal'
  assert 'audio_weights' not in recorded_settings(training_settings())


def test_what_is_drawn_by_weight_makes_no_epochs():
  with pytest.raises(
    ConfigError, match=r'^num_epochs: expected none with audio_weights, got 2: rows .*training_steps$'
  ):
    training_settings(num_epochs=2, audio_weights='equal')


def test_defaults_of_the_front_end():
  settings = parse(['--audio_dir', 'music'])
  assert settings[RunConfig] == RunConfig(output_dir='./', model_name='audio_model')
  assert settings[FoldersConfig] == FoldersConfig(audio_dir=('music',), audio_weights=None, valid_fraction=0.1)
  assert settings[LoggingConfig] == LoggingConfig(log_every=100, wandb_project=None, no_progress=False)
  assert settings[OptimizerConfig] == OptimizerConfig(
    optimizer='adam', learning_rate=1e-4, gradient_clip_norm=None, ema_decay=None, max_bad_steps=0
  )
  assert settings[DataConfig] == DataConfig(
    use_16bit=False,
    tokenization='byte',
    quantization='linear',
    channels='mono',
    stereo_blocking_n=1024,
    chunk_size=2048,
  )
  model, training = settings[ModelConfig], settings[TrainingConfig]
  assert (model.embedding_dim, model.num_layers, model.num_heads, model.widening_factor) == (64, 4, 8, 4)
  assert (training.steps, training.batch_size, training.seed) == (1000, 128, 42)
  assert training.num_chunks == 488281


@pytest.mark.parametrize(
  ('settings', 'sample_bits', 'tokens_per_sample', 'vocab_size'),
  [
    ({}, 8, 1, 256),
    ({'tokenization': 'sample'}, 8, 1, 256),
    ({'quantization': 'mu-law'}, 8, 1, 256),
    ({'use_16bit': True}, 16, 2, 256),
    ({'bit_depth': 24}, 24, 3, 256),
    ({'use_16bit': True, 'tokenization': 'sample'}, 16, 1, 65_536),
  ],
)
def test_derived_properties(settings, sample_bits, tokens_per_sample, vocab_size):
  config = DataConfig(**settings)
  assert (config.sample_bits, config.tokens_per_sample, config.vocab_size) == (
    sample_bits,
    tokens_per_sample,
    vocab_size,
  )


@pytest.mark.parametrize(
  ('settings', 'names'),
  [
    ({}, ('jsonl',)),
    ({'loggers': 'csv,wandb'}, ('csv', 'wandb')),
    ({'wandb_project': 'speech'}, ('jsonl', 'wandb')),
    ({'loggers': 'wandb,csv', 'wandb_project': 'speech'}, ('wandb', 'csv')),
  ],
)
def test_a_wandb_project_asks_for_wandb(settings, names):
  assert LoggingConfig(**settings).logger_names == names


# TOML and flags.


@pytest.fixture
def toml(tmp_path):
  def write(text: str | bytes) -> str:
    path = tmp_path / 'settings.toml'
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)

  return write


def test_flags_go_over_toml_and_toml_over_defaults(toml):
  path = toml('audio_dir = "a"\nbatch_size = 3\nuse_16bit = true\nlearning_rate = 1\nseed = 7\n')
  settings = parse(['--config', path, '--batch_size', '5', '--seed', '0'])
  assert settings[TrainingConfig] == TrainingConfig(batch_size=5, seed=0)
  assert settings[OptimizerConfig] == OptimizerConfig(learning_rate=1)
  assert settings[DataConfig] == DataConfig(use_16bit=True)
  assert settings[FoldersConfig] == FoldersConfig(audio_dir=('a',))
  assert settings[ModelConfig] == ModelConfig()
  assert parse(['--config', path, '--audio_dir', 'b'])[FoldersConfig].audio_dir == ('b',)


@pytest.mark.parametrize(('text', 'folders'), [('"a b"', ('a b',)), ('["a", "b"]', ('a', 'b'))])
def test_a_list_in_toml_may_be_one_text(toml, text, folders):
  assert parse(['--config', toml(f'audio_dir = {text}')])[FoldersConfig].audio_dir == folders


def test_a_folder_may_be_given_several_times():
  assert parse(['--audio_dir', 'a', '--audio_dir', 'b'])[FoldersConfig].audio_dir == ('a', 'b')


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (
      ['--sequence_length', '512'],
      'sequence_length: means something only with --model hybrid, got bytes; leave it out',
    ),
    (['--model', 'hybrid', '--use_16bit'], 'use_16bit: means something only with --model bytes, got hybrid'),
    (['--model', 'hybrid', '--num_epochs', '5'], 'num_epochs: means something only with --model bytes, got hybrid'),
    (['--model', 'hybrid', '--num_chunks', '5'], 'num_chunks: means something only with --model bytes, got hybrid'),
    (['--model', 'both', '--num_chunks', '5'], "model: expected one of bytes, hybrid, got 'both'"),
  ],
)
def test_what_means_nothing_for_the_model_chosen_is_refused(flags, message):
  with pytest.raises(ConfigError, match=f'^{re.escape(message)}'):
    parse(['--audio_dir', 'a', *flags])


def test_what_means_nothing_for_the_model_chosen_is_refused_in_toml_too(toml):
  with pytest.raises(ConfigError, match=r':2: chunk_size: means something only with --model bytes'):
    parse(['--audio_dir', 'a', '--config', toml('model = "hybrid"\nchunk_size = 64')])
  assert parse(['--audio_dir', 'a', '--config', toml('model = "hybrid"\neffort = 2')])[HybridConfig].effort == 2


def test_a_required_setting_may_come_from_toml_alone(toml):
  with pytest.raises(ConfigError, match=r'^--audio_dir is required$'):
    parse([])
  with pytest.raises(ConfigError, match=r'^--audio_dir is required$'):
    parse(['--config', toml('')])


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('batch_size = ', 'not a TOML file: '),
    (b'seed = 1 # \xff', 'not a TOML file: '),
    ('seed = ' + '1' * 5000, 'not a TOML file: '),
    ('seed = ' + '[' * 100_000, 'not a TOML file: '),
  ],
)
def test_unusable_toml(toml, text, message):
  path = toml(text)
  with pytest.raises(ConfigError, match=f'^{re.escape(path)}: {message}') as caught:
    parse(['--audio_dir', 'a', '--config', path])
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('batch_size = "3"', "batch_size: expected int, got '3'$"),
    ('batch_size = true', 'batch_size: expected int, got True$'),
    ('batch_size = 3.0', 'batch_size: expected int, got 3.0$'),
    ('use_16bit = 1', 'use_16bit: expected bool, got 1$'),
    ('use_16bit = "no"', "use_16bit: expected bool, got 'no'$"),
    ('channels = "quadro"', "channels: expected one of mono, stereo, got 'quadro'$"),
    ('model_name = 1979-05-27', 'model_name: expected str, got '),
    ('seed = [{a = 1}]', 'seed: expected int, got '),
  ],
)
def test_wrong_values_in_toml(toml, text, message):
  path = toml(text)
  with pytest.raises(ConfigError, match=f'^{re.escape(path)}:1: {message}'):
    parse(['--audio_dir', 'a', '--config', path])


def test_toml_that_cannot_be_read(tmp_path):
  for path in (tmp_path / 'none.toml', tmp_path):
    with pytest.raises(ConfigError, match=f'^{re.escape(str(path))}: cannot be read: '):
      parse(['--audio_dir', 'a', '--config', str(path)])


# What files store.


@pytest.mark.parametrize('kind', [DataConfig, ModelConfig])
def test_from_mapping(kind):
  values = dataclasses.asdict(kind())
  names = {name: name for name in values}
  assert from_mapping(kind, values, names) == kind()
  name = next(iter(values))
  wrong: Any
  for wrong in ({}, {**values, 'more': 1}, {key: values[key] for key in values if key != name}, None, [], 'text'):
    with pytest.raises(ConfigError, match=f'^{kind.__name__}: expected the keys '):
      from_mapping(kind, wrong, names)
  with pytest.raises(ConfigError, match=f'^{name}: expected '):
    from_mapping(kind, {**values, name: []}, names)


@dataclass(frozen=True, kw_only=True)
class Later(Settings):
  """What a configuration may become: `width` was `embedding_dim` when files were written, and `dropout` is new."""

  width: int = setting(64, help='of the residual stream')
  num_layers: int = setting(4, help='layers')
  dropout: float = setting(0.0, help='share of activations left out in training')


LATER_NAMES = {'embedding_dim': 'width', 'num_layers': 'num_layers'}


def test_a_field_may_be_renamed_and_another_added():
  written = {'embedding_dim': 32, 'num_layers': 2}
  config = from_mapping(Later, written, LATER_NAMES)
  assert config == Later(width=32, num_layers=2)
  assert to_mapping(config, LATER_NAMES) == written


def test_nothing_that_a_file_has_no_name_for_is_lost_without_a_word():
  with pytest.raises(AssertionError, match='dropout would be lost'):
    to_mapping(Later(dropout=0.1), LATER_NAMES)


# Help.


def help_text(settings) -> str:
  parser = argparse.ArgumentParser(formatter_class=lambda prog: argparse.HelpFormatter(prog, width=1000))
  add_flags(parser, settings)
  return parser.format_help()


def test_help_shows_every_flag_with_its_default():
  lines = help_text(TrainingSettings).splitlines()
  for field in (field for kind in KINDS for field in dataclasses.fields(kind)):
    start = next(
      index for index, line in enumerate(lines) if line.startswith(f'  --{field.name} ') or line == f'  --{field.name}'
    )
    shown = ' '.join(lines[start : start + 2])
    assert field.metadata['help'] in shown
    if field.default is dataclasses.MISSING:
      assert '(required)' in shown
    elif field.default is not None and field.default is not False:
      assert f'(default: {field.default})' in shown
    for choice in field.metadata['choices']:
      assert choice in shown


def test_help_may_contain_percent_signs():
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Percentages(Settings):
    """Odd ones."""

    share: str = setting('5%(x)s', help='100% of %s')

  assert '100% of %s (default: 5%(x)s)' in help_text(Percentages)


@pytest.mark.parametrize(
  ('flags', 'expected'),
  [
    ([], False),
    (['--use_16bit'], True),
    *(([f'--use_16bit={text}'], True) for text in ('true', 'True', '1', 'yes', 'on')),
    *(([f'--use_16bit={text}'], False) for text in ('false', 'False', '0', 'no', 'off')),
    (['--use_16bit', 'false'], False),
    (['--use_16bit', '--chunk_size', '4'], True),
  ],
)
def test_flags_that_need_no_value_may_have_one(flags, expected):
  parser = argparse.ArgumentParser()
  add_flags(parser, DataConfig)
  assert read_settings(vars(parser.parse_args(flags)), DataConfig).use_16bit is expected


def test_a_flag_takes_back_what_a_file_says(tmp_path):
  (tmp_path / 'a.toml').write_text('use_16bit = true\n')
  parser = argparse.ArgumentParser()
  add_flags(parser, DataConfig)
  for flags, expected in (([], True), (['--use_16bit=False'], False)):
    arguments = parser.parse_args(['--config', str(tmp_path / 'a.toml'), *flags])
    assert read_settings(vars(arguments), DataConfig).use_16bit is expected


@pytest.mark.parametrize('value', ['maybe', '', '2', 'None'])
def test_other_values_are_wrong_usage(capsys, value):
  parser = argparse.ArgumentParser()
  add_flags(parser, DataConfig)
  with pytest.raises(SystemExit) as ended:
    parser.parse_args([f'--use_16bit={value}'])
  assert ended.value.code == 2 and f'expected true or false, got {value!r}' in capsys.readouterr().err


@pytest.mark.parametrize('family', ['bytes', 'hybrid'])
def test_given_settings_are_what_a_file_takes(tmp_path, family):
  settings = training_settings(audio_dir=('x', 'y'), model=family, num_layers=2, seed=7)
  given = given_settings([getattr(settings, name) for name in kinds_of(TrainingSettings)], family=family)
  assert ('chunk_size' in given, 'sequence_length' in given) == (family == 'bytes', family == 'hybrid')
  (tmp_path / 'a.toml').write_text(''.join(f'{name} = {json.dumps(value)}\n' for name, value in given.items()))
  assert read_settings({'config': str(tmp_path / 'a.toml')}, TrainingSettings) == settings
