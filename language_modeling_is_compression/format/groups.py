"""Bodies of a segment's groups of channels, one after the other, each behind the number of its bytes."""

from collections.abc import Sequence

from language_modeling_is_compression.entropy.varints import NumberReader, write_number


def join_bodies(bodies: Sequence[bytes]) -> bytes:
  """The body of a segment."""
  return b''.join(write_number(len(body)) + body for body in bodies)


def split_body(body: bytes, count: int) -> list[bytes] | None:
  """Bodies of so many groups; None unless the segment's body has exactly these."""
  reader, bodies = NumberReader(body), []
  try:
    for _ in range(count):
      length = reader.read()
      start, reader.position = reader.position, reader.position + length
      if length < 0 or reader.position > len(body):
        return None
      bodies.append(body[start : reader.position])
  except ValueError:
    return None
  return bodies if reader.position == len(body) else None
