"""What is asked of the golden files of every version of the format."""

import functools
import io
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.errors import DamageError, FormatError
from language_modeling_is_compression.format.container import LZMA, Chunk, Container
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.layout import Layout
from language_modeling_is_compression.quantized.loading import load_coder
from support import lmic_cases

_SEGMENT = 'chunk 1 (all channels, 0.00 to 0.07 s) is damaged: '
_NOT_WHAT_WAS_ENCODED = _SEGMENT + 'what it decodes to is not what was encoded'
# What is said of the broken files that every version with segments has.
BROKEN_SEGMENTS = {
  'cut_in_the_segment': 'its end, with the table of chunks, is damaged or cut off; '
  'chunk 2 (bytes after the samples) is the first that is not there',
  'flipped_bit_in_a_body': _SEGMENT + 'its checksum is wrong',
  'flipped_bit_in_a_body_its_check_put_right': _NOT_WHAT_WAS_ENCODED,
  'flipped_bit_in_the_values_its_check_put_right': _NOT_WHAT_WAS_ENCODED,
  **dict.fromkeys(
    ('plain_head_of_another_length', 'unknown_effort', 'unknown_flag'),
    'its header contradicts itself: no program of this version wrote it',
  ),
}


@functools.cache
def coder(model: Path, layout: type[Layout] | None = None) -> ChunkCoder:
  return ChunkCoder(load_coder(str(model), 'cpu', layout))


def check_names(
  folder: Path,
  *,
  models: Iterable[str],
  originals: Iterable[str],
  written: Iterable[str],
  broken: Iterable[str],
  shared: Iterable[str] = (),
) -> None:
  """That a folder has these files and no others.

  written: what tells the .lmic files of one original apart. shared: originals that another folder has.
  """
  files = {f'{model}.npz' for model in models} | {f'{name}.original' for name in originals}
  files |= {f'{name}.{each}.lmic' for name, each in itertools.product([*originals, *shared], written)}
  files |= {f'broken_{name}.lmic' for name in broken}
  assert {path.name for path in folder.iterdir()} == files


def check_sound(original: bytes, data: bytes, by: ChunkCoder, level: SegmentSettings) -> None:
  """That today's file of an original has the chunks of sound that a golden one has, in whatever frame.

  What no model codes may have become smaller.
  """
  expected, found = _sound_chunks(data), _sound_chunks(lmic_cases.compressed(original, by, level))
  for one, other in zip(expected, found, strict=True):
    if one.method == LZMA:
      assert (other.method, other.crc32) == (LZMA, one.crc32) and len(other.body) <= len(one.body)
    else:
      assert other == one


def _sound_chunks(data: bytes) -> list[Chunk]:
  container = Container(io.BytesIO(data), len(data))
  header = container.header
  return [container.chunk(header.num_head_chunks + index) for index in range(header.num_audio_chunks)]


def check_broken(data: bytes, by: ChunkCoder, said: str) -> None:
  """That a file is refused with these words."""
  with pytest.raises(FormatError) as caught:
    lmic_cases.decompressed(data, by)
  assert str(caught.value) == said
  assert isinstance(caught.value, DamageError) == said.startswith('chunk')


def salvaged(data: bytes, by: ChunkCoder, said: str) -> bytes | None:
  """What is salvaged of a broken file, of which the same is said first; None if nothing can be."""
  target = io.BytesIO()
  try:
    container = Container(io.BytesIO(data), len(data))
  except FormatError as error:
    assert str(error) == said
    return None
  assert file_codec.salvage(container, target, by)[0] == said
  return target.getvalue()


def check_silence(found: bytes | None, original: bytes, num_bytes: int) -> None:
  """What was salvaged, if anything was, begins as the original does, and so many bytes of samples are silence."""
  if found is None:
    return
  start = original.index(b'data') + 8
  assert found[:start] == original[:start]
  assert not np.frombuffer(found[start : start + num_bytes], np.uint8).any()
