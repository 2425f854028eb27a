"""What golden files of format version 5 are made of: small sounds of every kind, and ways to break a file.

Coders are named as their files are: preset_0 to preset_3 (coding 5), effort_0 to effort_4 (coding 6, with version 4's
network), bytes (coding 1, with a model of version 1), none (no model).
"""

import functools
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.containers.writing import file_header
from language_modeling_is_compression.audio.info import ContainerKind, Region
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind, raw_from_integers
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL
from language_modeling_is_compression.codec.levels import LEVELS as ALL_LEVELS
from language_modeling_is_compression.codec.plan import Located
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.surroundings import NO_CONTAINER, UNPACKED
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.numbers.companding import linear_values
from support import golden_cases, hybrid_golden, linear_golden, lmic_frames
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

LEVELS = (
  linear_golden.LEVELS
  | hybrid_golden.LEVELS
  | {f'effort_{effort}': SegmentSettings(frames=1 << 19, effort=effort) for effort in (3, 4)}
)
_FEW = ('preset_1', 'preset_3', 'effort_1')  # Of what the kind of samples alone tells from others.
_NONE = ('none',)
# By original: the coders of its files.
WRITTEN: Mapping[str, tuple[str, ...]] = {
  **dict.fromkeys(('wav_stereo_16', 'wav_mono_24', 'wav_ten_channels_16', 'wav_repeats_8'), tuple(LEVELS)),
  **dict.fromkeys(('wav_primed_head_16', 'aiff_8', 'aiff_24', 'caf_32', 'w64_24', 'sphere_16', 'rifx_16'), _FEW),
  **dict.fromkeys(('au_a_law', 'wav_mu_law', 'gaps_16', 'unpacked_flac'), _FEW),
  **dict.fromkeys(('float_32_exact', 'float_32_scale', 'float_32_factor', 'float_32_list'), _FEW),
  **dict.fromkeys(('float_32_two_factors', 'float_64_factor', 'caf_float_64_scale'), _FEW),
  **dict.fromkeys(('float_16_scale', 'float_16_factor'), _FEW),
  'drawn_8': ('bytes',),
  'aiff_drawn_24': ('bytes',),
  **dict.fromkeys(('text', 'empty'), _NONE),
  'short_float_32': _NONE,
}
LONG = 'long'  # An original that is not stored.
BROKEN_WRITTEN = ('preset_1', 'effort_1')
LONG_WRITTEN = ('preset_1', 'effort_1')
_GAPS = (Region(5, 100), Region(5 + 400 + 3, 1), Region(5 + 400 + 3 + 4 + 8, 299))
_STEREO = PcmFormat(kind=SampleKind.SIGNED, sample_bytes=2, num_channels=2, sample_rate_hz=8000)
_UNPACKED_HEAD = b'lmic unpacked FLAC 1 {"program":"none"}\nfLaC'


@functools.cache
def coder(name: str, folder: Path) -> ChunkCoder:
  """folder: that of the golden files of all versions."""
  if name == 'none':
    return ChunkCoder(None)
  if name == 'bytes':
    return golden_cases.coder(folder / 'v1' / 'model-8.npz')
  return golden_cases.coder(folder / 'v4' / 'model.npz') if name.startswith('effort_') else ChunkCoder(LinearCoder())


def located(name: str, original: bytes) -> Located | None:
  """Where the samples stand of originals that do not say it."""
  if name == 'gaps_16':
    return Located(NO_CONTAINER, _STEREO, _GAPS)
  if name == 'unpacked_flac':
    return Located(UNPACKED, _STEREO, [Region(len(_UNPACKED_HEAD), (len(original) - len(_UNPACKED_HEAD)) // 4)])
  return None


def compressed(name: str, original: bytes, coder_name: str, folder: Path) -> bytes:
  target, level = io.BytesIO(), LEVELS.get(coder_name, ALL_LEVELS[DEFAULT_LEVEL].segments)
  by, where = coder(coder_name, folder), located(name, original)
  file_codec.compress(io.BytesIO(original), target, by, segments=level, located=where)
  return target.getvalue()


def long_original() -> bytes:
  """A WAV of so many bytes that its file has a table: silence, then 200 frames of a sound that needs no drawing."""
  tone = [(index * index * 7 % 601 + index * 13 % 97 - 349) * 20 for index in range(200)]
  return build_wav(bytes(1 << 18) + b''.join(value.to_bytes(2, 'little', signed=True) for value in tone))


def originals(folder: Path) -> dict[str, bytes]:
  """By name. folder: as `coder` has it."""
  rng = np.random.default_rng(17)
  waves = _waves(rng, 400, 2)
  fine = waves * 256 + rng.integers(0, 256, waves.shape)
  finest = fine * 256 + rng.integers(0, 256, waves.shape)
  many = np.concatenate([waves[:150] // (index + 1) for index in range(5)], axis=1)
  repeated = sum(np.resize(rng.normal(0, 16, period), 5300) for period in (1000, 1300)) + rng.normal(0, 4, 5300)
  repeated = np.round(repeated)[:, None].clip(-128, 127).astype(np.int64)
  text = [(b'bext', b'golden'.ljust(602, b'\0')), (b'LIST', b'INFOISFT\x0e\0\0\0Lavf58.76.100\0')]
  samples = pcm_bytes(waves, 16)
  gaps = b'five!' + samples[:400] + b'gap' + samples[400:404] + b'too long' + samples[404:] + b'tail'
  drawn = (folder / 'v1' / 'drawn_24.original').read_bytes()
  return {
    **_halves(),
    'wav_stereo_16': build_wav(samples, channels=2),
    'wav_mono_24': build_wav(pcm_bytes(fine[:399, :1], 24), bits=24, extensible=True),
    'wav_ten_channels_16': build_wav(pcm_bytes(many, 16), channels=10, extensible=True),
    'wav_repeats_8': build_wav(pcm_bytes(repeated, 8), bits=8, trailer=b'end'),
    'wav_primed_head_16': build_wav(samples, channels=2, before=text),
    'aiff_8': _file(ContainerKind.AIFF, waves[:399, :1] >> 8, 1, is_big_endian=True),
    'aiff_24': _file(ContainerKind.AIFF, fine, 3, is_big_endian=True),
    'caf_32': _file(ContainerKind.CAF, finest[:, :1], 4),
    'w64_24': _file(ContainerKind.W64, fine[:, :1], 3),
    'sphere_16': _file(ContainerKind.SPHERE, waves[:, :1], 2, is_big_endian=True),
    'rifx_16': _file(ContainerKind.RIFX, waves, 2, is_big_endian=True),
    'au_a_law': _companded(ContainerKind.AU, SampleKind.A_LAW, waves),
    'wav_mu_law': _companded(ContainerKind.WAV, SampleKind.MU_LAW, waves),
    'gaps_16': gaps,
    'unpacked_flac': _UNPACKED_HEAD + samples,
    **_floats(rng),
    'drawn_8': (folder / 'v1' / 'drawn_8.original').read_bytes(),
    'aiff_drawn_24': _swapped(drawn),
    'text': b'This is not audio. ' * 20,
    'empty': b'',
    'short_float_32': build_wav((waves[:20] / 32768).astype('<f4').tobytes(), channels=2, bits=32, tag=IEEE_FLOAT),
  }


def broken(sound: bytes) -> dict[str, bytes]:
  """Of a file whose first chunk is a segment."""
  begin = lmic_frames.starts(sound)[0]

  def flipped(position: int, bit: int = 0) -> bytes:
    return sound[:position] + bytes([sound[position] ^ 1 << bit]) + sound[position + 1 :]

  return {
    'flipped_bit_in_a_body': flipped(begin + 100),
    'flipped_bit_in_a_body_its_check_put_right': lmic_frames.sealed(flipped(begin + 100)),
    'flipped_bit_in_the_values_its_check_put_right': lmic_frames.sealed(flipped(begin + 14)),
    'unknown_effort': lmic_frames.sealed(flipped(9, 3)),
    'unknown_coding': lmic_frames.sealed(flipped(8, 5)),
    'unknown_kind': lmic_frames.sealed(flipped(10, 2)),
    'cut_in_the_segment': sound[: begin + 100],
  }


def _waves(rng: np.random.Generator, num_frames: int, channels: int) -> np.ndarray:
  """A tone in noise that dies away: int64 [N, C], of 16 bits."""
  t = np.arange(num_frames)[:, None]
  sines = 9000 * np.sin(0.07 * t + 0.4 * np.arange(channels)) * np.exp(-t / num_frames)
  return np.round(sines + rng.normal(0, 30, (num_frames, channels))).astype(np.int64)


def _pcm(kind: SampleKind, sample_bytes: int, channels: int, *, is_big_endian: bool = False) -> PcmFormat:
  return PcmFormat(
    kind=kind,
    sample_bytes=sample_bytes,
    num_channels=channels,
    sample_rate_hz=8000,
    is_big_endian=is_big_endian,
  )


def _file(container: ContainerKind, waves: np.ndarray, sample_bytes: int, *, is_big_endian: bool = False) -> bytes:
  pcm = _pcm(SampleKind.SIGNED, sample_bytes, waves.shape[1], is_big_endian=is_big_endian)
  header, tail = file_header(container, pcm, len(waves))
  return header + raw_from_integers(waves.astype(np.int32), pcm).tobytes() + tail


def _companded(container: ContainerKind, kind: SampleKind, waves: np.ndarray) -> bytes:
  nearest = np.abs(linear_values(kind)[None, None] - waves[:, :, None] // 4).argmin(axis=2)
  header, tail = file_header(container, _pcm(kind, 1, waves.shape[1]), len(waves))
  return header + nearest.astype(np.uint8).tobytes() + tail


def _float_file(container: ContainerKind, values: np.ndarray, *, is_big_endian: bool = False) -> bytes:
  """values: floats of any width [N, C]."""
  pcm = _pcm(SampleKind.FLOAT, values.itemsize, values.shape[1], is_big_endian=is_big_endian)
  header, tail = file_header(container, pcm, len(values))
  return header + values.astype(pcm.stored_type('f')).tobytes() + tail


def _floats(rng: np.random.Generator) -> dict[str, bytes]:
  """Of every way of numbers/floats.py; the exact ones have a channel of one value."""
  waves = _waves(rng, 900, 1).astype(np.float64)
  exact = np.concatenate([waves / 32768, np.full_like(waves, 0.25)], axis=1)
  reverberant = np.convolve(waves[:, 0], 0.7 ** np.arange(30), 'same')[:, None] / 32768
  odd = reverberant.astype(np.float32)
  odd[77], odd[78] = np.nan, -0.0
  levels = np.sort(rng.normal(0, 0.3, 24))
  places = np.clip(np.round(12 + 10 * np.sin(0.05 * np.arange(900)) + rng.normal(0, 0.7, 900)), 0, 23).astype(np.int64)
  # Of a quiet converter, and then of a louder one.
  recorded = _waves(rng, 4600, 1).astype(np.float32)
  gains = np.where(np.arange(4600) < 2300, np.float32(2.0**-21 / 15.70796), np.float32(2.0**-21))[:, None]
  divided = waves.astype(np.float32) / np.float32(32767)
  return {
    'float_32_exact': _float_file(ContainerKind.WAV, exact.astype(np.float32)),
    'float_32_scale': _float_file(ContainerKind.WAV, odd),
    'float_32_factor': _float_file(ContainerKind.AIFF, divided, is_big_endian=True),
    'float_32_list': _float_file(ContainerKind.WAV, levels[places][:, None].astype(np.float32)),
    'float_32_two_factors': _float_file(ContainerKind.WAV, recorded * gains),
    'float_64_factor': _float_file(ContainerKind.WAV, waves / 8388607 * 0.6531),
    'caf_float_64_scale': _float_file(ContainerKind.CAF, reverberant[:400], is_big_endian=True),
  }


def _halves() -> dict[str, bytes]:
  """Floats of 16 bits, one of them of finer sound with values that are none, one of integers that were divided."""
  waves = _waves(np.random.default_rng(18), 900, 2).astype(np.float64)
  reverberant = np.convolve(waves[:, 1], 0.7 ** np.arange(30), 'same') / 65536
  odd = np.stack([waves[:, 0] / 32768, reverberant], axis=1).astype(np.float16)
  odd[5:9, 0] = [np.nan, -np.inf, 65504, -0.0]
  return {
    'float_16_scale': _float_file(ContainerKind.WAV, odd),
    'float_16_factor': _float_file(ContainerKind.CAF, (waves[:, :1] / 32767).astype(np.float16), is_big_endian=True),
  }


def _swapped(wav: bytes) -> bytes:
  """The mono samples of a WAV of 24 bits in an AIFF."""
  start = wav.index(b'data') + 8
  size = int.from_bytes(wav[start - 4 : start], 'little')
  channels = int.from_bytes(wav[22:24], 'little')
  samples = np.frombuffer(wav[start : start + size], np.uint8).reshape(-1, channels, 3)
  pcm = _pcm(SampleKind.SIGNED, 3, channels, is_big_endian=True)
  header, tail = file_header(ContainerKind.AIFF, pcm, len(samples))
  return header + samples[..., ::-1].tobytes() + tail
