"""The package's interface: arrays and files come back as they were, and what cannot be used is refused with advice."""

import dataclasses
import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest
from support.hybrid_cases import tone
from support.training_runs import REPOSITORY
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

import language_modeling_is_compression as lmic
from language_modeling_is_compression.api import functions
from language_modeling_is_compression.codec.levels import LEVELS
from language_modeling_is_compression.format.container import Container

RATE_HZ = 22_050


def waves(dtype: str, shape: tuple[int, ...], bits: int | None = None) -> np.ndarray:
  """Loud sines that reach both extremes."""
  top = (1 << ((bits or 8 * np.dtype(dtype).itemsize) - 1)) - 1
  num_frames = shape[0]
  columns = 1 if len(shape) == 1 else shape[1]
  found = np.round(0.9 * top * np.sin(0.05 * np.arange(num_frames)[:, None] + np.arange(columns))).astype(np.int64)
  found.reshape(-1)[:2] = [-top - 1, top][: found.size]
  return (found + (top + 1 if dtype == 'uint8' else 0)).astype(dtype).reshape(shape)


@pytest.mark.parametrize('shape', [(300,), (300, 1), (300, 2), (70, 9), (1,), (1, 1), (0,), (0, 1), (0, 3), (1, 40)])
@pytest.mark.parametrize('dtype', ['uint8', 'int8', 'int16', 'int32'])
def test_arrays_come_back(dtype, shape):
  samples = waves(dtype, shape)
  found, rate = lmic.decompress(lmic.compress(samples, RATE_HZ, level=1))
  assert (found.dtype, found.shape, rate) == (samples.dtype, shape, RATE_HZ)
  np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize('shape', [(300,), (300, 1), (70, 9), (0, 3), (1, 40)])
@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_arrays_of_floats_come_back(dtype, shape):
  samples = (waves('int16', shape) / 32768).astype(dtype)
  samples.reshape(-1)[3:5] = [np.nan, -0.0][: max(0, samples.size - 3)]
  found, rate = lmic.decompress(lmic.compress(samples, RATE_HZ, level=1))
  assert (found.dtype, found.shape, rate) == (samples.dtype, shape, RATE_HZ)
  assert found.tobytes() == samples.tobytes()


@pytest.mark.parametrize(
  ('dtype', 'depth'), [('int16', 8), ('int32', 8), ('int32', 16), ('int32', 24), ('int32', 32), ('int8', 8)]
)
@pytest.mark.parametrize('shape', [(301,), (300, 2)])
def test_depths_that_are_not_the_dtypes(dtype, depth, shape):
  samples = waves(dtype, shape, depth)
  blob = lmic.compress(samples, RATE_HZ, bit_depth=depth, level=1)
  with lmic.open(io.BytesIO(blob)) as sound:
    assert (sound.bit_depth, sound.dtype) == (depth, dtype)
    np.testing.assert_array_equal(sound.read(), samples)


def test_a_blob_is_a_file_of_a_wav(tmp_path):
  """Which any reader of WAVs takes, and the command restores."""
  soundfile = pytest.importorskip('soundfile')
  for number, samples in enumerate([waves('int16', (500, 2)), waves('int8', (501,)), waves('int32', (99, 1), 24)]):
    depth = 24 if number == 2 else None
    (tmp_path / 'a.lmic').write_bytes(lmic.compress(samples, RATE_HZ, bit_depth=depth, level=1))
    lmic.decompress_file(tmp_path / 'a.lmic', tmp_path / 'a.wav', overwrite=True)
    read, rate = soundfile.read(tmp_path / 'a.wav', dtype='int32')
    expected = samples.astype(np.int32) << {0: 16, 1: 24, 2: 8}[number]
    assert rate == RATE_HZ
    np.testing.assert_array_equal(read, expected.reshape(read.shape))


def test_arrays_of_any_layout_in_memory():
  samples = waves('int16', (400, 2))
  for each in (np.asfortranarray(samples), samples[::2], samples[:, ::-1], samples[::-1]):
    np.testing.assert_array_equal(lmic.decompress(lmic.compress(each, RATE_HZ, level=1))[0], each)


@pytest.mark.parametrize(
  ('samples', 'reason'),
  [
    ([1, 2], r'samples: expected a NumPy array, got list: make one with np\.asarray'),
    (np.zeros((2, 2, 2), np.int16), r'samples: expected shape \[N\] or \[N, C\], got \[2, 2, 2\]'),
    (np.zeros(3, np.complex64), 'samples: .*got complex64: convert'),
    (np.zeros(3, np.int64), r'samples: .*got int64: convert them with \.astype\(np\.int32\)'),
    (np.zeros(3, np.uint16), 'samples: .*got uint16: convert'),
    (np.zeros(3, bool), 'samples: .*got bool: convert'),
    (np.zeros(3, '>i2'), r'samples: .*got >i2: swap the bytes with \.astype\(np\.int16\)'),
    (np.zeros((3, 0), np.int16), 'samples: expected 1 to 32767 channels, got 0'),
    (np.zeros((1, 32_768), np.int16), 'samples: expected 1 to 32767 channels, got 32768'),
  ],
)
def test_arrays_that_cannot_be_compressed(samples, reason):
  with pytest.raises(lmic.InputError, match=f'^{reason}'):
    lmic.compress(samples, RATE_HZ)


@pytest.mark.parametrize(
  ('options', 'reason'),
  [
    ({'bit_depth': 24}, 'bit_depth: expected 8, 16 for int16, got 24'),
    ({'bit_depth': 12}, 'bit_depth: expected 8, 16 for int16, got 12'),
    ({'bit_depth': 8}, r'bit_depth: samples from -32768 to 32767 do not fit 8 bits, -128 to 127'),
    ({'level': 0}, 'level: expected 1 to 9, got 0'),
    ({'level': '6'}, "level: expected 1 to 9, got '6'"),
    ({'threads': 0}, 'threads: expected an integer of 1 or more, got 0'),
    ({'threads': 1.5}, 'threads: expected an integer of 1 or more, got 1.5'),
  ],
)
def test_options_that_cannot_be_used(options, reason):
  with pytest.raises(lmic.InputError, match=f'^{reason}'):
    lmic.compress(waves('int16', (10,)), RATE_HZ, **options)


@pytest.mark.parametrize('rate', [-1, 1 << 32, 44_100.0, '44100', None])
def test_rates_that_no_file_has(rate):
  with pytest.raises(lmic.InputError, match=r'^sample_rate_hz: expected an integer from 0 to 4294967295, got'):
    lmic.compress(waves('int16', (10,)), rate)


def test_models_that_cannot_be_used(tmp_path):
  with pytest.raises(lmic.CheckpointError, match='none: cannot be read'):
    lmic.compress(waves('int16', (10,)), RATE_HZ, model=tmp_path / 'none')
  with pytest.raises(lmic.ConfigError, match='bytes is a byte model, which has no levels'):
    lmic.compress(waves('int16', (10,)), RATE_HZ, model='bytes', level=3)


def test_a_byte_model():
  samples = waves('uint8', (200,))
  found, _ = lmic.decompress(lmic.compress(samples, RATE_HZ, model='bytes'))
  np.testing.assert_array_equal(found, samples)


def test_damaged_blobs():
  blob = lmic.compress(tone(5000).astype(np.int16), RATE_HZ, level=1)
  for damaged, error, reason in (
    (b'', lmic.FormatError, 'not a .lmic file: it is empty'),
    (b'RIFF' * 50, lmic.FormatError, 'not a .lmic file'),
    (blob[:-1], lmic.FormatError, 'its end, with the hash of the original, is damaged or cut off'),
    (blob[:200] + bytes([blob[200] ^ 1]) + blob[201:], lmic.DamageError, 'chunk 1 .* is damaged: its checksum'),
    (blob + b'more', lmic.FormatError, '4 bytes follow its end'),
  ):
    with pytest.raises(error, match=reason):
      lmic.decompress(damaged)
    with pytest.raises(lmic.LmicError), lmic.open(io.BytesIO(damaged)) as sound:
      sound.read()


def test_a_blob_without_sound():
  packed = io.BytesIO()
  lmic.compress_file(io.BytesIO(b'words ' * 99), packed)
  with pytest.raises(lmic.AudioFormatError, match='it holds no sound: decompress_file restores the file'):
    lmic.decompress(packed.getvalue())


# Files.


FILES = {
  'WAV': build_wav(pcm_bytes(tone(3000, channels=2), 16), channels=2, before=[(b'LIST', b'abc')], trailer=b'odd'),
  'floats': build_wav(np.linspace(-1, 1, 300, dtype='<f4').tobytes(), bits=32, tag=IEEE_FLOAT, channels=2),
  'words': b'words ' * 99,
  'empty': b'',
}


@pytest.mark.parametrize('name', FILES)
def test_files_come_back(tmp_path, name):
  original, packed, restored = tmp_path / 'original', tmp_path / 'packed', tmp_path / 'restored'
  original.write_bytes(FILES[name])
  os.utime(original, ns=(10**18, 10**18))
  outcome = lmic.compress_file(original, str(packed), level=1)
  assert (outcome.original_bytes, outcome.compressed_bytes) == (len(FILES[name]), packed.stat().st_size)
  lmic.decompress_file(packed, restored)
  assert restored.read_bytes() == FILES[name]
  assert restored.stat().st_mtime_ns == packed.stat().st_mtime_ns == 10**18
  by_object = io.BytesIO()
  lmic.compress_file(io.BytesIO(FILES[name]), by_object, level=1)
  assert by_object.getvalue() == packed.read_bytes()
  target = io.BytesIO()
  by_object.seek(0)
  lmic.decompress_file(by_object, target)
  assert target.getvalue() == FILES[name]


class Pipe(io.RawIOBase):
  """Can be read once, from its beginning to its end."""

  def __init__(self, data: bytes):
    self._data = io.BytesIO(data)

  def readable(self) -> bool:
    return True

  def read(self, size: int = -1) -> bytes:
    return self._data.read(size)


def test_what_cannot_be_seeked_is_read_from_where_it_stands():
  packed, restored = io.BytesIO(), io.BytesIO()
  lmic.compress_file(cast(Any, Pipe(FILES['WAV'])), packed, level=1)
  lmic.decompress_file(cast(Any, Pipe(packed.getvalue())), restored)
  assert restored.getvalue() == FILES['WAV']
  source = io.BytesIO(b'before' + FILES['WAV'])
  source.seek(6)
  again = io.BytesIO()
  lmic.compress_file(source, again, level=1)
  assert again.getvalue() == packed.getvalue()


def test_what_exists_is_kept_unless_it_may_be_overwritten(tmp_path):
  original, packed = tmp_path / 'a.wav', tmp_path / 'a.wav.lmic'
  original.write_bytes(FILES['WAV'])
  packed.write_bytes(b'mine')
  with pytest.raises(lmic.OutputExistsError, match=r'a\.wav\.lmic exists; pass overwrite=True to replace it'):
    lmic.compress_file(original, packed, level=1)
  assert packed.read_bytes() == b'mine'
  lmic.compress_file(original, packed, level=1, overwrite=True)
  with pytest.raises(lmic.OutputExistsError):
    lmic.decompress_file(packed, original)
  with pytest.raises(lmic.ConfigError, match='is the source itself'):
    lmic.compress_file(original, original, overwrite=True)
  assert original.read_bytes() == FILES['WAV']
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a.wav', 'a.wav.lmic']


def test_a_failure_leaves_nothing_behind(tmp_path):
  (tmp_path / 'damaged').write_bytes(lmic.compress(tone(3000).astype(np.int16), RATE_HZ, level=1)[:-9])
  with pytest.raises(lmic.FormatError):
    lmic.decompress_file(tmp_path / 'damaged', tmp_path / 'restored')
  with pytest.raises(FileNotFoundError):
    lmic.compress_file(tmp_path / 'none', tmp_path / 'packed')
  assert [path.name for path in tmp_path.iterdir()] == ['damaged']


@pytest.mark.parametrize('wrong', [io.StringIO('text'), 7])
def test_what_is_no_binary_file(wrong):
  with pytest.raises(lmic.InputError, match='source: expected a path or a binary file, got'):
    lmic.compress_file(wrong, io.BytesIO())
  with pytest.raises(lmic.InputError, match='target: expected a path or a binary file, got'):
    lmic.compress_file(io.BytesIO(b'x'), wrong)


# Code lengths.


@pytest.mark.parametrize('shape', [(4000,), (4000, 2), (500, 9)])
def test_code_lengths_are_those_of_the_file(shape):
  samples = tone(shape[0], channels=shape[1] if len(shape) == 2 else 1).astype(np.int16).reshape(shape)
  bits = lmic.code_length(samples, RATE_HZ, level=4)
  assert bits.shape == shape and bits.dtype == np.float64 and (bits >= 0).all()
  blob = lmic.compress(samples, RATE_HZ, level=4)
  body = Container(io.BytesIO(blob), len(blob)).chunk(0).body
  assert bits.sum() / 8 < len(body) < bits.sum() / 8 + 100


def test_code_lengths_of_many_segments_and_of_channels():
  samples = tone((1 << 17) + 9000, noise=0.0).astype(np.int16)
  bits = lmic.code_length(samples[:, 0], RATE_HZ, level=1)
  half = len(samples) // 2
  apart = [
    lmic.code_length(part, RATE_HZ, level=1) for part in (samples[: half + len(samples) % 2, 0], samples[half:, 0])
  ]
  np.testing.assert_array_equal(bits[: len(apart[0])], apart[0])
  two = np.concatenate([samples[:600], -samples[:600] // 3], axis=1)
  by_bytes = lmic.code_length(two, RATE_HZ, model='bytes')
  for channel in range(2):
    alone = lmic.code_length(two[:, channel].copy(), RATE_HZ, model='bytes')
    np.testing.assert_array_equal(by_bytes[:, channel], alone)


def test_code_lengths_of_a_file_that_is_halved(monkeypatch):
  """It is divided as the file would be."""
  level = LEVELS[5]
  changed = dataclasses.replace(level, segments=dataclasses.replace(level.segments, halve_from=12_000))
  monkeypatch.setitem(cast(dict[int, Any], LEVELS), 5, changed)
  samples = np.random.default_rng(0).integers(-3000, 3000, 20_000).astype(np.int16)
  blob = lmic.compress(samples, RATE_HZ, level=5)
  assert Container(io.BytesIO(blob), len(blob)).header.num_spans == 2
  bits = lmic.code_length(samples, RATE_HZ, level=5)
  np.testing.assert_array_equal(bits[10_000:], lmic.code_length(samples[10_000:], RATE_HZ, level=5))


def test_code_lengths_of_nothing_and_of_too_many_channels():
  assert lmic.code_length(np.zeros((0, 2), np.int16), RATE_HZ).shape == (0, 2)
  with pytest.raises(lmic.InputError, match='300 channels are too many for 2 frames'):
    lmic.code_length(np.zeros((2, 300), np.int16), RATE_HZ)


# Progress, cancellation, threads.


def test_progress_goes_up_to_the_whole(tmp_path):
  (tmp_path / 'a').write_bytes(FILES['WAV'])
  said: list[tuple[int, int]] = []
  samples = np.resize(tone(3000).astype(np.int16), (1 << 17) + 5)
  blob = lmic.compress(samples, RATE_HZ, level=1, progress=lambda done, total: said.append((done, total)))
  assert len(said) >= 3 and said == sorted(said) and said[-1][0] == said[-1][1] == 2 * samples.size + 44
  for work in (
    lambda progress: lmic.compress_file(tmp_path / 'a', io.BytesIO(), level=1, progress=progress),
    lambda progress: lmic.decompress_file(io.BytesIO(blob), io.BytesIO(), progress=progress),
    lambda progress: lmic.code_length(samples[:99], RATE_HZ, level=1, progress=progress),
  ):
    said.clear()
    work(lambda done, total: said.append((done, total)))
    assert said and said[-1][0] == said[-1][1]


def test_an_exception_of_a_callback_ends_the_work(tmp_path):
  class EnoughError(Exception):
    pass

  def enough(done: int, total: int) -> None:
    raise EnoughError

  (tmp_path / 'a').write_bytes(FILES['WAV'])
  with pytest.raises(EnoughError):
    lmic.compress_file(tmp_path / 'a', tmp_path / 'b', level=1, progress=enough)
  assert [path.name for path in tmp_path.iterdir()] == ['a']


def test_cancellation_from_another_thread(tmp_path):
  samples = np.resize(tone(3000).astype(np.int16), 1 << 20)
  cancellation = lmic.Cancellation()
  timer = threading.Timer(0.3, cancellation.cancel)
  timer.start()
  with pytest.raises(lmic.CancelledError):
    lmic.compress(samples, RATE_HZ, level=9, cancellation=cancellation)
  timer.join()
  for work in (
    lambda: lmic.compress(samples, RATE_HZ, cancellation=cancellation),
    lambda: lmic.code_length(samples, RATE_HZ, cancellation=cancellation),
    lambda: lmic.compress_file(io.BytesIO(FILES['WAV']), tmp_path / 'b', cancellation=cancellation),
  ):
    with pytest.raises(lmic.CancelledError):
      work()
  assert not list(tmp_path.iterdir())


def test_a_token_outlives_the_work_that_it_was_given_to():
  cancellation = lmic.Cancellation()
  samples = waves('int16', (100,))
  blob = lmic.compress(samples, RATE_HZ, level=1, cancellation=cancellation)
  np.testing.assert_array_equal(lmic.decompress(blob, cancellation=cancellation)[0], samples)
  assert not cancellation.requested


def test_threads_do_not_disturb_each_other():
  arrays = [np.roll(tone(2000), shift, axis=0).astype(np.int16) for shift in range(6)]
  alone = [lmic.compress(samples, RATE_HZ, level=1) for samples in arrays]
  with ThreadPoolExecutor(6) as pool:
    together = list(pool.map(lambda samples: lmic.compress(samples, RATE_HZ, level=1, threads=1), arrays))
    restored = list(pool.map(lmic.decompress, together))
  assert together == alone
  for (found, _), samples in zip(restored, arrays, strict=True):
    np.testing.assert_array_equal(found, samples)


def test_a_compressor_is_for_many_files():
  with lmic.Compressor(level=1) as compressor, lmic.Decompressor() as decompressor:
    for name in FILES:
      packed, restored = io.BytesIO(), io.BytesIO()
      compressed = compressor.compress(io.BytesIO(FILES[name]), packed)
      compressor.verify(packed, compressed)
      decompressor.decompress(packed, restored)
      assert restored.getvalue() == FILES[name]
      assert decompressor.find_damage(packed) == []
      decompressor.decompress(Container(packed, compressed.num_bytes), again := io.BytesIO())
      assert again.getvalue() == FILES[name]


@pytest.mark.parametrize('verify', [False, True])
def test_progress_counts_both_halves(verify):
  said: list[tuple[int, int]] = []
  source, packed, total = io.BytesIO(FILES['WAV']), io.BytesIO(), len(FILES['WAV'])
  with lmic.Compressor(level=1) as compressor:
    compressed = compressor.compress(
      source, packed, progress=lambda done, total: said.append((done, total)), verify=verify
    )
    assert (compressed.verified is not None) == verify
    compressor.verify(packed, compressed)
  assert said[-1] == (total, total) and {each for _, each in said} == {total}
  assert [done for done, _ in said] == sorted(done for done, _ in said)


# The package.


def test_importing_the_package_imports_nothing_else():
  script = (
    'import sys; import language_modeling_is_compression as lmic; '
    'print([name for name in ("jax", "haiku", "numpy", "numba", "optax", "scipy", "wandb") if name in sys.modules]); '
    'lmic.compress; print([name for name in ("jax", "haiku", "optax", "wandb") if name in sys.modules])'
  )
  done = subprocess.run([sys.executable, '-c', script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
  assert done.stdout.split('\n')[:2] == ['[]', '[]']


def test_every_name_of_the_interface_is_there():
  for name in lmic.__all__:
    assert getattr(lmic, name) is not None
  assert lmic.open is functions.open_sound
  assert all(issubclass(getattr(lmic, name), lmic.LmicError) for name in lmic.__all__ if name.endswith('Error'))
  with pytest.raises(AttributeError, match='has no attribute nothing'):
    lmic.nothing  # noqa: B018
