"""Classical compressors under both protocols: each gets the same samples, and its output is decoded and compared."""

import contextlib
import difflib
import lzma
import shutil
import struct
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import zstandard

from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.errors import BaselineError, ConfigError, LmicError
from language_modeling_is_compression.evaluation.compressors.coders import (
  Coder,
  LibsndfileFlac,
  ProgramCoder,
  same_sound,
)
from language_modeling_is_compression.evaluation.compressors.libraries import LIBRARIES, Library
from language_modeling_is_compression.evaluation.compressors.programs import (
  PROGRAMS,
  Program,
  parse_custom,
  program_version,
)
from language_modeling_is_compression.evaluation.statistics.measurements import CompressorInfo, Fallback, Span
from language_modeling_is_compression.system.files import scratch_folder

ALL = 'all'
# Sample rate that the code of "Language Modeling is Compression" gives pydub, whatever the data's rate is.
_REFERENCE_RATE_HZ = 16_000
_TOP_BIT_FLIPPED = bytes(byte ^ 0x80 for byte in range(256))
# Files that cannot be read or written, rates that no header holds, and libraries at their limits.
_FAILURES = (OSError, struct.error, wave.Error, lzma.LZMAError, zstandard.ZstdError)


@dataclass(frozen=True, kw_only=True)
class Pcm:
  """Input of the chunked protocol: consecutive pieces of one channel.

  chunks: bytes as they stand in a WAV file, of 8 bits unsigned, of more signed and little-endian.
  """

  chunks: list[bytes]
  sample_bytes: int
  sample_rate_hz: int


@dataclass(frozen=True, kw_only=True)
class CompressionResult:
  """Result of compressing one file, or all its chunks.

  compressed_bytes: every byte that came out. Seconds are those of the compressor alone; decode_seconds is 0 if nothing
  decodes it. header_bytes: size of the output for one sample of zeros, which the code of "Language Modeling is
  Compression" takes off all chunks but one (`count_header_only_once`); 0 for a whole file, and where it cannot compress
  so little.
  code_length_bits, by_position, fallback: see Measurement.
  """

  compressed_bytes: int
  encode_seconds: float
  decode_seconds: float
  header_bytes: int = 0
  code_length_bits: float | None = None
  by_position: tuple[Span, ...] = ()
  fallback: Fallback | None = None


class Compressor(Protocol):
  """Both methods raise BaselineError, one line that begins with the compressor's name.

  It fails, exceeds its time limit (for each file or chunk), or loses a bit.
  """

  @property
  def info(self) -> CompressorInfo: ...

  def whole(self, wav: Path) -> CompressionResult:
    """Compresses a sound WAV file as a user would, decodes it and compares."""
    ...

  def chunked(self, pcm: Pcm) -> CompressionResult:
    """Compresses each chunk alone, decodes it and compares."""
    ...


@dataclass(frozen=True, kw_only=True)
class Missing:
  """A compressor that was asked for and cannot run here. name: as its row is called; reason: why, for people."""

  name: str
  reason: str


def find_compressors(
  names: Sequence[str], custom: Sequence[str], *, time_limit_seconds: float
) -> list[Compressor | Missing]:
  """The classical compressors of these names (see `known_names`, or 'all'), then the custom ones (see `parse_custom`).

  time_limit_seconds: for every run of a program; what runs inside this process cannot be stopped.
  Raises ConfigError for an unknown name, a malformed custom one, or two of the same name.
  """
  keys = [key for name in names for key in (known_names() if name == ALL else [name])]
  unknown = [key for key in keys if key not in known_names()]
  if unknown:
    nearest = difflib.get_close_matches(unknown[0], [*known_names(), ALL], n=1)
    hint = f'; did you mean {nearest[0]}?' if nearest else f'; expected {ALL} or some of {", ".join(known_names())}'
    raise ConfigError(f'unknown compressor {unknown[0]}{hint}')
  found = [_known(key, time_limit_seconds) for key in dict.fromkeys(keys)]
  found += [_program(parse_custom(text), time_limit_seconds) for text in custom]
  row_names = [each.name if isinstance(each, Missing) else each.info.name for each in found]
  for name in row_names:
    if row_names.count(name) > 1:
      raise ConfigError(f'two compressors are called {name}; give one of them another name')
  return found


def known_names() -> list[str]:
  """Names that `find_compressors` takes: libraries, then programs."""
  return [*LIBRARIES, *PROGRAMS]


@dataclass(frozen=True, kw_only=True)
class LibraryCompressor:
  """A compressor of bytes that runs in this process; whole files go in with their headers."""

  info: CompressorInfo
  library: Library

  def whole(self, wav: Path) -> CompressionResult:
    with _named(self.info.name):
      return self._coded(wav.read_bytes())

  def chunked(self, pcm: Pcm) -> CompressionResult:
    header_bytes = len(self.library.compress(bytes(pcm.sample_bytes)))
    return _chunked(self.info.name, pcm.chunks, self._coded, header_bytes=header_bytes)

  def _coded(self, data: bytes) -> CompressionResult:
    started = time.perf_counter()
    compressed = self.library.compress(data)
    encoded = time.perf_counter()
    decompressed = self.library.decompress(compressed)
    decoded = time.perf_counter()
    if decompressed != data:
      raise BaselineError('does not round-trip: its output differs from its input')
    return CompressionResult(
      compressed_bytes=len(compressed), encode_seconds=encoded - started, decode_seconds=decoded - encoded
    )


@dataclass(frozen=True, kw_only=True)
class FileCompressor:
  """A compressor of WAV files; chunks become files of one channel.

  as_reference: chunks go in as in the code of "Language Modeling is Compression", whose pydub takes bytes for signed
  samples of 16 kHz: 8-bit data go in with their top bit flipped, so that silence lies at the end of the scale.
  """

  info: CompressorInfo
  coder: Coder
  as_reference: bool = False

  def whole(self, wav: Path) -> CompressionResult:
    with _named(self.info.name), scratch_folder() as folder:
      # A copy, under a plain name: programs choke on others, and nobody knows what they do to their input.
      source = Path(folder) / 'input.wav'
      shutil.copyfile(wav, source)
      return self._coded(source, like=read_pcm_info(wav))

  def chunked(self, pcm: Pcm) -> CompressionResult:
    def coded(chunk: bytes) -> CompressionResult:
      with scratch_folder() as folder:
        source = self._chunk_file(Path(folder), pcm, chunk)
        return self._coded(source, like=read_pcm_info(source))

    return _chunked(self.info.name, pcm.chunks, coded, header_bytes=self._header_bytes(pcm))

  def _header_bytes(self, pcm: Pcm) -> int:
    with _named(f'{self.info.name}: one sample'), scratch_folder() as folder:
      source = self._chunk_file(Path(folder), pcm, bytes(pcm.sample_bytes))
      try:
        return self._encoded(read_pcm_info(source))[0].stat().st_size
      except BaselineError:  # Some cannot take so little.
        return 0

  def _chunk_file(self, folder: Path, pcm: Pcm, chunk: bytes) -> Path:
    flip = self.as_reference and pcm.sample_bytes == 1
    path = folder / 'input.wav'
    with wave.open(str(path), 'wb') as file:
      file.setparams(
        (1, pcm.sample_bytes, _REFERENCE_RATE_HZ if self.as_reference else pcm.sample_rate_hz, 0, 'NONE', '')
      )
      file.writeframes(chunk.translate(_TOP_BIT_FLIPPED) if flip else chunk)
    return path

  def _coded(self, source: Path, *, like: PcmInfo) -> CompressionResult:
    packed, encode_seconds = self._encoded(read_pcm_info(source))
    decode_seconds = 0.0
    if self.coder.decodes:
      decoded = source.with_name('decoded.wav')
      decode_seconds = self.coder.decode(packed, decoded, like=like)
      if not same_sound(like, decoded):
        raise BaselineError('does not round-trip: the samples that it decodes are not those that it was given')
    return CompressionResult(
      compressed_bytes=packed.stat().st_size, encode_seconds=encode_seconds, decode_seconds=decode_seconds
    )

  def _encoded(self, info: PcmInfo) -> tuple[Path, float]:
    packed = info.path.with_name('packed' + self.coder.suffix)
    seconds = self.coder.encode(info, packed)
    if not packed.exists():
      raise BaselineError('it reported success, but wrote no output')
    return packed, seconds


def _chunked(
  name: str, chunks: list[bytes], code: Callable[[bytes], CompressionResult], *, header_bytes: int
) -> CompressionResult:
  compressed_bytes, encode_seconds, decode_seconds = 0, 0.0, 0.0
  for index, chunk in enumerate(chunks):
    with _named(f'{name}: chunk {index}'):
      outcome = code(chunk)
    compressed_bytes += outcome.compressed_bytes
    encode_seconds += outcome.encode_seconds
    decode_seconds += outcome.decode_seconds
  return CompressionResult(
    compressed_bytes=compressed_bytes,
    encode_seconds=encode_seconds,
    decode_seconds=decode_seconds,
    header_bytes=header_bytes,
  )


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
  """Makes BaselineError, beginning with the name, of all that may happen to a compressor."""
  try:
    yield
  except MemoryError as error:
    raise BaselineError(f'{name}: out of memory') from error
  except (LmicError, *_FAILURES) as error:
    raise BaselineError(f'{name}: {error}') from error


def _known(key: str, time_limit_seconds: float) -> Compressor | Missing:
  if key in LIBRARIES:
    library = LIBRARIES[key]
    return LibraryCompressor(info=_info(library.name, library.version, library.settings), library=library)
  if key == 'flac' and PROGRAMS[key].missing():
    coder = LibsndfileFlac()
    return FileCompressor(info=_info(coder.name, coder.version, coder.settings), coder=coder)
  return _program(PROGRAMS[key], time_limit_seconds)


def _program(program: Program, time_limit_seconds: float) -> Compressor | Missing:
  missing = program.missing()
  if missing:
    return Missing(name=program.name, reason=f'there is no program {missing} on PATH')
  return FileCompressor(
    info=_info(program.name, program_version(program), program.encode),
    coder=ProgramCoder(program=program, time_limit_seconds=time_limit_seconds),
    as_reference=program.as_reference,
  )


def _info(name: str, version: str, settings: str) -> CompressorInfo:
  return CompressorInfo(name=name, is_model=False, version=version, settings=settings, parameters_bytes=0)
