"""WAV headers from hostile bytes, and spans of frames against the whole."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.regions import assert_well_formed, payload_of
from support.wav_builder import EXTENSIBLE, UNKNOWN_SIZE, build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.errors import AudioFormatError

SIZES = st.sampled_from([0, 1, 7, 8, 16, 2**31 - 1, 2**31, UNKNOWN_SIZE - 1, UNKNOWN_SIZE]) | st.integers(0, 2**32 - 1)
CHUNK_IDS = st.sampled_from([b'LIST', b'JUNK', b'bext', b'fact', b'data', b'fmt ', b'ds64', b'abcd', b'\0\0\0\0'])
CHUNKS = st.lists(st.tuples(CHUNK_IDS, st.binary(max_size=40)), max_size=4)
# The path is one per test, and every example writes the whole file anew.
on_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'a.wav'


def assert_sound_or_rejected(path, contents: bytes) -> None:
  path.write_bytes(contents)
  try:
    info = read_pcm_info(path)
  except AudioFormatError as error:
    assert str(error).startswith(f'{path}: ') and str(error).isprintable()
    return
  assert_well_formed(info, len(contents))
  frames = read_pcm_frames(info, 0, info.num_frames)
  assert frames.shape == (info.num_frames, info.num_channels) and frames.dtype == np.int32
  limit = 1 << (info.resolution_bits - 1)
  assert frames.size == 0 or (-limit <= frames.min() and int(frames.max()) < limit)


@on_disk
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(path, contents, with_magic):
  assert_sound_or_rejected(path, b'RIFF\0\0\0\0WAVE' + contents if with_magic else contents)


@on_disk
@given(
  form=st.sampled_from([b'RIFF', b'RF64', b'BW64', b'RIFX']),
  tag=st.sampled_from([1, 3, EXTENSIBLE, 2, 85]),
  channels=st.sampled_from([0, 1, 2, 255]),
  bits=st.integers(0, 65),
  block_align=st.none() | st.integers(0, 12),
  extensible=st.booleans(),
  riff_size=st.none() | SIZES,
  data_size=st.none() | SIZES,
  ds64=st.none() | st.tuples(*[st.integers(0, 2**64 - 1)] * 2),
  before=CHUNKS,
  after=CHUNKS,
  data_first=st.booleans(),
  pad=st.sampled_from([b'\0', b'X', b'']),
  payload=st.binary(max_size=64),
)
def test_any_header(path, payload, **oddities):
  assert_sound_or_rejected(path, build_wav(payload, **oddities))


@on_disk
@given(
  form=st.sampled_from([b'RIFF', b'RF64']),
  edits=st.lists(st.tuples(st.integers(0, 150), st.sampled_from([0, 1, 32, 100, 127, 128, 255])), max_size=4),
  cut=st.integers(0, 160),
)
def test_damaged_header(path, form, edits, cut):
  contents = bytearray(build_wav(bytes(range(40)), channels=2, extensible=True, form=form, before=[(b'LIST', b'abc')]))
  for position, value in edits:
    contents[position % len(contents)] = value
  assert_sound_or_rejected(path, bytes(contents[:cut]) if cut < 80 else bytes(contents))


@on_disk
@given(
  payload=st.binary(max_size=64).filter(lambda payload: len(payload) % 4 == 0),
  before=st.lists(st.tuples(st.sampled_from([b'LIST', b'JUNK', b'bext', b'cue ']), st.binary(max_size=9)), max_size=4),
  after=st.lists(st.tuples(st.sampled_from([b'LIST', b'JUNK', b'id3 ']), st.binary(max_size=9)), max_size=4),
  form=st.sampled_from([b'RIFF', b'RF64', b'BW64']),
  pad=st.sampled_from([b'\0', b'd', b'\xff', b'']),
)
def test_payload_is_found_between_chunks(path, payload, **around):
  path.write_bytes(build_wav(payload, channels=2, **around))
  info = read_pcm_info(path)
  assert payload_of(info) == payload


@on_disk
@given(bits=st.sampled_from([8, 16, 24, 32]), channels=st.integers(1, 5), num_frames=st.integers(0, 30), data=st.data())
def test_spans_are_slices_of_the_whole(path, bits, channels, num_frames, data):
  samples = random_samples(num_frames, channels, bits, seed=num_frames)
  path.write_bytes(build_wav(pcm_bytes(samples, bits), bits=bits, channels=channels))
  info = read_pcm_info(path)
  start, stop = sorted(data.draw(st.tuples(*[st.integers(0, num_frames)] * 2)))
  np.testing.assert_array_equal(read_pcm_frames(info, start, stop), samples[start:stop])


@on_disk
@given(values=st.lists(st.floats(width=32)), width=st.sampled_from([4, 8]))
def test_floats_by_the_rule(path, values, width):
  path.write_bytes(build_wav(np.array(values, f'<f{width}').tobytes(), tag=3, bits=8 * width))
  info = read_pcm_info(path)
  expected = [0 if np.isnan(x) else int(np.clip(np.floor(x * 2**23 + 0.5), -(2**23), 2**23 - 1)) for x in values]
  assert read_pcm_frames(info, 0, len(values))[:, 0].tolist() == expected
