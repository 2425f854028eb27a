"""Frames of .lmic files: how headers and records stand in bytes. docs/FORMAT.md has every byte.

Versions 1 to 4 have the fixed frame, which is only read; from version 5 on the frame is compact.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from language_modeling_is_compression.format.header import Header

Read = Callable[[int, int], bytes]  # (position, count) -> bytes of the file, fewer at its end.

KEY_BYTES = 8


class Record(NamedTuple):
  """What stands before a chunk's body, but for its check. number: of the chunk, or None if it does not stand there."""

  number: int | None
  method: int
  body_bytes: int
  crc32: int


class Frame(ABC):
  """One way to write headers and records. record_bytes: of a record, with its check."""

  record_bytes: ClassVar[int]

  @abstractmethod
  def header_at(self, read: Read, position: int) -> bytes | None:
    """The bytes of the header at a position if there is one whose check is right, of whatever version."""

  @abstractmethod
  def parse(self, header: bytes) -> Header:
    """Fields of a header whose check is right. Raises FormatError if they contradict each other."""

  @abstractmethod
  def key(self, header: bytes) -> bytes:
    """Key that ties a file's checks to its header."""

  @abstractmethod
  def parse_record(self, record: bytes) -> Record:
    """Fields of a record."""

  @abstractmethod
  def is_sound(self, key: bytes, index: int, record: bytes, body: bytes) -> bool:
    """Whether a record's check says that it belongs to this file, number and body."""

  @abstractmethod
  def has_table(self, header: Header) -> bool:
    """Whether the footer has a table of the chunks and a copy of the header."""


def digest(key: bytes, *parts: bytes) -> bytes:
  """KEY_BYTES bytes of BLAKE2b, which checks are made of."""
  hashed = hashlib.blake2b(digest_size=KEY_BYTES, key=key)
  for part in parts:
    hashed.update(part)
  return hashed.digest()
