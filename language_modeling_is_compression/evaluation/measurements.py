"""What an evaluation measures: one compressor, on one file, under one protocol."""

from dataclasses import dataclass

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


@dataclass(frozen=True, kw_only=True)
class Measurement:
  """file: relative to the folder evaluated, with forward slashes. domain: the folder it belongs to.

  num_samples: values of all channels. raw_bytes: of the samples, without header. compressed_bytes: every byte that came
  out, headers included, all chunks together. num_chunks: 1 for a whole file. header_bytes: what the compressor writes
  for next to nothing, the same for every chunk; 0 for a whole file. Seconds are those of the compressor alone.
  code_length_bits: sum of -log2 p, for models only. by_position: for models on chunks only, else ().
  error: why there is no result (then all figures but the first four are 0), or None.
  """

  file: str
  domain: str
  protocol: str
  compressor: str
  num_samples: int
  audio_seconds: float
  raw_bytes: int
  compressed_bytes: int
  num_chunks: int
  header_bytes: int
  encode_seconds: float
  decode_seconds: float
  code_length_bits: float | None
  by_position: tuple[Span, ...]
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
