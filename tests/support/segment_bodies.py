"""A segment's body taken apart into the numbers in its headers and its codes, to damage it where it matters."""

from collections.abc import Sequence
from typing import NamedTuple

from language_modeling_is_compression.entropy.varints import NumberReader, write_natural, write_number
from language_modeling_is_compression.format.compact_side_information import read_header
from language_modeling_is_compression.format.payloads import SegmentShape
from language_modeling_is_compression.prediction.long_term import NUM_LAGS
from language_modeling_is_compression.prediction.state import GROUP_CHANNELS
from language_modeling_is_compression.prediction.value_map import ChannelValues


class Group(NamedTuple):
  """channels: the numbers in each channel's header, five or six. lags: those after them, how many changes there are
  first. code: what follows.
  """

  channels: list[list[int]]
  lags: list[int]
  code: bytes

  @property
  def header(self) -> bytes:
    return b''.join(write_number(number) for numbers in [*self.channels, self.lags] for number in numbers)


def groups_of(body: bytes, num_channels: int) -> list[Group]:
  """The groups of a sound body."""
  found = []
  reader = NumberReader(body)
  for first in range(0, num_channels, GROUP_CHANNELS):
    length = reader.read()
    end = reader.position + length
    channels = []
    for _ in range(min(GROUP_CHANNELS, num_channels - first)):
      numbers = [reader.read() for _ in range(5)]
      channels.append([*numbers, reader.read()] if numbers[-1] else numbers)
    found.append(Group(channels, _lags(reader), body[reader.position : end]))
    reader.position = end
  return found


def _lags(reader: NumberReader) -> list[int]:
  numbers = [reader.read()]
  for _ in range(numbers[0]):
    numbers.append(reader.read())
    for _ in range(NUM_LAGS):
      numbers.append(reader.read())
      if numbers[-1] == 0:
        break
  return numbers


def body_of(groups: Sequence[Group]) -> bytes:
  """What `groups_of` undoes; for groups that no encoder would write, too."""
  parts = [group.header + group.code for group in groups]
  return b''.join(write_number(len(part)) + part for part in parts)


class CompactGroup(NamedTuple):
  """A group of codings 5 and 6. side: its headers and lags, which say the values of channels. code: what follows."""

  side: bytes
  code: bytes
  channels: list[ChannelValues]

  def with_number(self, place: int, number: int) -> 'CompactGroup':
    """Another number in place of one of the side information's, at a place that wraps around."""
    reader, ends = NumberReader(self.side), [0]
    while reader.position < len(self.side):
      reader.read_natural()
      ends.append(reader.position)
    at = place % (len(ends) - 1)
    return self._replace(side=self.side[: ends[at]] + write_number(number) + self.side[ends[at + 1] :])


def compact_groups_of(body: bytes, num_channels: int, shape: SegmentShape) -> list[CompactGroup]:
  """The groups of a sound body of codings 5 and 6."""
  found, rest = [], body
  for first in range(0, num_channels, GROUP_CHANNELS):
    count, group, following = min(GROUP_CHANNELS, num_channels - first), rest, b''
    if first + count < num_channels:
      reader = NumberReader(rest)
      num_bytes = reader.read_natural()
      end = reader.position + num_bytes
      group, following = rest[reader.position : end], rest[end:]
    reader = NumberReader(group)
    header = read_header(reader, count, shape)
    assert header is not None, 'not a sound body'
    found.append(CompactGroup(group[: reader.position], group[reader.position :], header[0]))
    rest = following
  return found


def compact_body_of(groups: Sequence[CompactGroup]) -> bytes:
  """What `compact_groups_of` undoes."""
  parts = [group.side + group.code for group in groups]
  return b''.join(write_natural(len(part)) + part for part in parts[:-1]) + parts[-1]
