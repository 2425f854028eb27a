"""Files that libsndfile writes, of every container and coding, parse to the samples that it reads back."""

import itertools

import numpy as np
import pytest
from support.regions import assert_well_formed
from support.wav_builder import random_samples

from language_modeling_is_compression.audio.frames import read_pcm_frames, read_raw_frames
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import SampleKind

soundfile = pytest.importorskip('soundfile')

_INTEGERS = {'PCM_S8': 8, 'PCM_U8': 8, 'PCM_16': 16, 'PCM_24': 24, 'PCM_32': 32}
_CODINGS = [*_INTEGERS, 'FLOAT', 'DOUBLE', 'ULAW', 'ALAW']
_CONTAINERS = {
  'WAV': ContainerKind.WAV,
  'WAVEX': ContainerKind.WAV,
  'RF64': ContainerKind.WAV,
  'AIFF': ContainerKind.AIFF,
  'CAF': ContainerKind.CAF,
  'W64': ContainerKind.W64,
  'AU': ContainerKind.AU,
  'NIST': ContainerKind.SPHERE,
}
_CASES = [
  (container, coding, order)
  for container, coding, order in itertools.product(_CONTAINERS, _CODINGS, ('FILE', 'LITTLE', 'BIG'))
  if soundfile.check_format(container, coding, order)
]


@pytest.mark.parametrize('channels', [1, 2, 5])
@pytest.mark.parametrize(('container', 'coding', 'order'), _CASES)
def test_same_samples(tmp_path, container, coding, order, channels):
  path = tmp_path / 'a'
  # An even number: libsndfile takes pad bytes for samples.
  samples = random_samples(34, channels, 32, seed=channels)
  sound = samples / 2.0**31 if coding in ('FLOAT', 'DOUBLE') else samples.astype(np.int32)
  soundfile.write(path, sound, 44_100, format=container, subtype=coding, endian=order)
  info = read_pcm_info(path)
  assert_well_formed(info, path.stat().st_size)
  is_rifx = container in ('WAV', 'WAVEX') and order == 'BIG'
  assert info.container == (ContainerKind.RIFX if is_rifx else _CONTAINERS[container])
  assert (info.num_frames, info.num_channels, info.sample_rate_hz) == (34, channels, 44_100)
  if coding in _INTEGERS:
    bits = _INTEGERS[coding]
    assert (info.encoding, info.resolution_bits) == ('int', bits)
    expected, _ = soundfile.read(path, dtype='int32', always_2d=True)
    np.testing.assert_array_equal(read_pcm_frames(info, 0, 34), expected >> (32 - bits))
  elif coding in ('ULAW', 'ALAW'):
    assert info.pcm.kind == (SampleKind.MU_LAW if coding == 'ULAW' else SampleKind.A_LAW)
    expected, _ = soundfile.read(path, dtype='int16', always_2d=True)
    np.testing.assert_array_equal(read_pcm_frames(info, 0, 34), expected)
  else:
    assert (info.encoding, info.sample_bytes) == ('float', 4 if coding == 'FLOAT' else 8)
    stored = read_raw_frames(info, 0, 34).view(f'{">" if info.pcm.is_big_endian else "<"}f{info.sample_bytes}')
    np.testing.assert_array_equal(stored[:, :, 0], soundfile.read(path, dtype='float64', always_2d=True)[0])


def test_there_are_cases_of_every_container():
  assert {container for container, _, _ in _CASES} == set(_CONTAINERS) and len(_CASES) > 100
