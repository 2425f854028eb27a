"""Headers of the plainest file of each container: what stands before and behind samples.

A .lmic file of version 5 leaves them out where a file has them, so that these bytes are part of the format.

Sources: as in the parsers' modules.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from language_modeling_is_compression.audio.containers import au, w64
from language_modeling_is_compression.audio.containers.extended import int_to_extended
from language_modeling_is_compression.audio.containers.found import UNKNOWN_SIZE
from language_modeling_is_compression.audio.containers.iff import ByteOrder
from language_modeling_is_compression.audio.containers.sphere import MAGIC as SPHERE_MAGIC
from language_modeling_is_compression.audio.containers.wav_header import format_fields, riff_header
from language_modeling_is_compression.audio.info import ENCODINGS, MAX_FRAME_BYTES, ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind

_SPHERE_BYTES = 1024
_AIFC_VERSION = 0xA2805140
_AU_ENCODINGS = {sample: number for number, sample in au.ENCODINGS.items()}
_AIFC_TYPES = {
  (SampleKind.UNSIGNED, 1): b'raw ',
  (SampleKind.FLOAT, 4): b'fl32',
  (SampleKind.FLOAT, 8): b'fl64',
  (SampleKind.A_LAW, 1): b'alaw',
  (SampleKind.MU_LAW, 1): b'ulaw',
}
_CAF_FORMATS = {SampleKind.A_LAW: b'alaw', SampleKind.MU_LAW: b'ulaw'}
_SPHERE_CODINGS = {SampleKind.SIGNED: 'pcm', SampleKind.A_LAW: 'alaw', SampleKind.MU_LAW: 'ulaw'}


def file_header(container: ContainerKind, pcm: PcmFormat, num_frames: int) -> tuple[bytes, bytes]:
  """What stands before and behind so many frames of a file that holds nothing else.

  Sizes that do not fit in their fields are the largest that do, which readers take for a stream whose end nobody knows.
  Raises ValueError if files of the container cannot hold such samples, see `can_hold`.
  """
  if not can_hold(container, pcm):
    raise ValueError(f'{container} does not hold {pcm}')
  return _WRITERS[container](pcm, num_frames)


def can_hold(container: ContainerKind, pcm: PcmFormat) -> bool:
  """Whether `file_header` has a header for such samples."""
  if not 0 < pcm.frame_bytes <= MAX_FRAME_BYTES:
    return False
  one_byte = pcm.sample_bytes == 1
  # What is left to any order is written as if it were the container's own.
  is_little, is_big = one_byte or not pcm.is_big_endian, one_byte or pcm.is_big_endian
  is_wave = pcm.kind not in (SampleKind.SIGNED, SampleKind.UNSIGNED) or (pcm.kind == SampleKind.UNSIGNED) == one_byte
  if container in (ContainerKind.WAV, ContainerKind.W64):
    return is_wave and is_little
  if container == ContainerKind.RIFX:
    return is_wave and is_big
  if container == ContainerKind.AIFF:
    return ((pcm.kind, pcm.sample_bytes) in _AIFC_TYPES and is_big) or pcm.kind == SampleKind.SIGNED
  if container == ContainerKind.SPHERE:
    return pcm.kind in _SPHERE_CODINGS
  if container == ContainerKind.AU:
    return (pcm.kind, pcm.sample_bytes) in _AU_ENCODINGS
  return pcm.kind != SampleKind.UNSIGNED


def _riff(pcm: PcmFormat, num_frames: int, byte_order: ByteOrder) -> tuple[bytes, bytes]:
  """The size in a header of `riff_header` leaves out the pad byte; here it counts, as RIFF asks for."""
  header = riff_header(
    byte_order,
    ENCODINGS[pcm.kind],
    pcm.sample_bytes,
    num_channels=pcm.num_channels,
    sample_rate_hz=pcm.sample_rate_hz,
    num_frames=num_frames,
  )
  if not num_frames * pcm.frame_bytes % 2:
    return header, b''
  riff_bytes = min(int.from_bytes(header[4:8], byte_order) + 1, UNKNOWN_SIZE)
  return header[:4] + riff_bytes.to_bytes(4, byte_order) + header[8:], b'\0'


def _aiff(pcm: PcmFormat, num_frames: int) -> tuple[bytes, bytes]:
  """AIFF where it suffices, else AIFF-C."""
  is_plain = pcm.kind == SampleKind.SIGNED and (pcm.is_big_endian or pcm.sample_bytes == 1)
  common = struct.pack('>HIH', pcm.num_channels, min(num_frames, UNKNOWN_SIZE), 8 * pcm.sample_bytes)
  common += int_to_extended(pcm.sample_rate_hz)
  before = b'AIFF'
  if not is_plain:
    before = struct.pack('>4s4sII', b'AIFC', b'FVER', 4, _AIFC_VERSION)
    # The compression's name is empty: its length, and a pad byte.
    common += _AIFC_TYPES.get((pcm.kind, pcm.sample_bytes), b'sowt') + bytes(2)
  data_bytes = num_frames * pcm.frame_bytes
  tail = bytes(data_bytes % 2)
  before += struct.pack('>4sI', b'COMM', len(common)) + common
  before += struct.pack('>4sIII', b'SSND', min(data_bytes + 8, UNKNOWN_SIZE), 0, 0)
  form_bytes = min(len(before) + data_bytes + len(tail), UNKNOWN_SIZE)
  return struct.pack('>4sI', b'FORM', form_bytes) + before, tail


def _caf(pcm: PcmFormat, num_frames: int) -> tuple[bytes, bytes]:
  flags = (1 if pcm.kind == SampleKind.FLOAT else 0) | (0 if pcm.is_big_endian or pcm.sample_bytes == 1 else 2)
  description = struct.pack(
    '>d4sIIIII',
    pcm.sample_rate_hz,
    _CAF_FORMATS.get(pcm.kind, b'lpcm'),
    flags,
    pcm.frame_bytes,
    1,
    pcm.num_channels,
    8 * pcm.sample_bytes,
  )
  header = struct.pack('>4sHH', b'caff', 1, 0) + struct.pack('>4sq', b'desc', len(description)) + description
  return header + struct.pack('>4sqI', b'data', 4 + num_frames * pcm.frame_bytes, 0), b''


def _w64(pcm: PcmFormat, num_frames: int) -> tuple[bytes, bytes]:
  """No pad bytes follow the samples, and the format is not EXTENSIBLE: libsndfile takes the one for samples, and all
  that the other says for integers.
  """
  fields = format_fields(
    'little',
    ENCODINGS[pcm.kind],
    pcm.sample_bytes,
    num_channels=pcm.num_channels,
    sample_rate_hz=pcm.sample_rate_hz,
    extensible=False,
  )
  data_bytes = num_frames * pcm.frame_bytes
  before = w64.FORMAT_GUID + (w64.HEADER_BYTES + len(fields)).to_bytes(8, 'little') + fields + bytes(-len(fields) % 8)
  before += w64.DATA_GUID + (w64.HEADER_BYTES + data_bytes).to_bytes(8, 'little')
  file_bytes = w64.HEADER_BYTES + len(w64.WAVE_GUID) + len(before) + data_bytes
  return w64.RIFF_GUID + file_bytes.to_bytes(8, 'little') + w64.WAVE_GUID + before, b''


def _au(pcm: PcmFormat, num_frames: int) -> tuple[bytes, bytes]:
  is_big_endian = pcm.is_big_endian or pcm.sample_bytes == 1
  header = struct.pack(
    f'{">" if is_big_endian else "<"}IIIII',
    au.HEADER_BYTES,
    min(num_frames * pcm.frame_bytes, UNKNOWN_SIZE),
    _AU_ENCODINGS[pcm.kind, pcm.sample_bytes],
    pcm.sample_rate_hz,
    pcm.num_channels,
  )
  return (au.BIG_ENDIAN_MAGIC if is_big_endian else au.LITTLE_ENDIAN_MAGIC) + header, b''


def _sphere(pcm: PcmFormat, num_frames: int) -> tuple[bytes, bytes]:
  # Of wider samples, too, libsndfile writes and expects the digits of two bytes, but the length of more.
  byte_format = '1' if pcm.sample_bytes == 1 else '10' if pcm.is_big_endian else '01'
  coding = _SPHERE_CODINGS[pcm.kind]
  lines = [
    f'{SPHERE_MAGIC.decode()}{_SPHERE_BYTES:>7}',
    f'channel_count -i {pcm.num_channels}',
    f'sample_rate -i {pcm.sample_rate_hz}',
    f'sample_n_bytes -i {pcm.sample_bytes}',
    f'sample_byte_format -s{pcm.sample_bytes} {byte_format}',
    f'sample_sig_bits -i {8 * pcm.sample_bytes}',
    f'sample_count -i {num_frames}',
    f'sample_coding -s{len(coding)} {coding}',
    'end_head\n',
  ]
  return '\n'.join(lines).encode('ascii').ljust(_SPHERE_BYTES, b' '), b''


_WRITERS: dict[ContainerKind, Callable[[PcmFormat, int], tuple[bytes, bytes]]] = {
  ContainerKind.WAV: lambda pcm, num_frames: _riff(pcm, num_frames, 'little'),
  ContainerKind.RIFX: lambda pcm, num_frames: _riff(pcm, num_frames, 'big'),
  ContainerKind.AIFF: _aiff,
  ContainerKind.CAF: _caf,
  ContainerKind.W64: _w64,
  ContainerKind.AU: _au,
  ContainerKind.SPHERE: _sphere,
}
