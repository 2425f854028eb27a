"""Measurements: one compressor, on one file, under one protocol."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WHOLE, CHUNKED = 'whole', 'chunked'


@dataclass(frozen=True, kw_only=True)
class CompressorInfo:
  """A compressor as results name it.

  version: of its program or library, or the identity of its model. parameters_bytes: of what decoding needs beside the
  program, the model file; 0 for a classical compressor. settings: the command line, or the call, for people.
  """

  name: str
  is_model: bool
  version: str
  settings: str
  parameters_bytes: int


@dataclass(frozen=True, kw_only=True)
class Span:
  """Samples of chunks at positions from begin on, up to the next span's: how many they were, and what they cost."""

  begin: int
  num_samples: int
  bits: float


def spans_of(by_chunk: Sequence[np.ndarray]) -> tuple[Span, ...]:
  """Sums over all chunks at positions 0, 1, 2 to 3, 4 to 7 and so on. by_chunk: bits of each sample, [N] each."""
  longest = max((len(bits) for bits in by_chunk), default=0)
  edges = [0, *(1 << power for power in range(longest.bit_length()) if 1 << power < longest), longest]
  return tuple(
    Span(
      begin=begin,
      num_samples=sum(len(bits[begin:end]) for bits in by_chunk),
      bits=math.fsum(value for bits in by_chunk for value in bits[begin:end]),
    )
    for begin, end in itertools.pairwise(edges)
    if end > begin
  )


@dataclass(frozen=True, kw_only=True)
class Fallback:
  """Fallback of `lmic compress` where its model is not the smallest: LZMA, or the bytes as they are.

  sound_chunks: the chunks of a .lmic file that hold samples. fallback_chunks, fallback_bytes: of these, the chunks that
  the model does not code, and the bytes of their samples. lmic_bytes: all that `lmic compress` writes.
  """

  sound_chunks: int
  fallback_chunks: int
  fallback_bytes: int
  lmic_bytes: int


def sum_fallbacks(fallbacks: Sequence[Fallback]) -> Fallback:
  return Fallback(
    sound_chunks=sum(each.sound_chunks for each in fallbacks),
    fallback_chunks=sum(each.fallback_chunks for each in fallbacks),
    fallback_bytes=sum(each.fallback_bytes for each in fallbacks),
    lmic_bytes=sum(each.lmic_bytes for each in fallbacks),
  )


@dataclass(frozen=True, kw_only=True)
class Measurement:
  """file: relative to the folder evaluated, with forward slashes. domain: the folder it belongs to.

  num_samples: values of all channels. raw_bytes: of the samples, without header. compressed_bytes: every byte that came
  out, headers included, all chunks together; None for a model that cannot code files. num_chunks: 1 for a whole file.
  header_bytes: what the compressor writes for next to nothing, the same for every chunk; 0 for a whole file. Seconds
  are those of the compressor alone.
  code_length_bits: sum of -log2 p, for models only. by_position: for models on chunks only, else ().
  fallback: of models that code files, else None. error: why there is no result (then all figures but the first four are
  0), or None.
  """

  file: str
  domain: str
  protocol: str
  compressor: str
  num_samples: int
  audio_seconds: float
  raw_bytes: int
  compressed_bytes: int | None
  num_chunks: int
  header_bytes: int
  encode_seconds: float
  decode_seconds: float
  code_length_bits: float | None
  by_position: tuple[Span, ...]
  fallback: Fallback | None
  error: str | None


@dataclass(frozen=True, kw_only=True)
class Trace:
  """One file over time, in columns: for a picture of its waveform over what its samples cost.

  seconds: each column's beginning. low, high: its smallest and largest sample, of full scale 1. bits: per sample, by
  compressor.
  """

  file: str
  seconds: tuple[float, ...]
  low: tuple[float, ...]
  high: tuple[float, ...]
  bits: dict[str, tuple[float, ...]]
