"""WAV files as bytes, with every oddity that the tests need."""

import struct
from collections.abc import Iterable

import numpy as np

PCM, IEEE_FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN_SIZE = 0xFFFFFFFF
SUB_FORMAT_TAIL = bytes.fromhex('000000001000800000aa00389b71')


def chunk(chunk_id: bytes, body: bytes, *, pad: bytes = b'\0', size: int | None = None) -> bytes:
  """One chunk; pad follows an odd body (b'' leaves it out), size is what the header claims."""
  claimed = len(body) if size is None else size
  return chunk_id + struct.pack('<I', claimed) + body + (pad if len(body) % 2 else b'')


def build_wav(
  payload: bytes,
  *,
  tag: int = PCM,
  channels: int = 1,
  rate_hz: int = 8000,
  bits: int = 16,
  block_align: int | None = None,
  extensible: bool = False,
  guid: bytes | None = None,
  fmt: bytes | None = None,
  fmt_extra: bytes = b'',
  form: bytes = b'RIFF',
  riff_size: int | None = None,
  data_size: int | None = None,
  ds64: tuple[int, int] | None = None,
  ds64_table: Iterable[tuple[bytes, int]] = (),
  before: Iterable[tuple[bytes, bytes]] = (),
  after: Iterable[tuple[bytes, bytes]] = (),
  data_first: bool = False,
  pad: bytes = b'\0',
  trailer: bytes = b'',
) -> bytes:
  """A WAV file; where an argument is None it is what a careful program would write.

  before, after: (id, body) of chunks on either side of `data`. ds64: (RIFF, data) sizes as claimed. fmt: all of
  its body. data_first: `data` before `fmt `. pad: see `chunk`. trailer: bytes after the last chunk.
  """
  align = channels * (-(-bits // 8)) if block_align is None else block_align
  if fmt is None:
    outer_tag = EXTENSIBLE if extensible else tag
    fmt = struct.pack('<HHIIHH', outer_tag, channels, rate_hz, rate_hz * align % 2**32, align, bits)
    if extensible:
      fmt += struct.pack('<HHI', 22, bits, 0) + (struct.pack('<H', tag) + SUB_FORMAT_TAIL if guid is None else guid)
    fmt += fmt_extra
  wide = form in (b'RF64', b'BW64')
  if data_size is None:
    data_size = UNKNOWN_SIZE if wide else len(payload)
  fmt_chunk = chunk(b'fmt ', fmt, pad=pad)
  data_chunk = chunk(b'data', payload, pad=pad, size=data_size)
  around = [b''.join(chunk(*each, pad=pad) for each in chunks) for chunks in (before, after)]
  middle = [data_chunk, fmt_chunk] if data_first else [fmt_chunk, around[0], data_chunk]
  body = b'WAVE' + b''.join(middle) + around[1]
  if wide:
    table = b''.join(struct.pack('<4sQ', *entry) for entry in ds64_table)
    riff_bytes, data_bytes = (len(body) + 36 + len(table), len(payload)) if ds64 is None else ds64
    sizes = struct.pack('<QQQI', riff_bytes, data_bytes, 0, len(table) // 12) + table
    body = b'WAVE' + chunk(b'ds64', sizes) + body[4:]
  if riff_size is None:
    riff_size = UNKNOWN_SIZE if wide else len(body)
  return form + struct.pack('<I', riff_size) + body + trailer


def build_rifx(
  payload: bytes,
  *,
  tag: int = PCM,
  channels: int = 1,
  rate_hz: int = 8000,
  bits: int = 16,
  block_align: int | None = None,
  extensible: bool = False,
  fmt: bytes | None = None,
  before: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
  """A big-endian RIFF file; arguments as of `build_wav`. payload: with the high bytes first."""
  align = channels * (-(-bits // 8)) if block_align is None else block_align
  if fmt is None:
    outer_tag = EXTENSIBLE if extensible else tag
    fmt = struct.pack('>HHIIHH', outer_tag, channels, rate_hz, rate_hz * align % 2**32, align, bits)
    if extensible:
      fmt += struct.pack('>HHIIHH', 22, bits, 0, tag, 0, 0x10) + SUB_FORMAT_TAIL[6:]
  chunks = [(b'fmt ', fmt), *before, (b'data', payload)]
  body = b'WAVE' + b''.join(each + struct.pack('>I', len(data)) + data + bytes(len(data) % 2) for each, data in chunks)
  return b'RIFX' + struct.pack('>I', len(body)) + body


def pcm_bytes(samples: np.ndarray, bits: int) -> bytes:
  """Signed integers as little-endian PCM of bits (a multiple of 8); 8-bit samples are unsigned in the file."""
  if bits == 8:
    return (np.asarray(samples) + 128).astype(np.uint8).tobytes()
  wide = np.ascontiguousarray(samples).astype('<i8').reshape(-1)
  return wide.view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()


def random_samples(num_frames: int, num_channels: int, bits: int, seed: int = 0) -> np.ndarray:
  """Signed integers [num_frames, num_channels] of bits, the extremes among them."""
  rng = np.random.default_rng(seed)
  samples = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), size=(num_frames, num_channels))
  samples.reshape(-1)[:2] = [-(1 << (bits - 1)), (1 << (bits - 1)) - 1][: samples.size]
  return samples
