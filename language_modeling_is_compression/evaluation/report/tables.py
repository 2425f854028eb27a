"""Results as text for a terminal: per protocol a table of all files, what may be chance in it, and rates by domain."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence

from language_modeling_is_compression.evaluation.report.text import NONE, decimals, percent, shares, speed
from language_modeling_is_compression.evaluation.statistics.summary import DOMAIN, MEAN, Comparison, Summary, best_first
from language_modeling_is_compression.system.text import printable

WIDTH = 120
_LONGEST_NAME, _SHORTEST_LIMIT = 28, 16
_GAP = '  '
_HEADER = (
  'rate %', '95% interval', 'code len %', 'fell back %', 'bits/sample', 'adjusted %', 'encode ×', 'decode ×', 'files',
)  # fmt: skip
_FALLBACK_NOTE = (
  'fell back %: of chunks / of bytes of sound, those that `lmic compress` writes without the model, since that is '
  'smaller; the rate is of the model alone'
)


def table(summaries: Sequence[Summary], comparisons: Sequence[Comparison], missing: Mapping[str, str]) -> str:
  """Lines of at most 120 columns. missing: why compressors that were asked for could not run, by name."""
  parts = []
  for protocol in sorted({summary.protocol for summary in summaries}):
    ours = [summary for summary in summaries if summary.protocol == protocol]
    pairs = [each for each in comparisons if each.protocol == protocol]
    parts += [_all_files(protocol, ours, missing), _chance(ours, pairs), _by_domain(protocol, ours)]
  return '\n\n'.join(part for part in parts if part)


def _all_files(protocol: str, summaries: Sequence[Summary], missing: Mapping[str, str]) -> str:
  figures = {each.compressor: _figures(each) for each in best_first(summaries)}
  taken = sum(len(_GAP) + max(map(len, column)) for column in zip(_HEADER, *figures.values(), strict=True))
  limit = min(_LONGEST_NAME, max(_SHORTEST_LIMIT, WIDTH - taken))
  rows = [[printable(name, limit), *cells] for name, cells in figures.items()]
  width = max(len(printable(name, limit)) for name in (*figures, *missing))
  absent = [
    textwrap.fill(
      printable(reason),
      WIDTH,
      initial_indent=f'{printable(name, limit):<{width}}{_GAP}not measured: ',
      subsequent_indent=' ' * width + _GAP,
    )
    for name, reason in missing.items()
  ]
  title = f'{protocol}: compressed bytes in % of the samples’, all files; speeds in × real time'
  notes = [textwrap.fill(_FALLBACK_NOTE, WIDTH)] if any(each.fallback_chunk_share for each in summaries) else []
  return '\n'.join([title, *_aligned([['', *_HEADER], *rows], first_width=width), *absent, *notes])


def _figures(summary: Summary) -> list[str]:
  interval = summary.interval
  return [
    percent(summary.compression_rate),
    f'{percent(interval.low)} to {percent(interval.high)}' if interval else NONE,
    percent(summary.code_length_rate),
    shares(summary.fallback_chunk_share, summary.fallback_byte_share),
    decimals(summary.bits_per_sample, 3),
    percent(summary.adjusted_rate),
    speed(summary.encode_speed),
    speed(summary.decode_speed),
    f'{summary.num_files} of {summary.num_files + summary.num_failed}'
    if summary.num_failed
    else str(summary.num_files),
  ]


def _chance(summaries: Sequence[Summary], comparisons: Sequence[Comparison]) -> str:
  """Neighbours in the table whose order these files do not settle."""
  alike = {frozenset((each.first, each.second)) for each in comparisons if each.differs is False}
  names = [each.compressor for each in best_first(summaries)]
  pairs = [
    f'{printable(one)} and {printable(other)}'
    for one, other in itertools.pairwise(names)
    if frozenset((one, other)) in alike
  ]
  if not pairs:
    return ''
  return textwrap.fill(f'May be chance (the interval of the difference has 0 in it): {"; ".join(pairs)}.', WIDTH)


def _by_domain(protocol: str, summaries: Sequence[Summary]) -> str:
  """Compressors are rows, or columns if only that fits, or rows of several tables if nothing does."""
  domains = sorted({summary.domain for summary in summaries if summary.scope == DOMAIN})
  if len(domains) < 2:
    return ''
  cells = {
    (each.compressor, each.domain): percent(each.compression_rate) + ('*' if each.num_failed else '')
    for each in summaries
    if each.scope in (DOMAIN, MEAN)
  }
  compressors = [each.compressor for each in best_first(summaries)]
  names = {'': 'mean', **{name: _short(name) for name in (*domains, *compressors)}}
  scopes = [*domains, '']
  rows = [['', *(names[scope] for scope in scopes)]]
  rows += [[names[name], *(cells.get((name, scope), NONE) for scope in scopes)] for name in compressors]
  columns = list(map(list, zip(*rows, strict=True)))
  chosen = columns if not _fits(rows) and _fits(columns) else rows
  notes = ['* without the files that it failed on'] if any(each.num_failed for each in summaries) else []
  return '\n'.join([f'{protocol}: rates in % by domain', *_aligned(chosen), *notes])


def _fits(rows: Sequence[Sequence[str]]) -> bool:
  return len(_aligned(rows)) == len(rows)


def _aligned(rows: Sequence[Sequence[str]], first_width: int = 0) -> list[str]:
  """Lines of a table whose first column is of names; columns that do not fit go below the others, names repeated."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  widths[0] = max(widths[0], first_width)
  blocks: list[list[int]] = [[]]
  for column in range(1, len(widths)):
    used = sum(len(_GAP) + widths[other] for other in blocks[-1])
    if blocks[-1] and widths[0] + used + len(_GAP) + widths[column] > WIDTH:
      blocks.append([])
    blocks[-1].append(column)
  return [
    _GAP.join([f'{row[0]:<{widths[0]}}', *(f'{row[column]:>{widths[column]}}' for column in block)])
    for block in blocks
    for row in rows
  ]


def _short(name: str) -> str:
  return printable(name, _LONGEST_NAME)
