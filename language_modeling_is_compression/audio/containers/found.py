"""What the parsers of containers have in common: their result, and what they say of files that they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import AudioFormatError

CONVERT = 'convert it, for example with `ffmpeg -i IN -c:a pcm_s16le OUT.wav`'
UNKNOWN_SIZE = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class Found:
  """Samples as a parser has found them.

  spans: (offset, bytes) of each piece in the file's order, within the file, and at most as long as its header says;
  a last frame of it may be cut off.
  """

  container: ContainerKind
  pcm: PcmFormat
  spans: Sequence[tuple[int, int]]


def integer_kind(sample_bytes: int, *, unsigned_bytes: bool) -> SampleKind:
  """Kind of integers of so many bytes. unsigned_bytes: whether those of one byte are unsigned, as in RIFF."""
  return SampleKind.UNSIGNED if unsigned_bytes and sample_bytes == 1 else SampleKind.SIGNED


def sample_bytes_of(frame_bytes: int, num_channels: int, bits: int) -> int | None:
  """Bytes of an integer of so many bits in frames of so many bytes; None where these contradict each other.

  Containers may be wider than their bits ask for, up to 4 bytes.
  """
  sample_bytes, rest = divmod(frame_bytes, num_channels)
  return None if rest or not least_bytes(bits) <= sample_bytes <= 4 else sample_bytes


def least_bytes(bits: int) -> int:
  return -(-bits // 8)


def check_channels(num_channels: int) -> None:
  """Raises AudioFormatError unless there are 1 to 65,535."""
  if not 1 <= num_channels <= 0xFFFF:
    raise AudioFormatError(f'expected 1 to 65,535 channels, got {num_channels}: the file is damaged; export it again.')


def check_bits(bits: int, encoding: str, widths: Sequence[int]) -> None:
  """Raises AudioFormatError unless samples have one of some numbers of bits, a range or a few. encoding: in words."""
  if bits not in widths:
    allowed = (
      f'{widths[0]} to {widths[-1]}'
      if isinstance(widths, range)
      else f'{", ".join(map(str, widths[:-1]))} or {widths[-1]}'
    )
    raise AudioFormatError(f'expected {encoding} samples of {allowed} bits, got {bits}: {CONVERT}.')


def missing_chunk(name: str) -> AudioFormatError:
  """Builds the error for a file without a chunk that it needs."""
  return AudioFormatError(
    f"expected a '{name}' chunk among the first chunks, found none: the file is damaged or cut off; export or copy it "
    'again.'
  )


def short_chunk(name: str, expected: int, got: int) -> AudioFormatError:
  """Builds the error for a chunk that is shorter than its fields."""
  return AudioFormatError(
    f"expected a '{name}' chunk of at least {expected} bytes, got {got}: the file is damaged; export it again."
  )
