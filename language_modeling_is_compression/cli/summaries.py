"""Summary lines of files that were compressed or restored, and of all of them."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from language_modeling_is_compression.audio.kinds import FLAC, audio_kind_of
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.format.header import Header


@dataclass(frozen=True, kw_only=True)
class Result:
  """A file that is done.

  original_bytes: of the file itself, which the header of a FLAC file that was decoded does not say. fallback_chunks: of
  those that hold sound, coded without the model. seconds: of work. checked: in words. note: what else a user should
  know, or ''.
  """

  header: Header
  original_bytes: int
  compressed_bytes: int
  seconds: float
  checked: str
  fallback_chunks: int = 0
  note: str = ''

  def line(self) -> str:
    header = self.header
    figures = _sizes(self.original_bytes, self.compressed_bytes, _num_samples(header))
    if header.num_frames and header.pcm.sample_rate_hz:
      figures.append(f'{header.num_frames / header.pcm.sample_rate_hz / max(self.seconds, 1e-9):.2f} x real time')
    if self.fallback_chunks:
      figures.append(
        f'{self.fallback_chunks:,} of {header.num_audio_chunks:,} chunks fell back (smaller without the model)'
      )
    return ', '.join([*figures, self.checked, *([self.note] if self.note else [])])


@dataclass(kw_only=True)
class Totals:
  """Sums over the files of one command, by several threads."""

  num_files: int = 0
  original_bytes: int = 0
  compressed_bytes: int = 0
  num_samples: int = 0
  num_not_sound: int = 0
  _lock: threading.Lock = field(default_factory=threading.Lock)

  def add(self, result: Result) -> None:
    with self._lock:
      self.num_files += 1
      self.original_bytes += result.original_bytes
      self.compressed_bytes += result.compressed_bytes
      self.num_samples += _num_samples(result.header)
      self.num_not_sound += bool(result.note)

  def line(self, num_sources: int) -> str:
    """num_sources: of files in all; the others failed."""
    # Bits per sample say nothing of files that hold something else.
    samples = 0 if self.num_not_sound else self.num_samples
    figures = _sizes(self.original_bytes, self.compressed_bytes, samples)
    figures += [f'{self.num_not_sound:,} not coded as sound'] if self.num_not_sound else []
    figures += [f'{num_sources - self.num_files:,} failed'] if num_sources > self.num_files else []
    return f'{self.num_files:,} file{"" if self.num_files == 1 else "s"}: {", ".join(figures)}'


def why_not_sound(path: Path, header: Header) -> str:
  """Reason why a file's samples, if any, went through a general-purpose compressor; '' if the model coded them."""
  if header.pcm.num_channels:
    return ''
  kind = audio_kind_of(path)
  if kind is None:
    return 'not coded as sound: it holds none that is known'
  if kind.is_compressed:
    hint = '; --decode codes the sound that it holds' if kind.name == FLAC else ''
    return f'not coded as sound: {kind.name}, which is compressed already{hint}'
  try:
    read_pcm_info(path)
  except AudioFormatError as error:
    return f'not coded as sound: {str(error).removeprefix(f"{path}: ")}'
  return 'not coded as sound: too many channels for its length'


def _num_samples(header: Header) -> int:
  return header.num_frames * header.pcm.num_channels


def _sizes(original_bytes: int, compressed_bytes: int, num_samples: int) -> list[str]:
  figures = [f'{original_bytes:,} bytes, {compressed_bytes:,} compressed']
  if original_bytes:
    figures.append(f'{compressed_bytes / original_bytes:.1%}')
  if num_samples:
    figures.append(f'{8 * compressed_bytes / num_samples:.3f} bits per sample')
  return figures
