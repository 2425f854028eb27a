"""Files as one long list of chunks of tokens, which is never in memory.

A stream is one file's samples in the order that the model reads them: mixed down to mono, or its channels in
alternating blocks. A chunk is a span of a stream; only the last chunk of a stream is shorter than the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from language_modeling_is_compression.audio.reading import AudioInfo, read_frames
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.data import tokens
from language_modeling_is_compression.data.augmentation import Change


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
  """Samples first:last of the stream that a file makes. domain: what its figures are summed up with."""

  info: AudioInfo
  first: int
  last: int
  domain: str = ''

  @property
  def num_samples(self) -> int:
    return self.last - self.first


def whole_stream(info: AudioInfo, config: DataConfig, domain: str = '', first_frame: int = 0) -> Stream:
  """All samples of a file: its frames when mixed down, its frames times its channels when laid out in blocks.

  first_frame: leave out those before it, and in blocks all up to the next whole block.
  """
  stereo = config.channels == 'stereo'
  num_streams = info.num_channels if stereo else 1
  first = min(_whole_blocks(first_frame, config.stereo_blocking_n) if stereo else first_frame, info.num_frames)
  return Stream(info=info, first=first * num_streams, last=info.num_frames * num_streams, domain=domain)


def _whole_blocks(frames: int, block: int) -> int:
  return -(-frames // block) * block


def split_stream(stream: Stream, valid_fraction: float) -> tuple[Stream, Stream]:
  """Splits in time, for training and validation: the last valid_fraction is held out.

  Of two samples or more each side has at least one; a single sample is for training.
  """
  held_out = (
    min(max(1, round(stream.num_samples * valid_fraction)), stream.num_samples - 1) if stream.num_samples else 0
  )
  middle = stream.last - held_out
  return replace(stream, last=middle), replace(stream, first=middle)


class Chunks:
  """A sequence of chunks over many streams: it holds the headers of the files and one integer per file.

  limit: use at most so many chunks, evenly spread over all of them.
  """

  def __init__(self, streams: Sequence[Stream], config: DataConfig, limit: int | None = None):
    self.config = config
    self._streams = [stream for stream in streams if stream.num_samples]
    counts = [-(-stream.num_samples // config.chunk_size) for stream in self._streams]
    self._ends = np.cumsum(counts, dtype=np.int64)  # Chunks of the streams up to and including each.
    self.num_available = int(self._ends[-1]) if counts else 0
    self._length = self.num_available if limit is None else min(limit, self.num_available)

  def __len__(self) -> int:
    return self._length

  @property
  def num_streams(self) -> int:
    return len(self._streams)

  @property
  def num_samples(self) -> int:
    """Samples of all streams, also of those chunks that the limit leaves out."""
    return sum(stream.num_samples for stream in self._streams)

  @property
  def max_tokens(self) -> int:
    """Tokens of the longest chunk: fewer than chunk_size asks for if no file is as long as that."""
    longest = max((stream.num_samples for stream in self._streams), default=0)
    return min(longest, self.config.chunk_size) * self.config.tokens_per_sample

  def limited(self, limit: int) -> 'Chunks':
    """At most `limit` of the chunks, evenly spread."""
    return Chunks(self._streams, self.config, min(limit, self._length))

  def by_domain(self) -> dict[str, np.ndarray]:
    """Indices of the chunks of each domain that has some, rising; domains by name."""
    names = sorted({stream.domain for stream in self._streams})
    numbers = {name: number for number, name in enumerate(names)}
    of_stream = np.array([numbers[stream.domain] for stream in self._streams], np.int64)
    of_chunk = of_stream[np.searchsorted(self._ends, self._places(np.arange(self._length)), side='right')]
    found = {name: np.flatnonzero(of_chunk == number) for name, number in numbers.items()}
    return {name: indices for name, indices in found.items() if len(indices)}

  def __getitem__(self, index: int) -> np.ndarray:
    """Reads one chunk: tokens [n * tokens_per_sample] of its n samples, uint8 or (vocabulary of 65,536) uint16.

    Raises as `changed`.
    """
    return self.changed(index, None)

  def changed(self, index: int, change: Change | None) -> np.ndarray:
    """One chunk as `__getitem__` reads it, of samples that are changed before they are reduced to tokens.

    Raises IndexError outside of 0 <= index < len(self), AudioFormatError if the file can no longer be read.
    """
    chunk, file = self._place(index)
    stream = self._streams[file]
    before = int(self._ends[file - 1]) if file else 0
    start = stream.first + (chunk - before) * self.config.chunk_size
    return read_tokens(stream.info, start, min(start + self.config.chunk_size, stream.last), self.config, change)

  def _places(self, index: Any) -> Any:
    """Places among all chunks that there are, of one index or several, below `len(self)`."""
    return index * self.num_available // max(1, self._length)

  def path(self, index: int) -> Path:
    """The file that a chunk is of. Raises IndexError."""
    return self._streams[self._place(index)[1]].info.path

  def _place(self, index: int) -> tuple[int, int]:
    """Number of a chunk among all that there are, and of its stream. Raises IndexError."""
    if not 0 <= index < self._length:
      raise IndexError(f'chunk {index} of {self._length}')
    chunk = self._places(index)
    return chunk, int(np.searchsorted(self._ends, chunk, side='right'))


def read_tokens(info: AudioInfo, start: int, stop: int, config: DataConfig, change: Change | None = None) -> np.ndarray:
  """Tokens of samples start:stop of a file's stream: uint8 or uint16 [(stop - start) * tokens_per_sample].

  The rules, all exact: read frames as integers; mix down or lay out in blocks at the source's resolution; change them,
  if that is asked for; then take the top bits (or mu-law); then bytes, high byte first.
  """
  samples = read_samples(info, start, stop, config)
  if change is not None:
    samples = change.apply(samples, info.resolution_bits)
  return tokens_of(samples, info.resolution_bits, config)


def read_samples(info: AudioInfo, start: int, stop: int, config: DataConfig) -> np.ndarray:
  """Samples start:stop of a file's stream, signed, of the file's own resolution: int32 [stop - start]."""
  if config.channels == 'mono':
    return tokens.mix_down(read_frames(info, start, stop))
  block = config.stereo_blocking_n
  first, last, offset = tokens.interleaved_span(start, stop, info.num_frames, info.num_channels, block)
  return tokens.interleave_blocks(read_frames(info, first, last), block)[offset : offset + stop - start]


def tokens_of(samples: np.ndarray, from_bits: int, config: DataConfig) -> np.ndarray:
  """Tokens of one stream's signed samples [N] of from_bits bits: uint8 or uint16 [N * tokens_per_sample]."""
  if config.quantization == 'mu-law':
    return tokens.mu_law(samples, from_bits)
  unsigned = tokens.reduce_depth(samples, from_bits, config.sample_bits)
  if config.tokenization == 'sample':
    return unsigned.astype(np.uint16 if config.use_16bit else np.uint8)
  return tokens.bytes_from_samples(unsigned, config.tokens_per_sample)
