"""Other compressors, for comparison: each takes the same samples, and what it writes is decoded and compared."""

import contextlib
import gzip
import io
import lzma
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile

from language_modeling_is_compression.errors import BaselineError


@dataclass(frozen=True, kw_only=True)
class Baseline:
  """name: program and setting, as a table shows it.

  compress, decompress: samples (uint8 or uint16 [N], offset binary) and their rate in Hz to bytes; and bytes to the
  samples' own bytes (`tobytes()`).
  """

  name: str
  compress: Callable[[np.ndarray, int], bytes]
  decompress: Callable[[bytes, np.dtype], bytes]

  def compressed_bytes(self, samples: np.ndarray, sample_rate_hz: int) -> int:
    """Size of the whole output, headers included. Raises BaselineError if the program fails or loses a bit."""
    compressed = self.compress(samples, sample_rate_hz)
    if self.decompress(compressed, samples.dtype) != samples.tobytes():
      raise BaselineError(f'{self.name}: what it decodes is not what it encoded')
    return len(compressed)


def standard_baselines() -> list[Baseline]:
  """gzip, lzma and FLAC, each at its strongest setting; libsndfile's FLAC stands in where there is no flac program."""
  return [
    Baseline(
      name='gzip -9',
      compress=lambda samples, rate: gzip.compress(samples.tobytes(), compresslevel=9, mtime=0),
      decompress=lambda data, dtype: gzip.decompress(data),
    ),
    Baseline(
      name='lzma -9e',
      compress=lambda samples, rate: lzma.compress(samples.tobytes(), preset=9 | lzma.PRESET_EXTREME),
      decompress=lambda data, dtype: lzma.decompress(data),
    ),
    _flac_program() if shutil.which('flac') else _flac_library(),
  ]


def _flac_program() -> Baseline:
  # Padding is room for tags, and seek points are for players; neither belongs to the samples.
  encode = ['flac', '-8', '--silent', '--stdout', '--no-padding', '--no-seektable', '--force-raw-format']
  encode += ['--endian=little', '--sign=unsigned', '--channels=1']
  decode = ['flac', '-d', '--silent', '--stdout', '--force-raw-format', '--endian=little', '--sign=unsigned', '-']

  def compress(samples: np.ndarray, rate: int) -> bytes:
    of_input = [f'--bps={8 * samples.itemsize}', f'--sample-rate={_flac_rate(rate)}', '-']
    return _piped(encode + of_input, samples.tobytes())

  return Baseline(name='flac -8', compress=compress, decompress=lambda data, dtype: _piped(decode, data))


def _flac_library() -> Baseline:
  def compress(samples: np.ndarray, rate: int) -> bytes:
    bits = 8 * samples.itemsize
    signed = (samples.astype(np.int32) - (1 << (bits - 1))) << (32 - bits)
    subtype = 'PCM_S8' if bits == 8 else 'PCM_16'
    file = io.BytesIO()
    with _library_errors():
      soundfile.write(file, signed, _flac_rate(rate), format='FLAC', subtype=subtype, compression_level=1.0)
    return file.getvalue()

  def decompress(data: bytes, dtype: np.dtype) -> bytes:
    bits = 8 * dtype.itemsize
    with _library_errors():
      signed = soundfile.read(io.BytesIO(data), dtype='int32')[0] >> (32 - bits)
    return (signed + (1 << (bits - 1))).astype(dtype).tobytes()

  return Baseline(name="libsndfile's FLAC (no flac program here)", compress=compress, decompress=decompress)


@contextlib.contextmanager
def _library_errors() -> Iterator[None]:
  try:
    yield
  except soundfile.SoundFileError as error:
    raise BaselineError(f'libsndfile failed: {error}') from error


def _flac_rate(rate: int) -> int:
  """A rate in Hz near this one that every encoder takes; what it makes of the samples does not depend on the rate.

  FLAC's streamable subset ends at 655,350 Hz, and knows only multiples of ten above 65,535 Hz.
  """
  rate = min(max(rate, 1), 655_350)
  return rate if rate <= 65_535 else rate - rate % 10


def _piped(command: list[str], data: bytes) -> bytes:
  done = subprocess.run(command, input=data, capture_output=True, check=False)
  if done.returncode:
    reason = done.stderr.decode(errors='replace').strip() or f'exit code {done.returncode}'
    raise BaselineError(f'{command[0]} failed: {reason}')
  return done.stdout
