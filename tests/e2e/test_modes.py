"""Every way to make tokens of audio, through whole runs: what is stored, and that the held-out figure is the truth.

The tokens of the held-out file are made here once more, from the rules as they are written down.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training_runs import TINY, command, finish, held_out_bits, read_metrics, write_folder, write_tone

from language_modeling_is_compression import load_model
from language_modeling_is_compression.network.byte_model import ByteModel

_STEPS = 10
_SETTINGS = (*TINY, '--training_steps', _STEPS, '--learning_rate', '3e-3')
_BLOCK = 24  # Divides neither a chunk of 64 samples nor the held-out file.


def _high_bytes(samples: np.ndarray) -> np.ndarray:
  return (samples + 32768) // 256


def _byte_pairs(frames: np.ndarray) -> np.ndarray:
  unsigned = frames[:, 0] + 32768
  return np.stack([unsigned // 256, unsigned % 256], axis=1).reshape(-1)


def _byte_triples(frames: np.ndarray) -> np.ndarray:
  unsigned = frames[:, 0] * 256 + 2**23
  return np.stack([unsigned >> 16, unsigned >> 8 & 255, unsigned & 255], axis=1).reshape(-1)


def _g711(frames: np.ndarray) -> np.ndarray:
  def token(sample: int) -> int:
    linear = sample // 4
    biased = min(abs(linear), 8158) + 33
    segment = biased.bit_length() - 6
    magnitude = 16 * segment + biased // 2 ** (segment + 1) % 16
    return 128 + magnitude if linear >= 0 else 127 - magnitude

  return np.array([token(int(sample)) for sample in frames[:, 0]])


def _alternating_blocks(frames: np.ndarray) -> np.ndarray:
  spans = [frames[start : start + _BLOCK] for start in range(0, len(frames), _BLOCK)]
  return _high_bytes(np.concatenate([span[:, channel] for span in spans for channel in (0, 1)]))


def _mean(frames: np.ndarray) -> np.ndarray:
  return _high_bytes(np.floor(frames.mean(axis=1) + 0.5).astype(np.int64))


@dataclasses.dataclass(frozen=True)
class Mode:
  """tokens: of the frames [N, num_channels] of a file. stored: part of the data configuration that must be kept."""

  flags: tuple[object, ...]
  stored: Mapping[str, Any]
  tokens: Callable[[np.ndarray], np.ndarray]
  num_channels: int = 1
  sample_bits: int = 8
  tokens_per_sample: int = 1
  vocab_size: int = 256


_MODES = {
  '16-bit bytes': Mode(
    ('--use_16bit',),
    {'use_16bit': True, 'tokenization': 'byte'},
    _byte_pairs,
    sample_bits=16,
    tokens_per_sample=2,
  ),
  '24-bit bytes': Mode(
    ('--bit_depth', 24),
    {'use_16bit': False, 'bit_depth': 24},
    _byte_triples,
    sample_bits=24,
    tokens_per_sample=3,
  ),
  '16-bit samples': Mode(
    ('--use_16bit', '--tokenization', 'sample'),
    {'use_16bit': True, 'tokenization': 'sample'},
    lambda frames: frames[:, 0] + 32768,
    sample_bits=16,
    vocab_size=65536,
  ),
  'mu-law': Mode(('--quantization', 'mu-law'), {'use_16bit': False, 'quantization': 'mu-law'}, _g711),
  'stereo': Mode(
    ('--channels', 'stereo', '--stereo_blocking_n', _BLOCK),
    {'channels': 'stereo', 'stereo_blocking_n': _BLOCK},
    _alternating_blocks,
    num_channels=2,
  ),
  'mixed down': Mode((), {'channels': 'mono', 'quantization': 'linear'}, _mean, num_channels=2),
}


@dataclasses.dataclass(frozen=True)
class Run:
  """tokens: of what was held out."""

  mode: Mode
  model_path: Path
  tokens: np.ndarray
  stderr: str

  @property
  def held_out(self) -> dict[str, float]:
    return read_metrics(self.model_path.with_name('audio_model_metrics.jsonl'))[-1]


def _train(audio: Path, env: dict[str, str], *flags: object) -> tuple[Path, str]:
  """Returns the model's path and stderr."""
  folder = audio.parent / 'out'
  done = finish(command('--audio_dir', audio, '--output_dir', folder, *_SETTINGS, *flags), env)
  assert done.returncode == 0, done.stderr
  return folder / 'audio_model.npz', done.stderr


# The large vocabulary takes half a minute to compile and to train, and three bytes are as two but for their number.
_SLOW = {'16-bit samples', '24-bit bytes'}


@pytest.fixture(
  scope='module',
  params=[
    pytest.param(mode, id=name, marks=[pytest.mark.slow] if name in _SLOW else []) for name, mode in _MODES.items()
  ],
)
def run(request, tmp_path_factory, cached_env) -> Run:
  mode = request.param
  audio = tmp_path_factory.mktemp('mode') / 'audio'
  held_out = write_folder(audio, mode.num_channels)
  model_path, stderr = _train(audio, cached_env, *mode.flags)
  return Run(mode, model_path, mode.tokens(held_out), stderr)


@pytest.fixture(scope='module')
def single(tmp_path_factory, cached_env) -> Run:
  """A run on one file of 3,000 samples, of which an eighth is held out."""
  audio = tmp_path_factory.mktemp('single') / 'audio'
  samples = write_tone(audio / 'alone.wav', 3000, 1)
  model_path, stderr = _train(audio, cached_env, '--valid_fraction', '0.125')
  return Run(_MODES['mixed down'], model_path, _high_bytes(samples[-375:, 0]), stderr)


def _check_held_out(run: Run) -> None:
  mode = run.mode
  bits = held_out_bits(load_model(run.model_path), run.tokens, 64 * mode.tokens_per_sample)
  bits_per_sample = bits / len(run.tokens) * mode.tokens_per_sample
  held_out = dict(run.held_out)
  by_byte = [name for name in held_out if name.startswith('held_out/bits_per_byte/')]
  if by_byte:  # Of samples of several bytes: each byte's share of all.
    assert len(by_byte) == mode.tokens_per_sample
    mean = sum(held_out.pop(name) for name in by_byte) / len(by_byte)
    assert mean == pytest.approx(bits_per_sample * 8 / mode.sample_bits, rel=1e-5)
  assert bool(by_byte) == (mode.tokens_per_sample > 1)
  assert held_out == {
    'step': _STEPS,
    'held_out/bits_per_byte': pytest.approx(bits_per_sample * 8 / mode.sample_bits, rel=1e-5),
    'held_out/bits_per_sample': pytest.approx(bits_per_sample, rel=1e-5),
    'held_out/compression_rate': pytest.approx(bits_per_sample / mode.sample_bits, rel=1e-5),
  }
  assert f'{len(run.tokens)} tokens)' in run.stderr


def test_the_model_knows_how_its_tokens_are_made(run):
  model = load_model(run.model_path)
  assert isinstance(model, ByteModel)
  config = model.spec.data
  assert dataclasses.asdict(config).items() >= run.mode.stored.items()
  assert config.vocab_size == run.mode.vocab_size


def test_it_gives_a_distribution_over_the_whole_vocabulary(run):
  model = load_model(run.model_path)
  assert isinstance(model, ByteModel)
  log_probs = model.log_probs(run.tokens[None, :50].astype(np.int64))
  assert log_probs.shape == (1, 50, run.mode.vocab_size)
  np.testing.assert_allclose(np.exp(log_probs.astype(np.float64)).sum(axis=-1), 1, rtol=1e-4)


def test_the_held_out_figure_is_the_code_length_of_the_held_out_file(run):
  _check_held_out(run)


def test_it_learns(run):
  training = read_metrics(run.model_path.with_name('audio_model_metrics.jsonl'))[:-1]
  assert training[-1]['bits_per_sample'] < training[0]['bits_per_sample'] < run.mode.sample_bits + 1


def test_a_single_file_is_split_in_time_and_that_is_said(single):
  assert 'too few files to hold some out whole: the last 0.125 of each is held out' in single.stderr
  facts = load_model(single.model_path).provenance['facts']
  assert (facts['num_train_files'], facts['num_valid_files']) == (1, 1)
  assert (facts['num_train_chunks'], facts['num_valid_chunks']) == (42, 6)  # Of 2,625 and 375 samples.


def test_what_a_split_holds_out_is_the_end_of_the_file(single):
  _check_held_out(single)


def test_files_that_are_all_unreadable_end_the_run_in_one_line(tmp_path, cached_env):
  for name in ('a.wav', 'b.wav', 'c.wav'):
    (tmp_path / 'audio').mkdir(exist_ok=True)
    (tmp_path / 'audio' / name).write_bytes(b'RIFF, or so it says')
  done = finish(command('--audio_dir', tmp_path / 'audio', '--output_dir', tmp_path / 'out', *TINY), cached_env)
  assert (done.returncode, done.stdout) == (1, '')
  lines = done.stderr.splitlines()
  assert [line for line in lines if 'error: ' in line] == [lines[-1]]
  assert lines[-1].startswith('train_audio.py: error: none of the 2 files to train on can be read')
  assert 'Traceback' not in done.stderr
  assert [path.name for path in (tmp_path / 'out').iterdir()] == ['audio_model_training.log']
