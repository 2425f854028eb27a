"""Files of samples, whatever container they are in: the one place that decides which parser a file has.

Headers alone are read. Recorders that crash, pipes and old programs leave headers that lie, so a size is taken as a
claim: the file's own length decides. Nothing is ever allocated by a claimed size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from language_modeling_is_compression.audio.containers.aiff import is_aiff, parse_aiff
from language_modeling_is_compression.audio.containers.au import is_au, parse_au
from language_modeling_is_compression.audio.containers.caf import is_caf, parse_caf
from language_modeling_is_compression.audio.containers.found import CONVERT, Found
from language_modeling_is_compression.audio.containers.riff import find_riff, is_riff, parse_riff
from language_modeling_is_compression.audio.containers.sphere import is_sphere, parse_sphere
from language_modeling_is_compression.audio.containers.w64 import is_w64, parse_w64
from language_modeling_is_compression.audio.containers.window import Window
from language_modeling_is_compression.audio.info import MAX_FRAME_BYTES, MAX_REGIONS, PcmInfo, Region
from language_modeling_is_compression.audio.kinds import HEAD_BYTES, audio_kind
from language_modeling_is_compression.audio.opening import opened
from language_modeling_is_compression.audio.tags import HEADER_BYTES, tag_bytes
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.system.text import printable

_Parser = Callable[[Window, int], Found]
_PARSERS: tuple[tuple[Callable[[bytes], bool], _Parser], ...] = (
  (is_riff, parse_riff),
  (is_aiff, parse_aiff),
  (is_caf, parse_caf),
  (is_w64, parse_w64),
  (is_au, parse_au),
  (is_sphere, parse_sphere),
)


def read_pcm_info(path: Path) -> PcmInfo:
  """Reads the headers of one file of samples, with a few small reads, however large the file is.

  RIFF, RF64, BW64, RIFX, AIFF, AIFF-C, CAF, W64, AU, NIST SPHERE; integers of 1 to 32 bits, floats of 16, 32 or 64,
  A-law, mu-law; tags of ID3v2 before all of these, and anything of less than 64 KiB before RIFF.

  Raises AudioFormatError, one line beginning with the path, if the file cannot be opened or read, is not a regular
  file, or is not such audio.
  """
  with opened(path, 'file of samples') as (file, file_bytes):
    return parse_info(file, file_bytes, path)


def parse_info(file: RawIOBase | BinaryIO, file_bytes: int, path: Path) -> PcmInfo:
  """As `read_pcm_info`, from an open file that can be seeked.

  file_bytes: no byte at or after it is looked at. path: what errors name.
  """
  try:
    found = _find(Window(file, file_bytes))
    # One byte has no order.
    pcm = replace(found.pcm, is_big_endian=False) if found.pcm.sample_bytes == 1 else found.pcm
    if pcm.frame_bytes > MAX_FRAME_BYTES:
      raise AudioFormatError(f'expected frames of at most {MAX_FRAME_BYTES} bytes, got {pcm.frame_bytes}: {CONVERT}.')
  except AudioFormatError as error:
    raise AudioFormatError(f'{_name(path)}: {error}') from None
  regions = [
    Region(min(offset, file_bytes), min(num_bytes, max(file_bytes - offset, 0)) // pcm.frame_bytes)
    for offset, num_bytes in found.spans
  ]
  kept = tuple(region for region in regions if region.num_frames)[:MAX_REGIONS] or (regions[0],)
  return PcmInfo(path=path, container=found.container, pcm=pcm, regions=kept, file_bytes=file_bytes)


def _find(window: Window) -> Found:
  """Raises AudioFormatError, without the file's name, if there are no samples."""
  head = window.read(0, HEAD_BYTES)
  begin = _after_tags(window)
  beginning = window.read(begin, HEAD_BYTES)
  for is_such, parse in _PARSERS:
    if is_such(beginning):
      return parse(window, begin)
  kind = audio_kind('', head)
  # Tags whose size is wrong may stand before RIFF as anything else may.
  if kind is None or not kind.is_compressed or tag_bytes(head):
    found = find_riff(window)
    if found is not None:
      return found
  got = 'an empty file' if not head else f'{beginning[:4]!r} and {beginning[8:12]!r}' if begin == 0 else 'tags alone'
  raise AudioFormatError(
    f'not a file of samples: expected WAV, RIFX, AIFF, CAF, W64, AU or NIST SPHERE, got {got}: {CONVERT}.'
  )


def _after_tags(window: Window) -> int:
  """Offset behind the tags that a file begins with; 0 if there are none."""
  offset = 0
  while (size := tag_bytes(window.read(offset, HEADER_BYTES))) and window.take_chunk():
    offset += size
  return offset


def _name(path: Path) -> str:
  return printable(str(path))
