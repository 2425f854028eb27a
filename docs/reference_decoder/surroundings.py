"""What stands around samples where it is canonical: the part "Canonical surroundings" of docs/FORMAT.md."""

import struct
from typing import NamedTuple

# Kinds, as headers of version 5 count them.
NO_SAMPLES, SIGNED, UNSIGNED, FLOAT, A_LAW, MU_LAW = range(6)
SAMPLE_BYTES = {
  NO_SAMPLES: (0,),
  SIGNED: (1, 2, 3, 4),
  UNSIGNED: (1, 2, 3, 4),
  FLOAT: (2, 4, 8),
  A_LAW: (1,),
  MU_LAW: (1,),
}

NO_CONTAINER, WAV, RIFX, AIFF, CAF, WAVE64, AU, SPHERE, UNPACKED = range(9)


class Samples(NamedTuple):
  """What all samples of a file have in common."""

  kind: int
  sample_bytes: int
  num_channels: int
  sample_rate_hz: int
  is_big_endian: bool = False

  @property
  def is_integer(self) -> bool:
    return self.kind in (SIGNED, UNSIGNED)

  @property
  def frame_bytes(self) -> int:
    return self.num_channels * self.sample_bytes

  @property
  def is_wide(self) -> bool:
    return self.sample_bytes > 1


def can_hold(container: int, samples: Samples) -> bool:
  """Whether there are canonical surroundings of such samples."""
  kind, big = samples.kind, samples.is_big_endian
  is_usual_float = kind == FLOAT and samples.sample_bytes > 2
  in_order = not samples.is_wide or big == (container == RIFX)
  if kind == NO_SAMPLES or samples.frame_bytes > 65535:
    return False
  if container in (WAV, RIFX, WAVE64):
    return in_order and (not samples.is_integer or (kind == UNSIGNED) != samples.is_wide)
  if container == AIFF:
    others = kind in (A_LAW, MU_LAW) or (kind == UNSIGNED and not samples.is_wide) or (is_usual_float and big)
    return kind == SIGNED or others
  if container == AU:
    return is_usual_float or kind not in (UNSIGNED, FLOAT)
  if container == CAF:
    return kind != UNSIGNED
  return container == SPHERE and kind in (SIGNED, A_LAW, MU_LAW)


def canonical(container: int, samples: Samples, num_frames: int) -> tuple[bytes, bytes]:
  """Head and tail of version 5. Only of what the container can hold."""
  size = num_frames * samples.frame_bytes
  pad = size % 2 if container in (WAV, RIFX, AIFF) else 0
  if container in (WAV, RIFX):
    head = wav_head(samples, num_frames, pad, '>' if container == RIFX else '<')
  else:
    heads = {AIFF: _aiff_head, CAF: _caf_head, WAVE64: _wave64_head, AU: _au_head, SPHERE: _sphere_head}
    head = heads[container](samples, num_frames)
  return head, bytes(pad)


def wav_head(samples: Samples, num_frames: int, pad: int, order: str = '<') -> bytes:
  is_extended = samples.num_channels >= 3 or (samples.is_integer and samples.sample_bytes >= 3)
  fields, size = _fields(samples, order, is_extended), num_frames * samples.frame_bytes
  riff_bytes = 28 + len(fields) - 8 + size + pad
  head = (b'RIFX' if order == '>' else b'RIFF') + struct.pack(f'{order}I', _low(riff_bytes)) + b'WAVEfmt '
  return head + struct.pack(f'{order}I', len(fields)) + fields + b'data' + struct.pack(f'{order}I', _low(size))


def _fields(samples: Samples, order: str, is_extended: bool) -> bytes:
  width, rate = samples.frame_bytes, samples.sample_rate_hz
  tag = {FLOAT: 3, A_LAW: 6, MU_LAW: 7}.get(samples.kind, 1)
  fields = struct.pack(f'{order}HHI', 65534 if is_extended else tag, samples.num_channels, rate)
  fields += struct.pack(f'{order}IHH', _low(rate * width), width, 8 * samples.sample_bytes)
  if is_extended:
    speakers = {1: 4, 2: 3}.get(samples.num_channels, 0)
    fields += struct.pack(f'{order}HHIIHH', 22, 8 * samples.sample_bytes, speakers, tag, 0, 16)
    return fields + bytes.fromhex('80 00 00 AA 00 38 9B 71')
  return fields + (b'\0\0' if samples.kind in (A_LAW, MU_LAW) else b'')


def _aiff_head(samples: Samples, num_frames: int) -> bytes:
  is_plain = samples.kind == SIGNED and (samples.is_big_endian or not samples.is_wide)
  size, digits = num_frames * samples.frame_bytes, samples.sample_rate_hz.bit_length()
  rate = struct.pack('>HQ', 16382 + digits, samples.sample_rate_hz << (64 - digits)) if digits else bytes(10)
  rest = b'AIFF' if is_plain else b'AIFCFVER' + struct.pack('>II', 4, 2726318400)
  rest += b'COMM' + struct.pack('>IH', 18 if is_plain else 24, samples.num_channels)
  rest += struct.pack('>IH', _low(num_frames), 8 * samples.sample_bytes) + rate
  if not is_plain:
    floats = b'fl64' if samples.sample_bytes == 8 else b'fl32'
    rest += {SIGNED: b'sowt', UNSIGNED: b'raw ', FLOAT: floats, A_LAW: b'alaw', MU_LAW: b'ulaw'}[samples.kind] + bytes(
      2
    )
  rest += b'SSND' + struct.pack('>III', _low(size + 8), 0, 0)
  return b'FORM' + struct.pack('>I', _low(len(rest) + size + size % 2)) + rest


def _caf_head(samples: Samples, num_frames: int) -> bytes:
  flags = (samples.kind == FLOAT) + 2 * (samples.is_wide and not samples.is_big_endian)
  head = b'caff' + struct.pack('>HH', 1, 0) + b'desc' + struct.pack('>Qd', 32, samples.sample_rate_hz)
  head += {A_LAW: b'alaw', MU_LAW: b'ulaw'}.get(samples.kind, b'lpcm')
  head += struct.pack('>IIIII', flags, samples.frame_bytes, 1, samples.num_channels, 8 * samples.sample_bytes)
  return head + b'data' + struct.pack('>QI', num_frames * samples.frame_bytes + 4, 0)


def _wave64_head(samples: Samples, num_frames: int) -> bytes:
  end = bytes.fromhex('F3 AC D3 11 8C D1 00 C0 4F 8E DB 8A')
  fields, size = _fields(samples, '<', is_extended=False), num_frames * samples.frame_bytes
  rest = b'wave' + end + b'fmt ' + end + struct.pack('<Q', 24 + len(fields)) + fields + bytes(-len(fields) % 8)
  rest += b'data' + end + struct.pack('<Q', 24 + size)
  begin = bytes.fromhex('72 69 66 66 2E 91 CF 11 A5 D6 28 DB 04 C1 00 00')
  return begin + struct.pack('<Q', 24 + len(rest) + size) + rest


def _au_head(samples: Samples, num_frames: int) -> bytes:
  big = samples.is_big_endian or not samples.is_wide
  encodings = {SIGNED: 1 + samples.sample_bytes, FLOAT: 7 if samples.sample_bytes == 8 else 6, A_LAW: 27, MU_LAW: 1}
  size = _low(num_frames * samples.frame_bytes)
  numbers = (24, size, encodings[samples.kind], samples.sample_rate_hz, samples.num_channels)
  return (b'.snd' if big else b'dns.') + struct.pack('>IIIII' if big else '<IIIII', *numbers)


def _sphere_head(samples: Samples, num_frames: int) -> bytes:
  order = ('10' if samples.is_big_endian else '01') if samples.is_wide else '1'
  lines = [
    'NIST_1A',
    '   1024',
    f'channel_count -i {samples.num_channels}',
    f'sample_rate -i {samples.sample_rate_hz}',
    f'sample_n_bytes -i {samples.sample_bytes}',
    f'sample_byte_format -s{samples.sample_bytes} {order}',
    f'sample_sig_bits -i {8 * samples.sample_bytes}',
    f'sample_count -i {num_frames}',
    'sample_coding ' + {SIGNED: '-s3 pcm', A_LAW: '-s4 alaw', MU_LAW: '-s4 ulaw'}[samples.kind],
    'end_head',
  ]
  return ''.join(f'{line}\n' for line in lines).encode('ascii').ljust(1024)


def _low(x: int) -> int:
  return min(x, 2**32 - 1)
