"""A segment's body taken apart into the numbers in its headers and its codes, to damage it where it matters."""

from collections.abc import Sequence
from typing import NamedTuple

from language_modeling_is_compression.entropy.varints import NumberReader, write_number
from language_modeling_is_compression.prediction.long_term import NUM_LAGS
from language_modeling_is_compression.prediction.state import GROUP_CHANNELS


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
