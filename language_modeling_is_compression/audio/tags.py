"""Tags of ID3v2, which may stand before any container ("Main Structure", version 2.4.0)."""

HEADER_BYTES = 10  # Of a tag's header, and of its footer.
_MARK = b'ID3'
_HAS_FOOTER = 0x10


def tag_bytes(header: bytes) -> int:
  """Bytes of a tag, by its first HEADER_BYTES as it claims; 0 for what is no tag."""
  if len(header) < HEADER_BYTES or not header.startswith(_MARK):
    return 0
  size = 0
  for byte in header[6:HEADER_BYTES]:
    size = size << 7 | byte & 0x7F
  return HEADER_BYTES + size + (HEADER_BYTES if header[5] & _HAS_FOOTER else 0)
