"""Other compressors are measured by all that they write, and only if it comes back."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from language_modeling_is_compression import baselines
from language_modeling_is_compression.baselines import standard_baselines
from language_modeling_is_compression.errors import BaselineError

LIBRARY = "libsndfile's FLAC (no flac program here)"


def music(dtype, num_samples: int = 3000) -> np.ndarray:
  """A sine in noise, offset binary, both extremes in it."""
  top = np.iinfo(dtype).max
  noise = np.random.default_rng(0).normal(0, 0.01, num_samples)
  waves = 0.4 * np.sin(0.05 * np.arange(num_samples)) + noise
  samples = np.clip(np.round((0.5 + waves) * top), 0, top).astype(dtype)
  samples[:2] = [0, top]
  return samples


@pytest.fixture(params=['flac program', 'library'])
def all_baselines(request, monkeypatch):
  if request.param == 'library':
    monkeypatch.setattr(shutil, 'which', lambda _: None)
  elif not shutil.which('flac'):
    pytest.skip('there is no flac program here')
  return standard_baselines()


def test_the_names_say_program_and_setting(monkeypatch):
  monkeypatch.setattr(shutil, 'which', lambda _: '/usr/bin/flac')
  assert [baseline.name for baseline in standard_baselines()] == ['gzip -9', 'lzma -9e', 'flac -8']
  monkeypatch.setattr(shutil, 'which', lambda _: None)
  assert [baseline.name for baseline in standard_baselines()] == ['gzip -9', 'lzma -9e', LIBRARY]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('rate_hz', [1, 44_100, 65_535, 65_537, 96_001, 700_001, 2**31])
def test_every_bit_comes_back_and_the_size_is_that_of_the_output(all_baselines, dtype, rate_hz):
  samples = music(dtype)
  for baseline in all_baselines:
    compressed = baseline.compress(samples, rate_hz)
    assert baseline.decompress(compressed, samples.dtype) == samples.tobytes(), baseline.name
    assert baseline.compressed_bytes(samples, rate_hz) == len(compressed), baseline.name


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('num_samples', [2, 3, 17])
def test_few_samples(all_baselines, dtype, num_samples):
  for baseline in all_baselines:
    assert baseline.compressed_bytes(music(dtype, num_samples), 8000) > 0


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_noise_comes_back_too(all_baselines, dtype):
  samples = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, 2000, dtype, endpoint=True)
  for baseline in all_baselines:
    assert baseline.compressed_bytes(samples, 44_100) > 0.9 * samples.nbytes


def test_flac_does_better_on_music_than_programs_for_text(all_baselines):
  gzip, _, flac = (baseline.compressed_bytes(music(np.uint16, 20_000), 44_100) for baseline in all_baselines)
  assert flac < 0.9 * gzip


def test_a_bit_that_is_lost_is_an_error(all_baselines):
  samples = music(np.uint16)
  for baseline in all_baselines:

    def lossy(data: bytes, dtype: np.dtype, exact=baseline.decompress) -> bytes:
      decoded = bytearray(exact(data, dtype))
      decoded[-1] ^= 1
      return bytes(decoded)

    spoilt = dataclasses.replace(baseline, decompress=lossy)
    with pytest.raises(BaselineError, match='what it decodes is not what it encoded') as caught:
      spoilt.compressed_bytes(samples, 8000)
    assert str(caught.value).startswith(baseline.name)


def plant_flac(folder: Path, monkeypatch, script: str) -> None:
  program = folder / 'flac'
  program.write_text(f'#!/bin/sh\n{script}\n')
  program.chmod(0o755)
  monkeypatch.setenv('PATH', f'{folder}:/usr/bin:/bin')


@pytest.mark.parametrize(
  ('script', 'message'),
  [
    ('cat > /dev/null; echo "ERROR: no space" >&2; exit 1', 'flac failed: ERROR: no space'),
    ('cat > /dev/null; exit 3', 'flac failed: exit code 3'),
    ('exit 4', 'flac failed: exit code 4'),  # Without reading what it is given.
    (r"cat > /dev/null; printf '\377' >&2; exit 1", 'flac failed: \ufffd'),
    ('cat > /dev/null', 'flac -8: what it decodes is not what it encoded'),
  ],
)
def test_a_flac_program_that_fails(tmp_path, monkeypatch, script, message):
  plant_flac(tmp_path, monkeypatch, script)
  flac = standard_baselines()[-1]
  with pytest.raises(BaselineError, match=f'^{message}$'):
    flac.compressed_bytes(music(np.uint16, 200_000), 8000)


def test_flac_that_cannot_be_decoded(all_baselines):
  program = 'libsndfile' if all_baselines[-1].name == LIBRARY else 'flac'
  with pytest.raises(BaselineError, match=f'^{program} failed: '):
    all_baselines[-1].decompress(b'no flac', np.dtype(np.uint8))


def test_flac_that_cannot_be_encoded_by_the_library(monkeypatch):
  def fail(*_, **__):
    raise baselines.soundfile.LibsndfileError(1, prefix='a.flac: ')

  monkeypatch.setattr(shutil, 'which', lambda _: None)
  monkeypatch.setattr(baselines.soundfile, 'write', fail)
  with pytest.raises(BaselineError, match=r'^libsndfile failed: a\.flac: '):
    standard_baselines()[-1].compressed_bytes(music(np.uint8), 8000)
