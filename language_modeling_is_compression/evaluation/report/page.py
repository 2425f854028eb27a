"""An evaluation's report: one HTML file with its tables and figures, which needs neither scripts nor a network."""

from collections.abc import Iterable, Sequence

from language_modeling_is_compression.evaluation.report.markup import (
  Picture,
  Table,
  figure_html,
  page_html,
  table_html,
  text_of,
)
from language_modeling_is_compression.evaluation.report.pictures import PROTOCOL_NAMES
from language_modeling_is_compression.evaluation.report.results import Results
from language_modeling_is_compression.evaluation.report.text import NONE, decimals, percent, shares, speed
from language_modeling_is_compression.evaluation.statistics.measurements import CompressorInfo, Measurement
from language_modeling_is_compression.evaluation.statistics.summary import DOMAIN, MEAN, Comparison, Summary, best_first

_MAX_ROWS = 100  # Failures that the page lists.
_FALLBACK_NOTE = (
  'The rate of a model is of the model alone. Fell back: the share of its chunks, and of the bytes in them, that lmic '
  'compress writes without the model, since that is smaller; the rate of lmic is what it reaches so.'
)


def report_html(results: Results, pictures: Sequence[Picture], *, title: str) -> str:
  """The whole page, in UTF-8."""
  machine = ', '.join(f'{name} {value}' for name, value in (*results.platform.items(), *results.versions.items()))
  parts = [
    f'<h1>{text_of(title)}</h1>',
    f'<p class="soft">{text_of(results.created)}; {text_of(_amount(results))}</p>',
    f'<pre>{text_of(results.command_line)}</pre>',
    f'<p class="soft">{text_of(machine)}</p>',
    '<p class="soft">Every number is defined in <code>docs/EVALUATION.md</code>; <code>results.json</code> beside this '
    'file has them all, file by file.</p>',
    *(table_html(table) for table in _rate_tables(results)),
    *(figure_html(picture) for picture in pictures),
    *(table_html(table) for table in (_compressor_table(results.compressors), *_gaps(results))),
  ]
  return page_html(title, parts)


def _amount(results: Results) -> str:
  return f'{_count(len(results.files), "file")} in {_count(len({file["domain"] for file in results.files}), "domain")}'


def _count(number: int, noun: str) -> str:
  return f'{number:,} {noun}{"" if number == 1 else "s"}'


def _rate_tables(results: Results) -> Iterable[Table]:
  for protocol, name in PROTOCOL_NAMES.items():
    summaries = [each for each in results.summaries if each.protocol == protocol]
    if summaries:
      yield _all_files(name, summaries)
    if len({each.domain for each in summaries if each.scope == DOMAIN}) > 1:
      yield _by_domain(name, summaries)
    comparisons = [each for each in results.comparisons if each.protocol == protocol]
    if comparisons:
      yield _pairs(name, comparisons)


def _all_files(protocol: str, summaries: Sequence[Summary]) -> Table:
  rows = [
    (
      each.compressor,
      percent(each.compression_rate),
      _interval(each),
      decimals(each.bits_per_sample, 3),
      decimals(each.compression_ratio, 3),
      percent(each.adjusted_rate),
      percent(each.code_length_rate),
      shares(each.fallback_chunk_share, each.fallback_byte_share),
      percent(each.lmic_rate),
      speed(each.encode_speed),
      speed(each.decode_speed),
      f'{each.num_files:,}',
      f'{each.num_failed:,}',
    )
    for each in best_first(summaries)
  ]
  headings = 'compressor|rate, %|95% interval|bits per sample|ratio|adjusted rate, %|code length, %'
  headings += '|fell back, % of chunks / bytes|rate of lmic, %'
  headings += '|encode, × real time|decode, × real time|files|failed'
  return Table(
    title=f'All files, {protocol}',
    headings=headings.split('|'),
    rows=rows,
    note=_FALLBACK_NOTE if any(each.fallback_chunk_share for each in summaries) else '',
  )


def _interval(values: Summary | Comparison) -> str:
  return f'{percent(values.interval.low)} to {percent(values.interval.high)}' if values.interval else NONE


def _by_domain(protocol: str, summaries: Sequence[Summary]) -> Table:
  """A row for each domain, a column for each compressor."""
  names = list(dict.fromkeys(each.compressor for each in summaries))
  shown = [each for each in summaries if each.scope in (DOMAIN, MEAN)]
  cells = {
    (each.domain, each.compressor): percent(each.compression_rate) + ('*' if each.num_failed else '') for each in shown
  }
  domains = sorted({each.domain for each in shown if each.scope == DOMAIN})
  return Table(
    title=f'Rates in % by domain, {protocol}',
    headings=['domain', *names],
    rows=[
      (label, *(cells.get((domain, name), NONE) for name in names))
      for domain, label in [*((domain, domain) for domain in domains), ('', 'mean of domains')]
    ],
    note='* without the files that it failed on' if any(each.num_failed for each in shown) else '',
  )


def _pairs(protocol: str, comparisons: Sequence[Comparison]) -> Table:
  answers = {True: 'yes', False: 'may be chance', None: NONE}
  rows = [
    (
      each.first,
      each.second,
      answers[each.differs],
      percent(each.difference),
      _interval(each),
      f'{each.num_files:,}',
      f'{each.first_wins:,}',
      f'{each.second_wins:,}',
    )
    for each in comparisons
  ]
  headings = 'first|second|do they differ?|first − second, % points|95% interval|files|first wins|second wins'
  return Table(
    title=f'Each pair of compressors, {protocol}',
    headings=headings.split('|'),
    rows=rows,
    note='On the files that both did. They differ if the interval of the difference leaves 0 out.',
    text_columns=3,
    folded=True,
  )


def _compressor_table(compressors: Sequence[CompressorInfo]) -> Table:
  rows = [
    (info.name, info.version, info.settings, f'{info.parameters_bytes:,}' if info.parameters_bytes else NONE)
    for info in compressors
  ]
  headings = ['compressor', 'version', 'as it was run', 'parameters, bytes']
  return Table(title='Compressors', headings=headings, rows=rows, text_columns=3)


def _gaps(results: Results) -> list[Table]:
  """Compressors and files that were asked for and are missing from the figures, with reasons."""
  failures = [_failure(each) for each in results.measurements if each.error is not None]
  tables = [
    _gap_table('Compressors that could not run', ['compressor', 'why'], list(results.missing.items())),
    _gap_table('Files left out', ['file', 'why'], list(results.unreadable.items())),
    _gap_table('Failures', ['file', 'compressor', 'protocol', 'what happened'], failures),
  ]
  return [table for table in tables if table.rows]


def _gap_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
  left_out = len(rows) - _MAX_ROWS
  return Table(
    title=f'{title}: {len(rows):,}',
    headings=headings,
    rows=rows[:_MAX_ROWS],
    note=f'{left_out:,} more are in results.json.' if left_out > 0 else '',
    text_columns=len(headings),
  )


def _failure(measurement: Measurement) -> tuple[str, ...]:
  return (measurement.file, measurement.compressor, measurement.protocol, measurement.error or '')
