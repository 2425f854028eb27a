"""Measurements and compressors made up for tests, with numbers to compute with by hand."""

from language_modeling_is_compression.evaluation.statistics.measurements import WHOLE, CompressorInfo, Measurement


def compressor(name: str, parameters_bytes: int = 0) -> CompressorInfo:
  return CompressorInfo(
    name=name, is_model=parameters_bytes > 0, version='1.0', settings=f'{name} -9', parameters_bytes=parameters_bytes
  )


def measured(name: str, file: str, raw_bytes: int, compressed_bytes: int | None, **fields) -> Measurement:
  """16-bit samples of 1000 frames a second, one channel, encoded in 1 s, decoded in 2 s; the folder is the domain."""
  defaults = {
    'domain': file.partition('/')[0],
    'protocol': WHOLE,
    'num_samples': raw_bytes // 2,
    'audio_seconds': raw_bytes / 2000,
    'num_chunks': 1,
    'header_bytes': 0,
    'encode_seconds': 1.0,
    'decode_seconds': 2.0,
    'code_length_bits': None,
    'by_position': (),
    'fallback': None,
    'error': None,
  }
  sizes = {'raw_bytes': raw_bytes, 'compressed_bytes': compressed_bytes}
  return Measurement(compressor=name, file=file, **{**defaults, **sizes, **fields})


def failed(name: str, file: str, reason: str = 'exit code 1') -> Measurement:
  return measured(name, file, 0, 0, num_chunks=0, encode_seconds=0.0, decode_seconds=0.0, error=reason)
