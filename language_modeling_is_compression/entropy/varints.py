"""Whole numbers as bytes: seven bits in each, the lowest first, the eighth bit set in all but the last."""


def write_number(value: int) -> bytes:
  """value: any integer; those below 0 stand between the others: 0, -1, 1, -2, ..."""
  return write_natural(2 * value if value >= 0 else -2 * value - 1)


def write_natural(value: int) -> bytes:
  """value: at least 0."""
  rest = value
  out = bytearray()
  while rest >= 128:
    out.append(rest & 127 | 128)
    rest >>= 7
  out.append(rest)
  return bytes(out)


class NumberReader:
  """Reads numbers from the beginning of bytes. Raises ValueError where none is, or one of more than 64 bits."""

  def __init__(self, data: bytes):
    self._data = data
    self.position = 0

  def read(self) -> int:
    """What `write_number` wrote."""
    value = self.read_natural()
    return value // 2 if value % 2 == 0 else -(value + 1) // 2

  def read_natural(self) -> int:
    """What `write_natural` wrote."""
    value = 0
    for shift in range(0, 64, 7):
      if self.position >= len(self._data):
        break
      byte = self._data[self.position]
      self.position += 1
      value |= (byte & 127) << shift
      if value >> 64:
        break
      if byte < 128:
        return value
    raise ValueError('no number')
