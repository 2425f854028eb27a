"""How much memory whole runs take at their peak: it does not grow with the recordings, and the default flags fit."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.training_runs import TINY, command, environment, write_tone
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.codec.levels import LEVELS

pytestmark = pytest.mark.slow

_MIB = 1 << 20
_GIB = 1 << 30
_PATIENCE_SECONDS = 900

# A process of its own, since the highest peak of all children that a process ever had is what the system tells.
_MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([done.returncode, done.stderr, peak * (1 if sys.platform == 'darwin' else 1024)]))
"""


def _peak_bytes(arguments: list[str], env: dict[str, str]) -> int:
  """Peak resident memory of a command that ends well."""
  measured = subprocess.run(
    [sys.executable, '-c', _MEASURE, *arguments],
    env=env,
    capture_output=True,
    text=True,
    timeout=_PATIENCE_SECONDS,
    check=True,
  )
  exit_code, stderr, peak_bytes = json.loads(measured.stdout)
  assert exit_code == 0, stderr
  return peak_bytes


def _write_sparse(path: Path, data_bytes: int) -> None:
  """An RF64 file of data_bytes of silence, 16-bit stereo, that takes no room on the disk."""
  header = build_wav(b'', form=b'RF64', channels=2, rate_hz=192_000, ds64=(data_bytes + 72, data_bytes))
  with open(path, 'wb') as file:
    file.write(header)
    file.truncate(len(header) + data_bytes)


def test_memory_does_not_grow_with_the_recordings(tmp_path):
  env = environment(tmp_path)
  peaks = {}
  for name, data_bytes in {'small': 20 * _MIB, 'huge': 20 * _GIB}.items():
    # Side by side as `train` and `valid`; the held-out file is small, since every sample of it is listened to.
    for side in ('train', 'valid'):
      (tmp_path / name / side).mkdir(parents=True)
    _write_sparse(tmp_path / name / 'train/a.wav', data_bytes)
    write_tone(tmp_path / name / 'valid/b.wav', 1000, 0)
    flags = ('--audio_dir', tmp_path / name, '--output_dir', tmp_path / f'{name}_out', '--training_steps', 2)
    peaks[name] = _peak_bytes(command(*flags, *TINY), env)
  assert peaks['huge'] < 1.5 * _GIB
  assert peaks['huge'] < peaks['small'] + 150 * _MIB


@pytest.mark.parametrize(
  ('flags', 'most_bytes'),
  [
    ((), 6 * _GIB),
    (('--use_16bit',), 16 * _GIB),
    # One micro-batch of 20 rows on two cores; the seven that the default batch needs take many minutes.
    (('--use_16bit', '--tokenization', 'sample', '--batch_size', '20'), 16 * _GIB),
  ],
  ids=['8 bits', '16-bit bytes', '16-bit samples'],
)
def test_a_step_with_the_default_flags_fits_a_laptop(tmp_path, flags, most_bytes):
  # As many chunks as a step takes at least; the few that are held out take no time of their own.
  write_tone(tmp_path / 'audio/train/a.wav', 130 * 2048, 0)
  write_tone(tmp_path / 'audio/valid/b.wav', 2 * 2048, 1)
  arguments = command(
    '--audio_dir', tmp_path / 'audio', '--output_dir', tmp_path / 'out', '--training_steps', 1, *flags
  )
  assert _peak_bytes(arguments, environment(tmp_path)) < most_bytes


def test_memory_does_not_grow_with_the_file_that_is_coded(tmp_path):
  """Some segments are in work at a time, and what they take does not stay."""
  env, lanes = environment(tmp_path), 4
  times = np.arange(LEVELS[1].segments.frames)
  sound = pcm_bytes(np.round(9000 * np.sin(0.1 * times) * np.sin(2e-4 * times)).astype(np.int64), 16)
  # Silence is coded in no time, and no smaller than sound wherever it is kept.
  payloads = {'short': lanes * sound, 'long': lanes * sound + bytes(600 * len(sound)) + 2 * lanes * sound}
  peaks = {}
  for name, payload in payloads.items():
    path, packed = tmp_path / f'{name}.wav', tmp_path / f'{name}.lmic'
    path.write_bytes(build_wav(payload))
    flags = {'compress': ('--level', 1, '--rm', '-o', packed, path), 'decompress': ('-o', path, packed)}
    for direction, told in flags.items():
      arguments = ['-m', 'language_modeling_is_compression', direction, '--lanes', lanes, *told]
      peaks[direction, name] = _peak_bytes([sys.executable, *map(str, arguments)], env)
  for direction in ('compress', 'decompress'):
    assert peaks[direction, 'long'] < peaks[direction, 'short'] + 20 * _MIB
