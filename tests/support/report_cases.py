"""Results of an evaluation, made up but of a likely size: for what is drawn and written from them."""

import dataclasses
import itertools
import math
import random
from typing import Any

from language_modeling_is_compression.evaluation.report.results import Results
from language_modeling_is_compression.evaluation.statistics.measurements import (
  CHUNKED,
  WHOLE,
  CompressorInfo,
  Measurement,
  Span,
  Trace,
)
from language_modeling_is_compression.evaluation.statistics.summary import ONCE, compare, summarize
from support import evaluation_cases

MODEL, FLAC = 'default', 'flac -8'
# × real time of encoding and decoding, size by that of FLAC.
_COMPRESSORS = {
  'gzip -9': (55, 1600, 1.62),
  'bz2 -9': (60, 130, 1.38),
  'lzma -9e': (12, 90, 1.41),
  'zstd -19 --ultra': (9, 3900, 1.55),
  FLAC: (610, 1100, 1.0),
  'wavpack -hh -x6': (14, 520, 0.985),
  MODEL: (0.9, 0.8, 0.93),
}
# FLAC's rate, bytes of a sample.
_DOMAINS = {
  'speech16k': (0.47, 2),
  'speech8k': (0.55, 2),
  'music8k': (0.54, 2),
  'drums44k': (0.41, 2),
  'guitar44k_rs': (0.36, 2),
  'hires24_48k': (0.56, 3),
  'hires24_96k': (0.53, 3),
  'instruments44k': (0.33, 2),
  'music_midi44k': (0.5, 2),
}
_EDGES = (0, *(1 << power for power in range(11)))
_CHUNK_BYTES = 2048


def results(
  *, num_domains: int = 9, files_per_domain: int = 12, more_models: int = 0, protocols: tuple = (WHOLE, CHUNKED)
) -> Results:
  """Of seven compressors, the last one a model, and of more models; of nine domains, and more of the first's kind."""
  speeds = _COMPRESSORS | {f'model_{index}': (0.1 * 2**index, 2 + index, 0.9) for index in range(more_models)}
  infos = [_info(name) for name in speeds]
  domains = dict(list(_DOMAINS.items())[:num_domains])
  domains |= {f'domain_{index}': (0.5, 2) for index in range(len(domains), num_domains)}
  rng = random.Random(0)
  measurements = []
  for protocol, (domain, (flac, sample_bytes)) in itertools.product(protocols, domains.items()):
    for index in range(files_per_domain):
      raw_bytes = sample_bytes * rng.randrange(50_000, 80_000)
      cost = flac * rng.uniform(0.7, 1.15)
      for name, (encode, decode, factor) in speeds.items():
        size = int(raw_bytes * cost * factor * rng.uniform(0.95, 1.05))
        found = _measured(name, f'{domain}/recording_{index:03}.wav', raw_bytes, size, sample_bytes, protocol)
        seconds = {'encode_seconds': found.audio_seconds / encode, 'decode_seconds': found.audio_seconds / decode}
        measurements.append(dataclasses.replace(found, **seconds))
  return of_measurements(infos, measurements, traces=[trace()])


def of_measurements(infos: list[CompressorInfo], measurements: list[Measurement], **fields: Any) -> Results:
  """Results with these measurements, and with what follows from them."""
  files = {each.file: each.domain for each in measurements}
  defaults: dict[str, Any] = {
    'command_line': 'python evaluate_audio.py --audio_dir corpus --model_path default --output_dir evaluation',
    'created': '2026-11-21T18:00:00+00:00',
    'platform': {'system': 'Linux', 'machine': 'x86_64', 'cores': 2},
    'versions': {'python': '3.11.7', 'numpy': '2.3.5'},
    'settings': {},
    'missing': {},
    'files': [{'name': file, 'domain': domain} for file, domain in files.items()],
    'unreadable': {},
    'summaries': summarize(infos, measurements, count_headers=ONCE, seed=0),
    'comparisons': compare(infos, measurements, count_headers=ONCE, seed=0),
    'traces': [],
  }
  return Results(compressors=infos, measurements=measurements, **(defaults | fields))


def trace(num_columns: int = 400) -> Trace:
  """Four seconds that swell and fade."""
  rng = random.Random(2)
  loud = [abs(math.sin(column / 19)) * abs(math.sin(column / 67)) ** 0.5 for column in range(num_columns)]
  return Trace(
    file='speech16k/recording_007.wav',
    seconds=tuple(4 * column / num_columns for column in range(num_columns)),
    low=tuple(-0.7 * level * rng.uniform(0.7, 1) for level in loud),
    high=tuple(0.7 * level * rng.uniform(0.7, 1) for level in loud),
    bits={MODEL: tuple(2 + 7 * level + rng.uniform(-0.6, 0.6) for level in loud)},
  )


def _info(name: str) -> CompressorInfo:
  is_model = name == MODEL or name not in _COMPRESSORS
  return evaluation_cases.compressor(name, parameters_bytes=421_888 if is_model else 0)


def _measured(name: str, file: str, raw_bytes: int, size: int, sample_bytes: int, protocol: str) -> Measurement:
  fields: dict[str, Any] = {'protocol': protocol, 'num_samples': raw_bytes // sample_bytes}
  if protocol == CHUNKED:
    num_chunks = math.ceil(raw_bytes / _CHUNK_BYTES)
    fields |= {'num_chunks': num_chunks, 'header_bytes': 0 if name == MODEL else 20}
    if name == MODEL:
      fields['by_position'] = tuple(_span(begin, end, num_chunks) for begin, end in itertools.pairwise(_EDGES))
  return evaluation_cases.measured(name, file, raw_bytes, size, **fields)


def _span(begin: int, end: int, num_chunks: int) -> Span:
  samples = (end - begin) * num_chunks
  return Span(begin=begin, num_samples=samples, bits=samples * (6.6 + 5 / math.sqrt(begin + 1)))
