"""`lmic info`: what .lmic files hold, without decoding them."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.cli import options
from language_modeling_is_compression.cli.jobs import each_file
from language_modeling_is_compression.cli.selection import find_sources
from language_modeling_is_compression.format.container import Container, count_fallbacks
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.layout import LinearLayout, SegmentLayout
from language_modeling_is_compression.system.files import input_file
from language_modeling_is_compression.system.text import printable


def list_files(chosen: options.Info) -> int:
  """Prints what files hold. Returns 0, or 1 if one of them cannot be read or is damaged."""
  listed: list[dict[str, Any]] = []

  def list_one(source: str) -> None:
    with opened(source) as (container, _):
      listed.append({'file': source, **_facts_of(container)})

  code = each_file(find_sources(chosen.selection, compressed=True).names, list_one)
  if chosen.json:
    print(json.dumps(listed, indent=2))
  elif listed:
    _print_table(listed)
  return code if all(facts['problems'] == [] for facts in listed) else 1


@contextlib.contextmanager
def opened(source: str) -> Iterator[tuple[Container, os.stat_result]]:
  """Opens a .lmic file; yields it with its status."""
  with input_file(source) as path, open(path, 'rb') as file:
    before = os.fstat(file.fileno())
    yield Container(file, before.st_size), before


def _facts_of(container: Container) -> dict[str, Any]:
  """Facts of a file, without decoding it, as plain JSON values."""
  header = container.header
  pcm = header.pcm
  samples = header.num_frames * pcm.num_channels
  segmented = isinstance(header.layout, SegmentLayout)
  return {
    'format_version': header.format_version,
    'compressed_bytes': container.file_bytes,
    'original_bytes': header.original_bytes,
    'chunks': header.num_chunks,
    'fallback_chunks': _fallback_chunks(container),
    'samples': _samples_name(pcm),
    'container': header.container if pcm.num_channels else None,
    'channels': pcm.num_channels,
    'sample_rate_hz': pcm.sample_rate_hz,
    'frames': header.num_frames,
    'seconds': header.num_frames / pcm.sample_rate_hz if pcm.sample_rate_hz else None,
    'bits_per_sample': 8 * container.file_bytes / samples if samples else None,
    'segment_seconds': header.chunk_frames / pcm.sample_rate_hz if segmented and pcm.sample_rate_hz else None,
    'effort': header.layout.effort if segmented else None,
    'model_kind': _model_kind(header),
    'model': header.model_id.hex() if any(header.model_id) else None,
    'sha256': container.sha256.hex() if container.sha256 else None,
    'problems': container.problems,
  }


def _samples_name(pcm: PcmFormat) -> str:
  """What samples are, for people and programs: 'int16', 'float32', 'mu-law', or 'bytes' for a file without samples."""
  names = {SampleKind.NONE: 'bytes', SampleKind.A_LAW: 'a-law', SampleKind.MU_LAW: 'mu-law'}
  kind = 'float' if pcm.kind == SampleKind.FLOAT else 'int'
  return names.get(pcm.kind, f'{kind}{8 * pcm.sample_bytes}')


def _fallback_chunks(container: Container) -> int | None:
  """Chunks of sound that are coded without the file's model; None if it has none."""
  if not any(container.header.model_id):
    return None
  return count_fallbacks(container.header, map(container.method, range(container.num_found)))


def _model_kind(header: Header) -> str | None:
  if not any(header.model_id):
    return None
  if isinstance(header.layout, LinearLayout):
    return 'linear'
  return 'hybrid' if isinstance(header.layout, SegmentLayout) else 'bytes'


def _print_table(listed: Sequence[dict[str, Any]]) -> None:
  """A line for each file, and one for all if there are several; listed: `facts_of`, and 'file', its name."""
  print(
    f'{"chunks":>7} {"fell back":>9} {"compressed":>14} {"original":>14} {"rate":>7} {"bits/sample":>11} '
    f'{"format":>17} {"length":>10} {"version":>7} {"segment":>9} {"effort":>6} {"kind":<6} {"model":<8}  file'
  )
  for facts in listed:
    shape = f'{facts["sample_rate_hz"]} Hz {facts["samples"]}x{facts["channels"]}' if facts['channels'] else 'bytes'
    length, segment = ('' if facts[name] is None else f'{facts[name]:.1f} s' for name in ('seconds', 'segment_seconds'))
    effort = '' if facts['effort'] is None else facts['effort']
    print(
      f'{_sizes(facts)} {shape:>17} {length:>10} {facts["format_version"]:>7} {segment:>9} {effort:>6} '
      f'{facts["model_kind"] or "none":<6} {(facts["model"] or "none")[:8]:<8}  {printable(facts["file"])}'
    )
    for problem in facts['problems']:
      print(f'        {printable(problem)}')
  if len(listed) > 1:
    print(f'{_sizes(_totals(listed))} {f"{len(listed):,} files":>17}')


def _totals(listed: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """Sums over files; None where one has no such figure, since the others' would be taken for all."""
  names = ('chunks', 'fallback_chunks', 'compressed_bytes', 'original_bytes')
  samples = [facts['frames'] * facts['channels'] for facts in listed]
  totals: dict[str, Any] = {name: _sum([facts[name] for facts in listed]) for name in names}
  totals['bits_per_sample'] = 8 * totals['compressed_bytes'] / sum(samples) if all(samples) else None
  return totals


def _sum(values: Sequence[int | None]) -> int | None:
  known = [value for value in values if value is not None]
  return sum(known) if len(known) == len(values) else None


def _sizes(facts: dict[str, Any]) -> str:
  """The columns that have a total."""
  fallbacks = '' if facts['fallback_chunks'] is None else f'{facts["fallback_chunks"]:,}'
  rate = f'{facts["compressed_bytes"] / facts["original_bytes"]:.1%}' if facts['original_bytes'] else ''
  bits = '' if facts['bits_per_sample'] is None else f'{facts["bits_per_sample"]:.3f}'
  return (
    f'{facts["chunks"]:>7,} {fallbacks:>9} {facts["compressed_bytes"]:>14,} {facts["original_bytes"]:>14,} '
    f'{rate:>7} {bits:>11}'
  )
