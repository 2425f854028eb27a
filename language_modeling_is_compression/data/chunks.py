"""Files as one long list of chunks of tokens, which is never in memory.

A stream is one file's samples in the order that the model reads them: mixed down to mono, or its channels in
alternating blocks. A chunk is a span of a stream; only the last chunk of a stream is shorter than the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.wav import WavInfo, read_frames
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.data import tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
  """Samples first:last of the stream that a file makes."""

  info: WavInfo
  first: int
  last: int

  @property
  def num_samples(self) -> int:
    return self.last - self.first


def whole_stream(info: WavInfo, config: DataConfig) -> Stream:
  """All samples of a file: its frames when mixed down, its frames times its channels when laid out in blocks."""
  num_streams = info.num_channels if config.channels == 'stereo' else 1
  return Stream(info=info, first=0, last=info.num_frames * num_streams)


def split_stream(stream: Stream, valid_fraction: float) -> tuple[Stream, Stream]:
  """Splits in time, for training and validation: the last valid_fraction is held out.

  Of two samples or more each side has at least one; a single sample is for training.
  """
  held_out = (
    min(max(1, round(stream.num_samples * valid_fraction)), stream.num_samples - 1) if stream.num_samples else 0
  )
  middle = stream.last - held_out
  return (
    Stream(info=stream.info, first=stream.first, last=middle),
    Stream(info=stream.info, first=middle, last=stream.last),
  )


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

  def path(self, index: int) -> Path:
    """The file that a chunk is of. Raises IndexError."""
    if not 0 <= index < self._length:
      raise IndexError(f'chunk {index} of {self._length}')
    chunk = index * self.num_available // self._length
    return self._streams[int(np.searchsorted(self._ends, chunk, side='right'))].info.path

  def limited(self, limit: int) -> 'Chunks':
    """At most `limit` of the chunks, evenly spread."""
    return Chunks(self._streams, self.config, min(limit, self._length))

  def __getitem__(self, index: int) -> np.ndarray:
    """Reads one chunk: tokens [n * tokens_per_sample] of its n samples, uint8 or (vocabulary of 65,536) uint16.

    Raises IndexError outside of 0 <= index < len(self), AudioFormatError if the file can no longer be read.
    """
    if not 0 <= index < self._length:
      raise IndexError(f'chunk {index} of {self._length}')
    chunk = index * self.num_available // self._length
    file = int(np.searchsorted(self._ends, chunk, side='right'))
    stream = self._streams[file]
    before = int(self._ends[file - 1]) if file else 0
    start = stream.first + (chunk - before) * self.config.chunk_size
    return read_tokens(stream.info, start, min(start + self.config.chunk_size, stream.last), self.config)


def read_tokens(info: WavInfo, start: int, stop: int, config: DataConfig) -> np.ndarray:
  """Tokens of samples start:stop of a file's stream: uint8 or uint16 [(stop - start) * tokens_per_sample].

  The rules, all exact: read frames as integers; mix down or lay out in blocks at the source's resolution; then take the
  top bits (or mu-law); then bytes, high byte first.
  """
  if config.channels == 'mono':
    samples = tokens.mix_down(read_frames(info, start, stop))
  else:
    block = config.stereo_blocking_n
    first, last, offset = tokens.interleaved_span(start, stop, info.num_frames, info.num_channels, block)
    samples = tokens.interleave_blocks(read_frames(info, first, last), block)[offset : offset + stop - start]
  return tokens_of(samples, info.resolution_bits, config)


def tokens_of(samples: np.ndarray, from_bits: int, config: DataConfig) -> np.ndarray:
  """Tokens of one stream's signed samples [N] of from_bits bits: uint8 or uint16 [N * tokens_per_sample]."""
  if config.quantization == 'mu-law':
    return tokens.mu_law(samples, from_bits)
  unsigned = tokens.reduce_depth(samples, from_bits, config.sample_bits)
  if config.tokenization == 'sample':
    return unsigned.astype(np.uint16 if config.use_16bit else np.uint8)
  return tokens.bytes_from_samples(unsigned, config.tokens_per_sample)
