"""Sony Wave64 files: where samples stand.

Source: Sony Pictures Digital "Sony Wave64" (file format description): chunks of a GUID, 64 bits of size that count
these 24 bytes too, and a body; each begins at a multiple of 8 bytes.
"""

from __future__ import annotations

from language_modeling_is_compression.audio.containers.found import Found, missing_chunk
from language_modeling_is_compression.audio.containers.wave_format import EXTENSIBLE_BYTES, parse_format
from language_modeling_is_compression.audio.containers.window import Window
from language_modeling_is_compression.audio.info import ContainerKind

RIFF_GUID = bytes.fromhex('726966662e91cf11a5d628db04c10000')
WAVE_GUID = bytes.fromhex('77617665f3acd3118cd100c04f8edb8a')
FORMAT_GUID = b'fmt ' + WAVE_GUID[4:]
DATA_GUID = b'data' + WAVE_GUID[4:]
HEADER_BYTES = 24
_FILE_BYTES = HEADER_BYTES + len(WAVE_GUID)


def is_w64(head: bytes) -> bool:
  """Whether bytes begin a Wave64 file."""
  return head.startswith(RIFF_GUID) and head[HEADER_BYTES:_FILE_BYTES] == WAVE_GUID


def parse_w64(window: Window, base: int) -> Found:
  """Samples of the first `data` chunk, to the end of the file where its size runs beyond it or is less than a header's.

  base: offset of the file's header. Raises AudioFormatError, which does not name the file.
  """
  fields: bytes | None = None
  span: tuple[int, int] | None = None
  offset = base + _FILE_BYTES
  while fields is None or span is None:
    header = window.read(offset, HEADER_BYTES)
    if len(header) < HEADER_BYTES or not window.take_chunk():
      raise missing_chunk('fmt ' if fields is None else 'data')
    chunk_id, size = header[:16], int.from_bytes(header[16:], 'little')
    body = offset + HEADER_BYTES
    if chunk_id == FORMAT_GUID and fields is None:
      fields = window.read(body, min(max(size - HEADER_BYTES, 0), EXTENSIBLE_BYTES))
    elif chunk_id == DATA_GUID and span is None:
      # Programs that write to pipes leave 0, the header's own size or all ones.
      is_known = HEADER_BYTES < size <= window.file_bytes - offset
      span = body, size - HEADER_BYTES if is_known or _is_empty(window, body, size) else window.file_bytes - body
    offset += max(size + -size % 8, HEADER_BYTES)
  return Found(container=ContainerKind.W64, pcm=parse_format(fields, 'little', span[1]), spans=[span])


def _is_empty(window: Window, body: int, size: int) -> bool:
  """Whether a `data` chunk of a header's size has no samples: another chunk or the file's end follows."""
  follows = window.read(body, HEADER_BYTES)
  return size == HEADER_BYTES and (not follows or follows[4:16] == WAVE_GUID[4:])
