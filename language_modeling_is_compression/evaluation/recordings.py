"""Recordings as an evaluation takes them: at a bit depth, as a whole file or as chunks of one channel's bytes.

Shapes: N frames, C channels.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.audio.frames import read_raw_frames
from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.pcm import patterns_from_raw
from language_modeling_is_compression.audio.reading import AudioInfo, read_frames
from language_modeling_is_compression.data.tokens import mix_down
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.system.files import scratch_folder

_FRAMES_AT_ONCE = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Recording:
  """name: relative to the folder evaluated, with forward slashes. domain: what it is summed up with.

  bit_depth: of the samples that compressors get, 8, 16 or 24: the top bits of the file's own; None: the file as it is,
  or if it is none that every compressor reads, such as FLAC or AIFF, a WAV file of the same samples.
  """

  name: str
  domain: str
  info: AudioInfo
  bit_depth: int | None

  @property
  def sample_bytes(self) -> int:
    """Bytes of a sample that is counted; floats count their own width in whole files, 24 bits in chunks.

    Companded samples count the 16 bits that they are expanded to, floats of 16 bits 32, since no other compressor takes
    fewer.
    """
    is_float = self.info.encoding == 'float'
    own_bits = 8 * max(4, self.info.sample_bytes) if is_float else self.info.resolution_bits
    return (self.bit_depth or own_bits) // 8

  @property
  def num_samples(self) -> int:
    return self.info.num_frames * self.info.num_channels

  def num_chunks(self, chunk_bytes: int) -> int:
    return -(-self.info.num_frames // self.chunk_frames(chunk_bytes))

  def chunk_frames(self, chunk_bytes: int) -> int:
    """Samples of one channel that fit a chunk, 1 at least."""
    return max(1, chunk_bytes // self.chunk_sample_bytes)

  @property
  def chunk_sample_bytes(self) -> int:
    return (self.bit_depth or self.info.resolution_bits) // 8


def check_depth(recording: Recording) -> None:
  """Raises AudioFormatError if a file has fewer bits than asked for."""
  bits = recording.info.resolution_bits
  if recording.bit_depth and recording.bit_depth > bits:
    raise AudioFormatError(f'{recording.name}: expected samples of {recording.bit_depth} bits or more, got {bits}')


@contextlib.contextmanager
def whole_file(recording: Recording) -> Iterator[Path]:
  """The file itself, or a temporary one with all its channels at the depth asked for. Raises AudioFormatError.

  Unless the file is a WAV file that programs read there is always a temporary one: what compressors get is sound, and
  not what another has made of it.
  """
  info, bit_depth = recording.info, recording.bit_depth or recording.info.resolution_bits
  as_it_is = recording.bit_depth is None or (info.encoding == 'int' and bit_depth == info.resolution_bits)
  if isinstance(info, PcmInfo) and info.is_plain_wav and as_it_is:
    yield info.path
    return
  floats = info if isinstance(info, PcmInfo) and info.encoding == 'float' and recording.bit_depth is None else None
  with scratch_folder() as folder:
    path = folder / 'reduced.wav'
    with open(path, 'wb') as file:
      header = wav_header(
        encoding='float' if floats else 'int',
        sample_bytes=recording.sample_bytes,
        num_channels=info.num_channels,
        sample_rate_hz=info.sample_rate_hz,
        num_frames=info.num_frames,
      )
      file.write(header)
      for start in range(0, info.num_frames, _FRAMES_AT_ONCE):
        stop = min(start + _FRAMES_AT_ONCE, info.num_frames)
        if floats:
          patterns = patterns_from_raw(read_raw_frames(floats, start, stop), floats.pcm)
          values = patterns.view(f'f{floats.sample_bytes}')
          file.write(values.astype(f'<f{recording.sample_bytes}').tobytes())
        else:
          file.write(_pcm(read_frames(info, start, stop).reshape(-1), info.resolution_bits, bit_depth))
      if info.num_frames * info.num_channels * recording.sample_bytes % 2:
        file.write(b'\0')  # Chunks of a RIFF file begin at even places.
    yield path


def chunk_bytes_of(recording: Recording, index: int, chunk_bytes: int) -> bytes:
  """Chunk `index` of a recording mixed down to one channel, as a WAV of it would hold it. Raises AudioFormatError."""
  samples = chunk_samples(recording, index, chunk_bytes)
  return _pcm(samples, recording.info.resolution_bits, 8 * recording.chunk_sample_bytes)


def chunk_samples(recording: Recording, index: int, chunk_bytes: int) -> np.ndarray:
  """The samples that `chunk_bytes_of` takes the top bits of: signed, of the file's own resolution, int32 [N]."""
  frames = recording.chunk_frames(chunk_bytes)
  first = index * frames
  return mix_down(read_frames(recording.info, first, min(first + frames, recording.info.num_frames)))


def samples_of(chunk: bytes, sample_bytes: int) -> np.ndarray:
  """The samples of a chunk, of full scale 1: float64 [N]."""
  raw = np.frombuffer(chunk, np.uint8).reshape(-1, sample_bytes)
  wide = np.zeros((len(raw), 4), np.uint8)
  wide[:, 4 - sample_bytes :] = raw ^ 0x80 if sample_bytes == 1 else raw
  return wide.view('<i4')[:, 0] / 2.0**31


def spread_chunks(counts: Sequence[int], limit: int) -> list[range | list[int]]:
  """Indices of the chunks of each file that are taken: all, or as many as the limit says, evenly spread over all."""
  total = sum(counts)
  if total <= limit:
    return [range(count) for count in counts]
  chosen = np.arange(limit) * total // limit
  ends = np.cumsum(counts)
  return [
    (chosen[(chosen >= end - count) & (chosen < end)] - (end - count)).tolist()
    for count, end in zip(counts, ends.tolist(), strict=True)
  ]


def _pcm(samples: np.ndarray, from_bits: int, to_bits: int) -> bytes:
  """The top bits of signed samples, little-endian; 8 bits unsigned, wider ones signed."""
  shifted = samples >> (from_bits - to_bits)
  if to_bits == 8:
    return (shifted + 128).astype(np.uint8).tobytes()
  return shifted.astype('<i4').view(np.uint8).reshape(-1, 4)[:, : to_bits // 8].tobytes()
