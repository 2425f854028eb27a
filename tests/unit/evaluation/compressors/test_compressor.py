"""Compressors are charged with all that they write, and only if every sample comes back."""

import bz2
import gzip
import lzma
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zstandard
from support import wav_builder
from support.regions import span_of

from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.errors import BaselineError, ConfigError
from language_modeling_is_compression.evaluation.compressors.compressor import (
  Compressor,
  FileCompressor,
  Missing,
  Pcm,
  find_compressors,
  known_names,
)
from language_modeling_is_compression.evaluation.statistics.measurements import CompressorInfo

LIMIT_SECONDS = 60
LIBRARY_NAMES = ['gzip -9', 'bzip2 -9', 'lzma -6', 'lzma -9e', f'zstd -{zstandard.MAX_COMPRESSION_LEVEL}']
PROGRAM_NAMES = [
  'flac -8', 'ffmpeg-flac', 'wavpack -hh -x6', 'alac', 'tta', 'mac -c5000', 'ofr --preset max', 'sac --normal',
]  # fmt: skip
# Programs that take every width; those that do not are an error, which is theirs.
LOSSLESS_HERE = ['gzip', 'bz2', 'lzma', 'xz', 'zstd', 'flac', 'ffmpeg-flac', 'wavpack', 'alac', 'tta']
SAMPLES_16 = wav_builder.pcm_bytes(wav_builder.random_samples(50, 1, 16), 16)


def music(bits: int, num_frames: int = 3000, num_channels: int = 1) -> bytes:
  """A sine in noise, as in a WAV file, both extremes in it."""
  top = (1 << (bits - 1)) - 1
  waves = 0.8 * np.sin(0.05 * np.arange(num_frames)[:, None] * np.arange(1, num_channels + 1))
  noise = np.random.default_rng(0).normal(0, 0.02, waves.shape)
  samples = np.clip(np.round((waves + noise) * top), -top - 1, top).astype(int)
  samples.reshape(-1)[:2] = [-top - 1, top][: samples.size]
  return wav_builder.pcm_bytes(samples, bits)


def music_pcm(bits: int, rate_hz: int = 8000) -> Pcm:
  data, chunk_bytes = music(bits, 1500), 1000 * bits // 8
  chunks = [data[start : start + chunk_bytes] for start in range(0, len(data), chunk_bytes)]
  return Pcm(chunks=[*chunks, data[: 17 * bits // 8]], sample_bytes=bits // 8, sample_rate_hz=rate_hz)


@pytest.fixture
def wav(tmp_path):
  """A name that shells and programs dislike."""
  path = tmp_path / '-f it\'s a "file" §.WAV'
  path.write_bytes(wav_builder.build_wav(SAMPLES_16))
  return path


@pytest.fixture
def script(tmp_path):
  """Makes a shell script; gives the beginning of a command line."""

  def script(name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)
    return str(path)

  return script


def found(*names: str) -> list[Compressor]:
  """Those of the names that can run here."""
  everything = find_compressors(names, (), time_limit_seconds=LIMIT_SECONDS)
  return [each for each in everything if not isinstance(each, Missing)]


def custom(text: str) -> Compressor:
  (compressor,) = find_compressors((), [text], time_limit_seconds=LIMIT_SECONDS)
  assert not isinstance(compressor, Missing)
  return compressor


COPY = 'copy=cp {in} {out} :: cp {in} {out}'


# Which there are.


def test_rows_are_called_by_what_is_run(monkeypatch):
  monkeypatch.setattr(shutil, 'which', lambda name: f'/usr/bin/{name}')
  assert [each.info.name for each in found('all')] == LIBRARY_NAMES + PROGRAM_NAMES
  assert [each.info.name for each in found('flac', 'gzip', 'flac')] == ['flac -8', 'gzip -9']
  for each in found('all'):
    assert each.info.settings and each.info.version
    assert (each.info.is_model, each.info.parameters_bytes) == (False, 0)


def test_programs_that_are_not_there_are_rows_that_say_so(monkeypatch):
  monkeypatch.setattr(shutil, 'which', lambda _: None)
  rows = find_compressors(['all'], ['mine=packer {in} {out}'], time_limit_seconds=LIMIT_SECONDS)
  missing = [each for each in rows if isinstance(each, Missing)]
  assert [each.name for each in missing] == [*PROGRAM_NAMES[1:], 'mine (not decoded)']
  assert missing[1] == Missing(name='wavpack -hh -x6', reason='there is no program wavpack on PATH')
  present = [each.info.name for each in rows if not isinstance(each, Missing)]
  assert present == [*LIBRARY_NAMES, "libsndfile's FLAC (no flac program here)"]


@pytest.mark.parametrize(
  ('names', 'given', 'message'),
  [
    (['gzip', 'wavpac'], [], 'unknown compressor wavpac; did you mean wavpack?'),
    (['al'], [], 'unknown compressor al; did you mean all?'),
    (['???'], [], f'unknown compressor ???; expected all or some of {", ".join(known_names())}'),
    ([], ['a=cp {in} {out}', 'a=cp -f {in} {out}'], 'two compressors are called a (not decoded); give one of them '
     'another name'),
    (['gzip'], ['gzip -9=cp {in} {out} :: cp {in} {out}'], 'two compressors are called gzip -9; give one of them '
     'another name'),
    ([], ['cp'], "expected 'NAME=COMMAND', with {in} and {out} in COMMAND, got 'cp'"),
  ],
)  # fmt: skip
def test_names_that_cannot_be_used(names, given, message):
  with pytest.raises(ConfigError) as caught:
    find_compressors(names, given, time_limit_seconds=LIMIT_SECONDS)
  assert str(caught.value) == message


# What is counted.


@pytest.mark.parametrize(
  ('name', 'by_hand'),
  [
    ('gzip', lambda data: gzip.compress(data, compresslevel=9)),
    ('bz2', lambda data: bz2.compress(data, 9)),
    ('lzma', lzma.compress),
    ('xz', lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
    ('zstd', lambda data: zstandard.compress(data, level=22)),
  ],
)
@pytest.mark.parametrize('bits', [8, 16, 24])
def test_libraries_are_charged_with_what_a_call_by_hand_gives(wav, name, by_hand, bits):
  (compressor,) = found(name)
  wav.write_bytes(wav_builder.build_wav(music(bits), bits=bits))
  outcome = compressor.whole(wav)
  assert outcome.compressed_bytes == len(by_hand(wav.read_bytes()))
  assert outcome.header_bytes == 0
  pcm = music_pcm(bits)
  outcome = compressor.chunked(pcm)
  assert outcome.compressed_bytes == sum(len(by_hand(chunk)) for chunk in pcm.chunks)
  assert outcome.header_bytes == len(by_hand(bytes(bits // 8)))
  assert outcome.encode_seconds > 0 and outcome.decode_seconds > 0


def test_programs_are_charged_with_the_whole_file_that_they_write(wav):
  whole = custom(COPY).whole(wav)
  assert (whole.compressed_bytes, whole.header_bytes) == (wav.stat().st_size, 0)
  chunked = custom(COPY).chunked(Pcm(chunks=[b'abc', b'defgh', b'i'], sample_bytes=1, sample_rate_hz=8000))
  assert (chunked.compressed_bytes, chunked.header_bytes) == (3 * 44 + 9, 44 + 1)  # As a WAV header has 44.
  assert chunked.encode_seconds > 0 and chunked.decode_seconds > 0


@pytest.mark.skipif(not shutil.which('flac'), reason='there is no flac program here')
def test_flac_is_charged_with_what_the_command_line_gives(wav, tmp_path):
  wav.write_bytes(wav_builder.build_wav(music(16, num_channels=2), channels=2))
  packed = tmp_path / 'by_hand.flac'
  subprocess.run(['flac', '-8', '-s', '--no-padding', '--no-seektable', '-o', packed, '--', wav], check=True)
  assert found('flac')[0].whole(wav).compressed_bytes == packed.stat().st_size


@pytest.mark.parametrize('bits', [8, 16, 24])
def test_what_runs_here_loses_nothing_and_programs_for_sound_beat_those_for_text(wav, bits):
  wav.write_bytes(wav_builder.build_wav(music(bits, 20_000), bits=bits, after=[(b'LIST', b'INFO')]))
  sizes = {each.info.name: each.whole(wav).compressed_bytes for each in found(*LOSSLESS_HERE)}
  # Padding and tags, and 8 bits that are coded as 16, are what these are charged with.
  rivals = set(sizes) - {*LIBRARY_NAMES, 'ffmpeg-flac', 'alac'}
  assert rivals
  for name in rivals:
    assert sizes[name] < sizes['gzip -9'], name


@pytest.mark.parametrize('bits', [8, 24])
def test_what_runs_here_loses_nothing_of_chunks(bits):
  data = music(bits, 500)
  pcm = Pcm(chunks=[data, data[: 17 * bits // 8]], sample_bytes=bits // 8, sample_rate_hz=8000)
  for each in found(*LOSSLESS_HERE):
    outcome = each.chunked(pcm)
    assert outcome.compressed_bytes > len(pcm.chunks) * outcome.header_bytes, each.info.name
    assert outcome.header_bytes > 0 or each.info.name == 'tta'  # ffmpeg's dies of one sample.


@pytest.mark.parametrize(
  'layout',
  [
    {'channels': 2, 'extensible': True},
    {'channels': 1, 'extensible': True, 'form': b'RF64'},
    {'channels': 1, 'rate_hz': 96_000},
  ],
)
def test_libsndfile_stands_in_for_flac(wav, monkeypatch, layout):
  monkeypatch.setattr(shutil, 'which', lambda _: None)
  (flac,) = found('flac')
  for bits in (8, 16, 24):
    data = music(bits, 6000, num_channels=layout['channels'])
    wav.write_bytes(wav_builder.build_wav(data, bits=bits, **layout))
    assert flac.whole(wav).compressed_bytes < 0.95 * len(data) or bits == 24
    assert flac.chunked(music_pcm(bits)).header_bytes > 42  # The stream's own description.


@pytest.mark.parametrize(
  ('form', 'message'),
  [
    ({'bits': 32}, 'libsndfile writes FLAC of 8, 16 and 24 bits only'),
    ({'bits': 32, 'tag': wav_builder.IEEE_FLOAT}, 'libsndfile writes FLAC of 8, 16 and 24 bits only'),
    ({'bits': 16, 'rate_hz': 0}, 'libsndfile failed: '),
    ({'bits': 16, 'rate_hz': 2**32 - 1}, 'libsndfile failed: '),
  ],
)
def test_what_libsndfile_cannot_take_is_an_error(wav, monkeypatch, form, message):
  monkeypatch.setattr(shutil, 'which', lambda _: None)
  wav.write_bytes(wav_builder.build_wav(bytes(64), **form))
  with pytest.raises(BaselineError) as caught:
    found('flac')[0].whole(wav)
  assert str(caught.value).startswith("libsndfile's FLAC (no flac program here): " + message)


# What the reference's FLAC gets.


class Recorder:
  """A coder that keeps what it was given."""

  suffix = ''
  decodes = False

  def __init__(self):
    self.given: list[tuple[bytes, PcmInfo]] = []

  def encode(self, wav: PcmInfo, packed: Path) -> float:
    offset, num_bytes = span_of(wav)
    self.given.append((wav.path.read_bytes()[offset : offset + num_bytes], wav))
    packed.write_bytes(b'x')
    return 1.0

  def decode(self, packed: Path, wav: Path, *, like: PcmInfo) -> float:
    raise AssertionError


@pytest.mark.parametrize(
  ('as_reference', 'sample_bytes', 'expected', 'zero', 'rate_hz'),
  [
    (False, 1, b'\x00\x7f\x80\xff', b'\0', 44_100),
    (True, 1, b'\x80\xff\x00\x7f', b'\x80', 16_000),
    (False, 2, b'\x00\x7f\x80\xff', b'\0\0', 44_100),
    (True, 2, b'\x00\x7f\x80\xff', b'\0\0', 16_000),
  ],
)
def test_chunks_as_files(as_reference, sample_bytes, expected, zero, rate_hz):
  coder = Recorder()
  info = CompressorInfo(name='x', is_model=False, version='', settings='', parameters_bytes=0)
  compressor = FileCompressor(info=info, coder=coder, as_reference=as_reference)
  pcm = Pcm(chunks=[b'\x00\x7f\x80\xff'] * 2, sample_bytes=sample_bytes, sample_rate_hz=44_100)
  outcome = compressor.chunked(pcm)
  assert sorted(data for data, _ in coder.given) == sorted([zero, expected, expected])
  assert {(wav.sample_rate_hz, wav.num_channels, wav.sample_bytes) for _, wav in coder.given} == {
    (rate_hz, 1, sample_bytes)
  }
  assert (outcome.compressed_bytes, outcome.header_bytes) == (2, 1)
  assert (outcome.encode_seconds, outcome.decode_seconds) == (2, 0)


@pytest.mark.skipif(not shutil.which('ffmpeg'), reason='there is no ffmpeg program here')
def test_the_reference_command_is_given_and_what_it_writes_counted(tmp_path):
  (compressor,) = found('ffmpeg-flac')
  flipped = bytes(byte ^ 0x80 for byte in music(8, 500))
  source, packed = tmp_path / 'a.wav', tmp_path / 'a.flac'
  source.write_bytes(wav_builder.build_wav(flipped, bits=8, rate_hz=16_000))
  # As pydub writes it.
  command = ['ffmpeg', '-y', '-f', 'wav', '-i', source, '-compression_level', '12', '-f', 'flac', packed]
  subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
  outcome = compressor.chunked(Pcm(chunks=[music(8, 500)], sample_bytes=1, sample_rate_hz=44_100))
  assert outcome.compressed_bytes == packed.stat().st_size


# What does not come back.


def decoding_to(folder: Path, data: bytes, script) -> Compressor:
  """One that decodes whatever it is given to these bytes."""
  (folder / 'prepared').write_bytes(data)
  return custom(f'mine=cp {{in}} {{out}} :: {script("decode", f"cp {folder}/prepared $2")} {{in}} {{out}}')


WIDENED = wav_builder.pcm_bytes(wav_builder.random_samples(50, 1, 16) << 8, 24)


@pytest.mark.parametrize(
  'form',
  [
    {},
    {'extensible': True, 'before': [(b'LIST', b'INFO')], 'after': [(b'id3 ', b'odd')]},
    {'form': b'RF64'},
    {'payload': WIDENED, 'bits': 24},
  ],
)
def test_other_headers_around_the_same_samples_are_the_same_sound(wav, tmp_path, script, form):
  decoded = wav_builder.build_wav(**{'payload': SAMPLES_16, **form})
  assert decoding_to(tmp_path, decoded, script).whole(wav).compressed_bytes == wav.stat().st_size


@pytest.mark.parametrize(
  'form',
  [
    {'payload': SAMPLES_16[:-1] + bytes([SAMPLES_16[-1] ^ 1])},
    {'payload': SAMPLES_16[:-2]},
    {'payload': SAMPLES_16 + bytes(2)},
    {'payload': b''},
    {'payload': SAMPLES_16, 'channels': 2},
    {'payload': SAMPLES_16[1::2], 'bits': 8},
    {'payload': WIDENED[:-3] + bytes([1]) + WIDENED[-2:], 'bits': 24},
    {'payload': bytes(200), 'bits': 32, 'tag': wav_builder.IEEE_FLOAT},
  ],
)
def test_other_samples_are_an_error(wav, tmp_path, script, form):
  with pytest.raises(BaselineError) as caught:
    decoding_to(tmp_path, wav_builder.build_wav(**form), script).whole(wav)
  reason = 'does not round-trip: the samples that it decodes are not those that it was given'
  assert str(caught.value) == f'mine: {reason}'


@pytest.mark.parametrize('value', [1 + 2**-23, np.nan, -0.0])
def test_floats_have_to_come_back_as_the_same_bytes(wav, tmp_path, script, value):
  def built(values: list[float]) -> bytes:
    return wav_builder.build_wav(np.array(values, '<f4').tobytes(), bits=32, tag=wav_builder.IEEE_FLOAT)

  wav.write_bytes(built([0.5, value, 2]))
  decoding_to(tmp_path, wav.read_bytes(), script).whole(wav)
  # As 24-bit integers each of these is the same as the value.
  for other in (1.0,) if value > 1 else (0.0,):
    with pytest.raises(BaselineError, match='does not round-trip'):
      decoding_to(tmp_path, built([0.5, other, 2]), script).whole(wav)


@pytest.mark.parametrize(
  ('data', 'message'),
  [(b'', 'not a file of samples'), (wav_builder.build_wav(b'', bits=40), 'expected int samples')],
)
def test_what_is_decoded_to_no_sound_is_an_error(wav, tmp_path, script, data, message):
  with pytest.raises(BaselineError, match=message) as caught:
    decoding_to(tmp_path, data, script).whole(wav)
  assert str(caught.value).startswith('mine: ') and '\n' not in str(caught.value)


def test_a_library_that_loses_a_bit_is_an_error(wav, monkeypatch):
  monkeypatch.setattr(zstandard.ZstdDecompressor, 'decompress', lambda self, data: b'')
  (compressor,) = found('zstd')
  reason = 'does not round-trip: its output differs from its input'
  with pytest.raises(BaselineError, match=f'^{compressor.info.name}: {reason}$'):
    compressor.whole(wav)
  with pytest.raises(BaselineError, match=f'^{compressor.info.name}: chunk 0: {reason}$'):
    compressor.chunked(music_pcm(8))


def test_one_that_nothing_decodes_says_so_in_its_name(wav):
  compressor = custom('mine=cp {in} {out}')
  assert compressor.info.name == 'mine (not decoded)'
  outcome = compressor.whole(wav)
  assert (outcome.compressed_bytes, outcome.decode_seconds) == (wav.stat().st_size, 0)


# What fails.


@pytest.mark.parametrize(
  ('body', 'message'),
  [
    ('echo "no space" >&2; exit 7', '{path} failed with exit code 7: no space'),
    ('exit 0', 'it reported success, but wrote no output'),
  ],
)
def test_a_program_that_fails_on_a_file_or_a_chunk(wav, script, body, message):
  path = script('fails', body)
  compressor = custom(f'mine={path} {{in}} {{out}}')
  with pytest.raises(BaselineError) as caught:
    compressor.whole(wav)
  expected = message.format(path=path)
  assert str(caught.value) == f'mine (not decoded): {expected}'
  with pytest.raises(BaselineError) as caught:
    compressor.chunked(music_pcm(8))
  assert str(caught.value) == f'mine (not decoded): chunk 0: {expected}'


def test_the_chunk_that_fails_is_named_and_one_sample_may(script):
  fails_on_little = script('packs', 'test "$(wc -c < "$1")" -ge 60 && cp "$1" "$2"')
  compressor = custom(f'mine={fails_on_little} {{in}} {{out}}')
  sound, short = bytes(100), bytes(4)
  outcome = compressor.chunked(Pcm(chunks=[sound], sample_bytes=1, sample_rate_hz=8000))
  assert (outcome.compressed_bytes, outcome.header_bytes) == (144, 0)
  with pytest.raises(BaselineError, match=r'^mine \(not decoded\): chunk 1: .* failed with exit code 1$'):
    compressor.chunked(Pcm(chunks=[sound, short], sample_bytes=1, sample_rate_hz=8000))


def test_the_time_limit_holds_for_every_run(wav):
  (compressor,) = find_compressors((), ['slow=sh -c "sleep 100" {in} {out}'], time_limit_seconds=0.2)
  assert not isinstance(compressor, Missing)
  with pytest.raises(BaselineError, match=r'^slow \(not decoded\): sh was stopped: it took more .* limit of 0\.2 s$'):
    compressor.whole(wav)


def test_files_and_rates_that_cannot_be_used(tmp_path):
  for compressor in (*found('gzip'), custom(COPY)):
    with pytest.raises(BaselineError, match=f'^{compressor.info.name}: .*(No such file|cannot be read)'):
      compressor.whole(tmp_path / 'none.wav')
  for rate_hz in (0, 2**32 - 1):
    with pytest.raises(BaselineError, match=r'^copy: one sample: '):
      custom(COPY).chunked(Pcm(chunks=[b'abcd'], sample_bytes=2, sample_rate_hz=rate_hz))


def test_memory_that_runs_out_is_an_error(wav, monkeypatch):
  def exhausted(*_, **__):
    raise MemoryError

  monkeypatch.setattr(zstandard, 'ZstdCompressor', exhausted)
  (compressor,) = found('zstd')
  with pytest.raises(BaselineError, match=f'^{compressor.info.name}: out of memory$'):
    compressor.whole(wav)


def test_a_program_cannot_harm_the_file_that_is_measured(wav, script):
  before = wav.read_bytes()
  harms = script('harms', 'tail -c 44 "$1" > "$2"; echo > "$1"; rm "$1"')
  assert custom(f'mine={harms} {{in}} {{out}}').whole(wav).compressed_bytes == 44
  assert wav.read_bytes() == before


def test_nothing_is_left_behind(wav, tmp_path, script, monkeypatch):
  temporary = tmp_path / 'temporary'
  temporary.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
  before = wav.read_bytes()
  custom(COPY).whole(wav)
  custom(COPY).chunked(music_pcm(16))
  with pytest.raises(BaselineError):
    custom(f'mine={script("fails", "touch $2; exit 1")} {{in}} {{out}}').whole(wav)

  def interrupted(*_, **__):
    assert list(temporary.iterdir())
    raise KeyboardInterrupt

  monkeypatch.setattr(subprocess.Popen, 'communicate', interrupted)
  for run in (lambda: custom(COPY).whole(wav), lambda: custom(COPY).chunked(music_pcm(16))):
    with pytest.raises(KeyboardInterrupt):
      run()
  assert not list(temporary.iterdir())
  assert wav.read_bytes() == before
