"""Reading parts of compressed sound: what is read is what was compressed, and no more is decoded than is needed."""

import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.hybrid_cases import tone
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

import language_modeling_is_compression as lmic
from language_modeling_is_compression.api import engine, sound
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.format.division import SegmentSettings

SAMPLES = tone(1000, channels=2).astype(np.int16)


@pytest.fixture(scope='module')
def blob() -> bytes:
  """SAMPLES in ten segments of 100 frames."""
  target = io.BytesIO()
  with lmic.Compressor(level=1) as compressor:
    compressor.segments = SegmentSettings(frames=100, effort=0)
    compressor.compress(io.BytesIO(build_wav(pcm_bytes(SAMPLES, 16), channels=2, rate_hz=8000)), target)
  return target.getvalue()


def test_what_a_sound_says_of_itself(blob):
  with lmic.open(io.BytesIO(blob)) as opened:
    assert (opened.sample_rate_hz, opened.num_channels, opened.num_frames) == (8000, 2, 1000)
    assert (opened.bit_depth, opened.dtype, len(opened), opened.tell()) == (16, 'int16', 1000, 0)
    assert repr(opened) == '<Sound: 1,000 frames x 2 channels, 16 bits, 8,000 Hz>'


@pytest.mark.parametrize(
  ('start', 'count'), [(0, 1), (0, 1000), (99, 2), (100, 100), (250, 500), (999, 1), (999, 5), (1000, 3), (0, 0)]
)
def test_parts(blob, start, count):
  with lmic.open(io.BytesIO(blob)) as opened:
    assert opened.seek(start) == start
    np.testing.assert_array_equal(opened.read(count), SAMPLES[start : start + count])
    assert opened.tell() == min(1000, start + count)
    np.testing.assert_array_equal(opened.read(), SAMPLES[start + count :])


@pytest.mark.parametrize('frames', [1, 7, 100, 333, 1000, 5000])
def test_blocks(blob, frames):
  with lmic.open(io.BytesIO(blob)) as opened:
    opened.seek(3)
    blocks = list(opened.blocks(frames))
  assert all(len(block) == frames for block in blocks[:-1])
  np.testing.assert_array_equal(np.concatenate(blocks), SAMPLES[3:])


def test_seeking(blob):
  with lmic.open(io.BytesIO(blob)) as opened:
    assert opened.seek(-10, os.SEEK_END) == 990
    assert opened.seek(5, os.SEEK_CUR) == 995
    assert opened.seek(1000) == 1000 and len(opened.read()) == 0
    for position, whence in ((-1, os.SEEK_SET), (1001, os.SEEK_SET), (1, os.SEEK_END), (0, 5)):
      with pytest.raises(lmic.InputError):
        opened.seek(position, whence)
    with pytest.raises(lmic.InputError, match='frames: expected 1 or more, got 0'):
      next(opened.blocks(0))


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
  """The first frames of spans that were decoded."""
  starts: list[int] = []
  plain = file_codec.decode_frames

  def decode_frames(container, coder, first, last, *others):
    starts.extend(range(first, last, container.header.chunk_frames))
    return plain(container, coder, first, last, *others)

  monkeypatch.setattr(file_codec, 'decode_frames', decode_frames)
  return starts


def test_only_the_segments_that_are_needed_are_decoded(blob, decoded):
  with lmic.open(io.BytesIO(blob)) as opened:
    assert decoded == []
    opened.seek(450)
    opened.read(10)
    assert decoded == [400]
    opened.read(40)  # From the same one.
    assert decoded == [400]
    opened.read(150)
    assert decoded == [400, 500, 600]
  decoded.clear()
  with lmic.open(io.BytesIO(blob)) as opened:
    for _ in opened.blocks(7):
      pass
  assert decoded == list(range(0, 1000, 100))


def test_damage_elsewhere_does_no_harm(blob):
  damaged = bytearray(blob)
  damaged[len(blob) // 2] ^= 1
  read = []
  with lmic.open(io.BytesIO(bytes(damaged))) as opened:
    for start in range(0, 1000, 100):
      opened.seek(start)
      try:
        np.testing.assert_array_equal(opened.read(100), SAMPLES[start : start + 100])
        read.append(start)
      except lmic.DamageError:
        assert opened.tell() == start
  assert len(read) == 9


def test_channels_and_dimensions():
  mono = tone(300).astype(np.int16)[:, 0]
  with lmic.open(io.BytesIO(lmic.compress(mono, 8000, level=1))) as opened:
    assert opened.read(10).shape == (10,) and opened.read(10, always_2d=True).shape == (10, 1)
    assert [block.shape for block in opened.blocks(200, always_2d=True)] == [(200, 1), (80, 1)]
  with lmic.open(io.BytesIO(lmic.compress(mono[:, None], 8000, level=1))) as opened:
    assert opened.read(10).shape == (10, 1)


@pytest.mark.parametrize('width', [4, 8])
def test_floating_point_samples(width):
  samples = np.random.default_rng(0).normal(size=(50, 2)).astype(f'<f{width}')
  packed = io.BytesIO()
  lmic.compress_file(io.BytesIO(build_wav(samples.tobytes(), bits=8 * width, tag=IEEE_FLOAT, channels=2)), packed)
  with lmic.open(packed) as opened:
    assert (opened.dtype, opened.bit_depth) == (f'float{8 * width}', 8 * width)
    np.testing.assert_array_equal(opened.read(), samples)


def test_a_file_on_disk_is_closed(blob, tmp_path):
  (tmp_path / 'a.lmic').write_bytes(blob)
  with lmic.open(tmp_path / 'a.lmic') as opened:
    file = opened._file
    np.testing.assert_array_equal(opened.read(), SAMPLES)
  assert file.closed
  with pytest.raises(lmic.InputError, match='the sound is closed'):
    opened.read()
  with open(tmp_path / 'a.lmic', 'rb') as own:
    lmic.open(own).close()
    assert not own.closed


def test_what_cannot_be_opened(tmp_path, blob):
  with pytest.raises(FileNotFoundError):
    lmic.open(tmp_path / 'none')
  with pytest.raises(lmic.FormatError, match=r'not a \.lmic file'):
    lmic.open(io.BytesIO(b'nothing of the kind'))
  with pytest.raises(lmic.ModelMismatchError, match='name the model file that wrote it'):
    lmic.open(io.BytesIO(blob), model='default')
  with pytest.raises(lmic.FormatError, match='4 bytes follow its end'):
    lmic.open(io.BytesIO(blob + b'more'))


def test_threads_share_a_sound(blob):
  with lmic.open(io.BytesIO(blob)) as opened, ThreadPoolExecutor(4) as pool:
    found = list(pool.map(lambda _: opened.read(10), range(100)))
  assert sorted(each.tobytes() for each in found) == sorted(
    SAMPLES[at : at + 10].tobytes() for at in range(0, 1000, 10)
  )


def test_a_wav_that_was_compressed_as_bytes(monkeypatch):
  """One without samples, and one of more channels than its length suits, in memory and on disk."""
  for limit in (1 << 24, 1):
    monkeypatch.setattr(sound, '_MAX_MEMORY_BYTES', limit)
    for samples in (np.zeros((0, 2), np.int16), np.arange(60, dtype=np.int16).reshape(2, 30) * 7):
      blob = lmic.compress(samples, 8000, level=1)
      with lmic.open(io.BytesIO(blob)) as opened:
        assert (opened.num_channels, opened.num_frames, opened.sample_rate_hz) == (*samples.shape[::-1], 8000)
        np.testing.assert_array_equal(opened.read(1), samples[:1])
        np.testing.assert_array_equal(opened.read(), samples[1:])


def test_a_decompressor_that_is_closed_loads_no_more():
  decompressor = engine.Decompressor()
  decompressor.close()
  blob = lmic.compress(SAMPLES[:50], 8000, level=1)
  with pytest.raises(lmic.CancelledError):
    decompressor.coder(engine.open_container(io.BytesIO(blob)).header)
