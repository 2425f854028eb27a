"""Fuzzes the parsers of containers: python tests/fuzz/fuzz_containers.py [SECONDS] [SEED].

Inputs are the plainest files of every container and format, some odd ones, and, with soundfile, those that libsndfile
writes, changed at random: bits, bytes, sizes that lie, pieces left out, repeated, or put in from other files. Whatever
an input holds, a parser gives a well-formed place within it or an AudioFormatError, reads nothing behind its end, and
ends soon. The same seed gives the same inputs. SECONDS are of one core. Exits 1 with the input in a file of the
temporary folder if one breaks this.
"""

import io
import random
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from support.containers import PATH, WatchedFile, cases, file_of, noise
from support.regions import assert_well_formed
from support.wav_builder import build_rifx, build_wav, chunk

from language_modeling_is_compression.audio.frames import linear_samples
from language_modeling_is_compression.audio.parsing import parse_info
from language_modeling_is_compression.errors import AudioFormatError

_SIZES = (0, 1, 2, 7, 8, 23, 24, 25, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 2, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_LONGEST_SECONDS = 5.0  # On a slow machine; 65,536 chunks take a tenth of a second.


def _corpus() -> list[bytes]:
  plain = [
    file_of(container, pcm, noise(12 * pcm.frame_bytes)) for channels in (1, 3) for container, pcm in cases(channels)
  ]
  data = chunk(b'data', noise(30))
  wave_list = chunk(b'RIFF', build_wav(b'')[8:36] + chunk(b'LIST', b'wavl' + data + chunk(b'slnt', bytes(4)) + data))
  odd = [
    wave_list,
    wave_list[:36] + data * 40,
    build_wav(noise(64), form=b'RF64', before=[(b'JUNK', bytes(33))], ds64_table=[(b'JUNK', 33)]),
    build_wav(noise(64), form=b'BW64', extensible=True, after=[(b'axml', b'<a/>')]),
    build_rifx(noise(64), extensible=True, before=[(b'LIST', b'123')]),
    b'ID3\4\0\x10\0\0\0\3abc3DI\4\0\x10\0\0\0\3' + build_wav(noise(64)),
    b'junk' + build_wav(noise(64)),
  ]
  try:
    import soundfile
  except ImportError:
    return plain + odd
  written = []
  for name in ('WAV', 'WAVEX', 'RF64', 'AIFF', 'CAF', 'W64', 'AU', 'NIST'):
    for subtype in soundfile.available_subtypes(name):
      file = io.BytesIO()
      try:
        soundfile.write(file, [[0.1, 0.2]] * 12, 8000, format=name, subtype=subtype)
      except (soundfile.SoundFileError, ValueError):
        continue
      written.append(file.getvalue())
  return plain + odd + written


def _changed(rng: random.Random, corpus: list[bytes]) -> bytes:
  data = bytearray(rng.choice(corpus))
  for _ in range(rng.choice((1, 1, 2, 3, 8))):
    place = rng.randrange(len(data) + 1) if rng.random() < 0.3 else rng.randrange(min(len(data), 120) + 1)
    kind = rng.randrange(7)
    if kind == 0 and place < len(data):
      data[place] ^= 1 << rng.randrange(8)
    elif kind == 1 and place < len(data):
      data[place] = rng.choice((0, 1, 0x20, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == 2:
      width, order = rng.choice(((2, 'H'), (4, 'I'), (8, 'Q'))), rng.choice('<>')
      data[place : place + width[0]] = struct.pack(order + width[1], rng.choice(_SIZES) % 256 ** width[0])
    elif kind == 3:
      del data[place:]
    elif kind == 4:
      del data[place : place + rng.randrange(1, 40)]
    elif kind == 5:
      piece = data[place : place + rng.randrange(1, 60)]
      data[place:place] = piece * rng.choice((1, 2, 3, 2000))
    else:
      other = rng.choice(corpus)
      first = rng.randrange(len(other))
      data[place:place] = other[first : first + rng.randrange(1, 100)]
    if not data:
      break
  return bytes(data)


def _check(data: bytes) -> bool:
  """Whether a file is recognised. Raises what must not be raised."""
  file = WatchedFile(data)
  began = time.process_time()
  try:
    info = parse_info(file, len(data), PATH)
  except AudioFormatError as error:
    assert str(error).startswith('a: ') and str(error).isprintable()
    info = None
  assert file.end <= len(data) and file.most_bytes <= 1 << 16
  assert time.process_time() - began < _LONGEST_SECONDS
  if info is None:
    return False
  assert_well_formed(info, len(data))
  for region in info.regions:
    raw = np.frombuffer(data, np.uint8, region.num_frames * info.frame_bytes, region.offset)
    linear_samples(raw.reshape(-1, info.num_channels, info.sample_bytes), info.pcm)
  return True


def main() -> int:
  seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
  rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
  corpus = _corpus()
  num_inputs = num_recognised = 0
  longest = 0.0
  end = time.process_time() + seconds
  while time.process_time() < end:
    data = _changed(rng, corpus)
    began = time.process_time()
    try:
      num_recognised += _check(data)
    except Exception:
      traceback.print_exc()
      with tempfile.NamedTemporaryFile(prefix='lmic_fuzz_', delete=False) as kept:
        kept.write(data)
      print(f'input {num_inputs} broke it, kept as {kept.name}')
      return 1
    longest = max(longest, time.process_time() - began)
    num_inputs += 1
  print(f'{num_inputs:,} inputs of {len(corpus)} files, {num_recognised:,} recognised, {longest:.3f} s the longest')
  return 0


if __name__ == '__main__':
  sys.exit(main())
