"""What files of every kind take: python bench/kinds.py MUSIC.wav SPEECH.wav [--levels 3 6] [--seconds 6]

MUSIC: 16 bits; SPEECH: 8 kHz. Each is written in all the ways that samples are kept in, by the package's own writers of
headers, and compressed by lmic, `xz -9e` and, where it takes the kind and is installed, `wavpack -hh -x4`. Every file
of lmic is decoded and compared. Sizes are of whole files.
"""

import argparse
import io
import lzma
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from language_modeling_is_compression.api.engine import Compressor, Decompressor
from language_modeling_is_compression.audio.containers.writing import file_header
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind, raw_from_integers, raw_from_patterns
from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.numbers.companding import linear_values

_QUIETER = 10 ** (-3.7 / 20)
_AMBISONIC = bytes.fromhex('010000002107d3118644c8c1ca000000')


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures what files of every kind take.')
  parser.add_argument('music', type=Path)
  parser.add_argument('speech', type=Path)
  parser.add_argument('--levels', type=int, nargs='+', default=[3, 6])
  parser.add_argument('--seconds', type=float, default=6.0)
  arguments = parser.parse_args()
  files = [*_music(arguments.music, arguments.seconds), *_speech(arguments.speech)]
  print(
    f'{"kind":45} {"bytes":>10} {"xz -9e":>10} {"wavpack":>10} ', *(f'level {level:>2}' for level in arguments.levels)
  )
  sizes: dict[int, list[int]] = {}
  for level in arguments.levels:
    with Compressor(level=level) as compressor, Decompressor() as decompressor:
      sizes[level] = [_packed_bytes(data, compressor, decompressor) for _, data, _ in files]
  for index, (name, data, wavpack) in enumerate(files):
    xz = len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    other = _wavpack_bytes(data, wavpack)
    row = ' '.join(f'{sizes[level][index]:>8}' for level in arguments.levels)
    print(f'{name:45} {len(data):>10} {xz:>10} {other or "-":>10}  {row}')
  return 0


def _packed_bytes(data: bytes, compressor: Compressor, decompressor: Decompressor) -> int:
  packed, back = io.BytesIO(), io.BytesIO()
  compressor.compress(io.BytesIO(data), packed)
  decompressor.decompress(packed, back)
  assert back.getvalue() == data, 'what comes back is not what was compressed'
  return len(packed.getvalue())


def _wavpack_bytes(data: bytes, suffix: str | None) -> int | None:
  """suffix: of a container that WavPack takes, or None."""
  if suffix is None or shutil.which('wavpack') is None:
    return None
  with tempfile.TemporaryDirectory() as folder:
    source = Path(folder, f'a{suffix}')
    source.write_bytes(data)
    command = ['wavpack', '-hh', '-x4', '-q', str(source), '-o', str(Path(folder, 'a.wv'))]
    if subprocess.run(command, capture_output=True, check=False).returncode:
      return None
    return Path(folder, 'a.wv').stat().st_size


def _file(container: ContainerKind, kind: SampleKind, values: np.ndarray, rate: int, *, big: bool = False) -> bytes:
  """values: [N, C], integers, floats of the width that is written, or characters of G.711."""
  is_integer = kind in (SampleKind.SIGNED, SampleKind.UNSIGNED)
  sample_bytes = 2 if is_integer else values.dtype.itemsize
  pcm = PcmFormat(
    kind=kind, sample_bytes=sample_bytes, num_channels=values.shape[1], sample_rate_hz=rate, is_big_endian=big
  )
  if is_integer:
    raw = raw_from_integers(values.astype(np.int32), pcm)
  else:
    raw = raw_from_patterns(np.ascontiguousarray(values).view(f'u{sample_bytes}'), pcm)
  head, tail = file_header(container, pcm, len(values))
  return head + raw.tobytes() + tail


def _music(path: Path, seconds: float) -> Iterator[tuple[str, bytes, str | None]]:
  """Name, bytes, and the suffix by which WavPack takes it."""
  info = read_info(path)
  rate = info.sample_rate_hz
  samples = read_frames(info, 0, min(info.num_frames, round(seconds * rate)))
  wav, signed = ContainerKind.WAV, SampleKind.SIGNED
  plain = _file(wav, signed, samples, rate)
  yield '16-bit WAV', plain, '.wav'
  for width in (4, 8):
    floats = (samples / 32768).astype(f'f{width}')
    takes = '.wav' if width == 4 else None
    yield f'{8 * width}-bit float of 16 bits', _file(wav, SampleKind.FLOAT, floats, rate), takes
    quieter = floats * np.dtype(f'f{width}').type(_QUIETER)
    yield f'{8 * width}-bit float, made quieter by 3.7 dB', _file(wav, SampleKind.FLOAT, quieter, rate), takes
    by_32767 = (samples / 32767).astype(f'f{width}')
    yield f'{8 * width}-bit float of 16 bits over 32767', _file(wav, SampleKind.FLOAT, by_32767, rate), takes
  mixed = (samples * 0.71 + np.roll(samples, 4567, axis=0) * 0.43) / 32768
  yield '16-bit float of 16 bits', _file(wav, SampleKind.FLOAT, (samples / 32768).astype('f2'), rate), None
  yield '32-bit float, two takes mixed', _file(wav, SampleKind.FLOAT, mixed.astype('f4'), rate), '.wav'
  for kind in (SampleKind.A_LAW, SampleKind.MU_LAW):
    yield f'{_name(kind)} music', _file(wav, kind, _companded(samples, kind), rate), None
  for container, big, suffix in (
    (ContainerKind.AIFF, True, '.aiff'),
    (ContainerKind.CAF, False, '.caf'),
    (ContainerKind.W64, False, '.w64'),
    (ContainerKind.AU, True, None),
    (ContainerKind.RIFX, True, None),
  ):
    yield str(container), _file(container, signed, samples, rate, big=big), suffix
  yield 'headerless', plain[44:], None
  yield 'ID3 before RIFF', b'ID3\x03\0\0\0\0\x02\0' + bytes(256) + plain, None
  yield 'two data chunks', _two_chunks(plain), None
  yield '16 bits named in a 32-bit container', _justified(samples, rate), '.wav'
  yield 'ambisonic EXTENSIBLE', _extensible(samples, rate), None


def _speech(path: Path) -> Iterator[tuple[str, bytes, str | None]]:
  info = read_info(path)
  samples = read_frames(info, 0, info.num_frames)[:, :1]
  yield '16-bit speech', _file(ContainerKind.WAV, SampleKind.SIGNED, samples, info.sample_rate_hz), '.wav'
  for kind in (SampleKind.A_LAW, SampleKind.MU_LAW):
    yield f'{_name(kind)} speech', _file(ContainerKind.WAV, kind, _companded(samples, kind), info.sample_rate_hz), None


def _name(kind: SampleKind) -> str:
  return 'A-law' if kind == SampleKind.A_LAW else 'mu-law'


def _companded(samples: np.ndarray, kind: SampleKind) -> np.ndarray:
  """The nearest characters of G.711: uint8 of the same shape."""
  values = linear_values(kind) * (8 if kind == SampleKind.A_LAW else 4)
  order = np.argsort(values)
  middles = (values[order][1:] + values[order][:-1]) / 2
  return order[np.searchsorted(middles, samples)].astype(np.uint8)


def _two_chunks(plain: bytes) -> bytes:
  half = (len(plain) - 44) // 8 * 4
  chunks = [struct.pack('<4sI', b'data', len(part)) + part for part in (plain[44 : 44 + half], plain[44 + half :])]
  body = plain[8:36] + b''.join(chunks)
  return b'RIFF' + struct.pack('<I', len(body)) + body


def _justified(samples: np.ndarray, rate: int) -> bytes:
  num_channels = samples.shape[1]
  frame_bytes = 4 * num_channels
  fields = struct.pack('<HHIIHH', 1, num_channels, rate, rate * frame_bytes, frame_bytes, 16)
  data = (samples.astype('<i4') << 16).tobytes()
  body = b'WAVEfmt ' + struct.pack('<I', len(fields)) + fields + struct.pack('<4sI', b'data', len(data)) + data
  return b'RIFF' + struct.pack('<I', len(body)) + body


def _extensible(samples: np.ndarray, rate: int) -> bytes:
  num_channels = samples.shape[1]
  frame_bytes = 2 * num_channels
  fields = struct.pack('<HHIIHHHHI', 0xFFFE, num_channels, rate, rate * frame_bytes, frame_bytes, 16, 22, 16, 0)
  fields += _AMBISONIC
  data = samples.astype('<i2').tobytes()
  body = b'WAVEfmt ' + struct.pack('<I', len(fields)) + fields + struct.pack('<4sI', b'data', len(data)) + data
  return b'RIFF' + struct.pack('<I', len(body)) + body


if __name__ == '__main__':
  sys.exit(main())
