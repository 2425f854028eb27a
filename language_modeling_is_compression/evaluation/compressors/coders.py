"""From a WAV file to a compressed file and back, by a program or by libsndfile, and whether it is the same sound."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.audio.frames import read_pcm_frames, read_raw_frames
from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.errors import BaselineError
from language_modeling_is_compression.evaluation.compressors.programs import Program, run_program

_BLOCK_VALUES = 1 << 20
_PCM_NAMES = {
  ('int', 1): 'pcm_u8',
  ('int', 2): 'pcm_s16le',
  ('int', 3): 'pcm_s24le',
  ('int', 4): 'pcm_s32le',
  ('float', 4): 'pcm_f32le',
  ('float', 8): 'pcm_f64le',
}


class Coder(Protocol):
  """Both methods return the seconds that coding alone took, and raise BaselineError.

  suffix: the extension that a compressed file needs, or ''. decodes: whether `decode` may be called.
  """

  @property
  def suffix(self) -> str: ...

  @property
  def decodes(self) -> bool: ...

  def encode(self, wav: PcmInfo, packed: Path) -> float: ...

  def decode(self, packed: Path, wav: Path, *, like: PcmInfo) -> float:
    """Writes a WAV file; like: the one that went in."""
    ...


@dataclass(frozen=True, kw_only=True)
class ProgramCoder:
  """time_limit_seconds: for each run of the program."""

  program: Program
  time_limit_seconds: float

  @property
  def suffix(self) -> str:
    return self.program.suffix

  @property
  def decodes(self) -> bool:
    return self.program.decode is not None

  def encode(self, wav: PcmInfo, packed: Path) -> float:
    return self._run(self.program.encode, wav.path, packed, like=wav)

  def decode(self, packed: Path, wav: Path, *, like: PcmInfo) -> float:
    assert self.program.decode is not None
    return self._run(self.program.decode, packed, wav, like=like)

  def _run(self, template: str, source: Path, target: Path, *, like: PcmInfo) -> float:
    places = {'{in}': str(source), '{out}': str(target), '{pcm}': _PCM_NAMES[like.encoding, like.sample_bytes]}
    return run_program(template, places, time_limit_seconds=self.time_limit_seconds)


class LibsndfileFlac:
  """FLAC at its highest level where there is no flac program; libsndfile cannot be asked to leave the padding out."""

  name = "libsndfile's FLAC (no flac program here)"
  version = f'libsndfile {soundfile.__libsndfile_version__}'
  settings = 'compression_level=1.0'
  suffix = '.flac'
  decodes = True

  def encode(self, wav: PcmInfo, packed: Path) -> float:
    if wav.encoding != 'int' or wav.sample_bytes > 3:
      raise BaselineError('libsndfile writes FLAC of 8, 16 and 24 bits only')
    # 8-bit samples are signed in FLAC; soundfile's integers fill 32 bits.
    subtype = 'PCM_S8' if wav.sample_bytes == 1 else f'PCM_{wav.resolution_bits}'
    frames = read_pcm_frames(wav, 0, wav.num_frames) << (32 - wav.resolution_bits)
    started = time.perf_counter()
    try:
      soundfile.write(packed, frames, wav.sample_rate_hz, format='FLAC', subtype=subtype, compression_level=1.0)
    except (soundfile.SoundFileError, OverflowError) as error:
      raise BaselineError(f'libsndfile failed: {error}') from error
    return time.perf_counter() - started

  def decode(self, packed: Path, wav: Path, *, like: PcmInfo) -> float:
    started = time.perf_counter()
    try:
      frames, rate_hz = soundfile.read(packed, dtype='int32', always_2d=True)
    except soundfile.SoundFileError as error:
      raise BaselineError(f'libsndfile failed: {error}') from error
    seconds = time.perf_counter() - started
    num_frames, num_channels = frames.shape
    header = wav_header(
      encoding='int', sample_bytes=4, num_channels=num_channels, sample_rate_hz=rate_hz, num_frames=num_frames
    )
    wav.write_bytes(header + frames.astype('<i4').tobytes())
    return seconds


def same_sound(wav: PcmInfo, other: Path) -> bool:
  """Whether another WAV file has the same samples in as many channels; headers and tags may differ.

  Integers of other widths are the same if they are the same fractions of full scale, since some programs only know
  wider ones; floats have to be the same bytes. Raises AudioFormatError if one cannot be read.
  """
  info = read_pcm_info(other)
  if (info.num_channels, info.num_frames, info.encoding) != (wav.num_channels, wav.num_frames, wav.encoding):
    return False
  block = max(1, _BLOCK_VALUES // wav.num_channels)
  starts = range(0, wav.num_frames, block)
  return all(np.array_equal(_block(wav, start, block), _block(info, start, block)) for start in starts)


def _block(wav: PcmInfo, start: int, count: int) -> np.ndarray:
  """Frames from start on, at most count: integers in the top bits of 32, floats as their bytes."""
  stop = min(start + count, wav.num_frames)
  if wav.encoding == 'float':
    return read_raw_frames(wav, start, stop)
  return read_pcm_frames(wav, start, stop) << (32 - wav.resolution_bits)
