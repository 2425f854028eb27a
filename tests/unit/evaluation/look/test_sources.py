"""Sounds of every kind of file that is looked at, and one clear line for those that are not."""

from pathlib import Path

import numpy as np
import pytest
from support import flac_files, look_cases
from support.look_cases import RATE_HZ, write_wav
from support.wav_builder import IEEE_FLOAT, build_wav

from language_modeling_is_compression.api.engine import Compressor
from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.errors import InputError, ModelMismatchError
from language_modeling_is_compression.evaluation.look.sources import opened_sound


def frames_of(path: Path, **fields) -> np.ndarray:
  with opened_sound(path, **fields) as sound:
    return read_pcm_frames(sound.info, 0, sound.info.num_frames)


def packed(source: Path, model: str | None, level: int | None = None) -> Path:
  target = source.with_name(source.name + '.lmic')
  with Compressor(model=model, level=level) as compressor, open(source, 'rb') as file, open(target, 'wb') as output:
    compressor.compress(file, output)
  return target


@pytest.mark.parametrize('bits', [8, 16, 24, 32])
def test_a_wav_is_looked_at_where_it_is(tmp_path, bits):
  path = write_wav(tmp_path / 'a.wav', 300, 2, bits)
  with opened_sound(path) as sound:
    assert sound.info.path == path and sound.info.resolution_bits == bits and sound.model is None
    assert sound.seconds == 300 / RATE_HZ and sound.segments == LEVELS[DEFAULT_LEVEL].segments


@pytest.mark.parametrize('bits', [8, 16, 24])
def test_flac_is_the_wav_of_its_samples(tmp_path, bits):
  samples = np.random.default_rng(0).integers(-100, 100, (300, 2))
  flac_files.write_flac(tmp_path / 'a.flac', samples, bits)
  np.testing.assert_array_equal(frames_of(tmp_path / 'a.flac'), samples)


def test_a_part(tmp_path):
  path = write_wav(tmp_path / 'a.wav', 4000, 2, 24)
  whole = frames_of(path)
  with opened_sound(path, start=0.1, end=0.25) as sound:
    assert sound.start_seconds == 0.1 and sound.info.num_frames == 1200
    np.testing.assert_array_equal(read_pcm_frames(sound.info, 0, 1200), whole[800:2000])
    scratch = sound.info.path
  assert not scratch.exists()
  np.testing.assert_array_equal(frames_of(path, start=0.45), whole[3600:])
  np.testing.assert_array_equal(frames_of(path, end=0.01), whole[:80])
  np.testing.assert_array_equal(frames_of(path, end=1e9), whole)


@pytest.mark.parametrize(('start', 'end'), [(0.5, None), (-1.0, None), (0.2, 0.1), (0.1, 0.1), (float('nan'), None)])
def test_a_part_that_is_not_there(tmp_path, start, end):
  path = write_wav(tmp_path / 'a.wav', 4000)
  with pytest.raises(InputError, match=r'--start, --end: expected a part of .*a\.wav, which has 0\.5 seconds'):
    frames_of(path, start=start, end=end)


def test_a_lmic_file_brings_its_model_and_its_segments(tmp_path):
  path = write_wav(tmp_path / 'a.wav', 3000, 2)
  target = packed(path, 'tiny', level=1)
  expected = frames_of(path)
  with opened_sound(target) as sound:
    np.testing.assert_array_equal(read_pcm_frames(sound.info, 0, 3000), expected)
    assert sound.model == 'tiny' and (sound.segments.frames, sound.segments.effort) == (3000, 0)
  # By its first bytes, whatever its name is.
  renamed = target.rename(tmp_path / 'renamed.wav')
  np.testing.assert_array_equal(frames_of(renamed), expected)


def test_a_lmic_file_of_linear_prediction_is_looked_at_as_its_original_is(tmp_path):
  path = write_wav(tmp_path / 'a.wav', 3000, 2)
  target = packed(path, None, level=3)
  with opened_sound(target) as sound:
    np.testing.assert_array_equal(read_pcm_frames(sound.info, 0, 3000), frames_of(path))
    assert sound.model is None and sound.segments == LEVELS[DEFAULT_LEVEL].segments


def test_a_lmic_file_of_a_model_of_ones_own(tmp_path):
  model, other = look_cases.byte_model(tmp_path), look_cases.byte_model(tmp_path, seed=1)
  target = packed(write_wav(tmp_path / 'a.wav', 300), model)
  with opened_sound(target, models=[other, model]) as sound:
    assert sound.model == model
  with pytest.raises(ModelMismatchError, match='name the model file that wrote it with -m'):
    frames_of(target, models=[other])


@pytest.mark.parametrize(
  ('name', 'data', 'message'),
  [
    ('text.txt', b'no sound at all', 'not a file of samples'),
    ('empty.wav', b'', 'an empty file'),
    ('none.wav', build_wav(b''), 'expected samples, got none'),
    ('float.wav', build_wav(bytes(80), bits=32, tag=IEEE_FLOAT), 'expected integer samples, got 32-bit floats'),
    ('still.wav', build_wav(bytes(80), rate_hz=0), 'expected a sample rate, got 0 Hz'),
    ('short.flac', b'fLaC', 'expected STREAMINFO'),
  ],
)
def test_what_holds_no_sound_for_models(tmp_path, name, data, message):
  path = tmp_path / name
  path.write_bytes(data)
  with pytest.raises(InputError) as error:
    frames_of(path)
  assert message in str(error.value) and str(error.value).count(str(path)) == 1
  assert '\n' not in str(error.value)


def test_a_lmic_file_of_something_else(tmp_path):
  path = tmp_path / 'text.txt'
  path.write_bytes(b'no sound at all')
  target = packed(path, 'tiny')
  with pytest.raises(InputError, match=r'text\.txt\.lmic: not a file of samples') as error:
    frames_of(target)
  assert 'original.wav' not in str(error.value)


def test_what_is_not_there(tmp_path):
  for name in ('a.wav', 'a.lmic'):
    with pytest.raises(InputError, match='No such file'):
      frames_of(tmp_path / name)
  with pytest.raises(InputError, match='directory'):
    frames_of(tmp_path)
