"""An evaluation's report: one HTML file with its tables and figures, which needs neither scripts nor a network.

Names and messages in it come from files and other programs: each one goes through `_text`.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from language_modeling_is_compression.evaluation.report.pictures import PROTOCOL_NAMES, Picture
from language_modeling_is_compression.evaluation.report.results import Results
from language_modeling_is_compression.evaluation.report.style import WIDTH_INCHES, svg
from language_modeling_is_compression.evaluation.report.text import NONE, decimals, percent, shares, speed
from language_modeling_is_compression.evaluation.statistics.measurements import CompressorInfo, Measurement
from language_modeling_is_compression.evaluation.statistics.summary import DOMAIN, MEAN, Comparison, Summary, best_first
from language_modeling_is_compression.system.text import printable

_MAX_ROWS = 100  # Failures that the page lists.
_FALLBACK_NOTE = (
  'The rate of a model is of the model alone. Fell back: the share of its chunks, and of the bytes in them, that lmic '
  'compress writes without the model, since that is smaller; the rate of lmic is what it reaches so.'
)

# A page from elsewhere's file names may do nothing but stand there.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_CSS = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --line: #d0d0d0; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #a8a8a8; --line: #4a4a4a; --page: #181818; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 54rem; padding: 1.5rem 1rem 3rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, 'Liberation Sans', Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p { margin: .4rem 0; }
code, pre { font: .85rem/1.45 ui-monospace, 'DejaVu Sans Mono', monospace; }
pre { margin: .6rem 0; padding: .5rem .7rem; border-left: 3px solid var(--line); white-space: pre-wrap; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th { text-align: left; vertical-align: bottom; border-bottom: 1px solid var(--ink); }
td { vertical-align: top; border-bottom: 1px solid var(--line); }
th, td { padding: .2rem 0 .2rem .65rem; }
:is(th, td):first-child { padding-left: 0; }
td.number { text-align: right; white-space: nowrap; }
th.number { text-align: right; }
.text { max-width: 24rem; min-width: 6.5rem; overflow-wrap: break-word; }
.text:first-child { min-width: 8.5rem; }
summary h2 { display: inline; }
details { margin-top: 1rem; }
figure { margin: 2.2rem 0 0; }
figure h2 { margin: 0 0 .5rem; }
figcaption { margin-top: .4rem; }
.plot { background: #ffffff; padding: .4rem; }
.plot svg { display: block; width: 100%; height: auto; min-width: 36rem; }
.plot.narrow svg { max-width: 30rem; min-width: 0; }
.plot text { font-family: 'DejaVu Sans', Verdana, 'Liberation Sans', Arial, sans-serif !important; }
@media print {
  :root { --ink: #000000; --soft: #333333; --line: #b0b0b0; --page: #ffffff; }
  @page { margin: 2cm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  .wide { overflow: visible; }
  .plot { padding: 0; max-width: 16cm; }
  .plot svg { min-width: 0; }
  .plot.narrow svg { max-width: 12cm; }
}
"""


@dataclass(frozen=True, kw_only=True)
class _Table:
  """Cells as they shall be shown. text_columns: so many of the first ones are text, the others numbers."""

  title: str
  headings: Sequence[str]
  rows: Sequence[Sequence[str]]
  note: str = ''
  text_columns: int = 1
  folded: bool = False


def report_html(results: Results, pictures: Sequence[Picture], *, title: str) -> str:
  """The whole page, in UTF-8."""
  machine = ', '.join(f'{name} {value}' for name, value in (*results.platform.items(), *results.versions.items()))
  parts = [
    f'<h1>{_text(title)}</h1>',
    f'<p class="soft">{_text(results.created)}; {_text(_amount(results))}</p>',
    f'<pre>{_text(results.command_line)}</pre>',
    f'<p class="soft">{_text(machine)}</p>',
    '<p class="soft">Every number is defined in <code>docs/EVALUATION.md</code>; <code>results.json</code> beside this '
    'file has them all, file by file.</p>',
    *(_table(table) for table in _rate_tables(results)),
    *(_figure(picture) for picture in pictures),
    *(_table(table) for table in (_compressor_table(results.compressors), *_gaps(results))),
  ]
  body = '\n'.join(parts)
  return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>{_CSS}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _text(text: str) -> str:
  return html.escape(printable(text))


def _amount(results: Results) -> str:
  return f'{_count(len(results.files), "file")} in {_count(len({file["domain"] for file in results.files}), "domain")}'


def _count(number: int, noun: str) -> str:
  return f'{number:,} {noun}{"" if number == 1 else "s"}'


def _rate_tables(results: Results) -> Iterable[_Table]:
  for protocol, name in PROTOCOL_NAMES.items():
    summaries = [each for each in results.summaries if each.protocol == protocol]
    if summaries:
      yield _all_files(name, summaries)
    if len({each.domain for each in summaries if each.scope == DOMAIN}) > 1:
      yield _by_domain(name, summaries)
    comparisons = [each for each in results.comparisons if each.protocol == protocol]
    if comparisons:
      yield _pairs(name, comparisons)


def _all_files(protocol: str, summaries: Sequence[Summary]) -> _Table:
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
  return _Table(
    title=f'All files, {protocol}',
    headings=headings.split('|'),
    rows=rows,
    note=_FALLBACK_NOTE if any(each.fallback_chunk_share for each in summaries) else '',
  )


def _interval(values: Summary | Comparison) -> str:
  return f'{percent(values.interval.low)} to {percent(values.interval.high)}' if values.interval else NONE


def _by_domain(protocol: str, summaries: Sequence[Summary]) -> _Table:
  """A row for each domain, a column for each compressor."""
  names = list(dict.fromkeys(each.compressor for each in summaries))
  shown = [each for each in summaries if each.scope in (DOMAIN, MEAN)]
  cells = {
    (each.domain, each.compressor): percent(each.compression_rate) + ('*' if each.num_failed else '') for each in shown
  }
  domains = sorted({each.domain for each in shown if each.scope == DOMAIN})
  return _Table(
    title=f'Rates in % by domain, {protocol}',
    headings=['domain', *names],
    rows=[
      (label, *(cells.get((domain, name), NONE) for name in names))
      for domain, label in [*((domain, domain) for domain in domains), ('', 'mean of domains')]
    ],
    note='* without the files that it failed on' if any(each.num_failed for each in shown) else '',
  )


def _pairs(protocol: str, comparisons: Sequence[Comparison]) -> _Table:
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
  return _Table(
    title=f'Each pair of compressors, {protocol}',
    headings=headings.split('|'),
    rows=rows,
    note='On the files that both did. They differ if the interval of the difference leaves 0 out.',
    text_columns=3,
    folded=True,
  )


def _compressor_table(compressors: Sequence[CompressorInfo]) -> _Table:
  rows = [
    (info.name, info.version, info.settings, f'{info.parameters_bytes:,}' if info.parameters_bytes else NONE)
    for info in compressors
  ]
  headings = ['compressor', 'version', 'as it was run', 'parameters, bytes']
  return _Table(title='Compressors', headings=headings, rows=rows, text_columns=3)


def _gaps(results: Results) -> list[_Table]:
  """Compressors and files that were asked for and are missing from the figures, with reasons."""
  failures = [_failure(each) for each in results.measurements if each.error is not None]
  tables = [
    _gap_table('Compressors that could not run', ['compressor', 'why'], list(results.missing.items())),
    _gap_table('Files left out', ['file', 'why'], list(results.unreadable.items())),
    _gap_table('Failures', ['file', 'compressor', 'protocol', 'what happened'], failures),
  ]
  return [table for table in tables if table.rows]


def _gap_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> _Table:
  left_out = len(rows) - _MAX_ROWS
  return _Table(
    title=f'{title}: {len(rows):,}',
    headings=headings,
    rows=rows[:_MAX_ROWS],
    note=f'{left_out:,} more are in results.json.' if left_out > 0 else '',
    text_columns=len(headings),
  )


def _failure(measurement: Measurement) -> tuple[str, ...]:
  return (measurement.file, measurement.compressor, measurement.protocol, measurement.error or '')


def _table(table: _Table) -> str:
  kinds = ['text' if index < table.text_columns else 'number' for index in range(len(table.headings))]
  head = ''.join(
    f'<th scope="col" class="{kind}">{_text(cell)}</th>' for kind, cell in zip(kinds, table.headings, strict=True)
  )
  rows = (
    ''.join(f'<td class="{kind}">{_text(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))
    for row in table.rows
  )
  body = '\n'.join(f'<tr>{row}</tr>' for row in rows)
  note = f'\n<p class="soft">{_text(table.note)}</p>' if table.note else ''
  title = f'<h2>{_text(table.title)}</h2>'
  outer, title = ('details', f'<summary>{title}</summary>') if table.folded else ('section', title)
  return f"""<{outer}>
{title}
<div class="wide"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>{note}
</{outer}>"""


def _figure(picture: Picture) -> str:
  kind = 'plot wide narrow' if picture.figure.get_figwidth() < WIDTH_INCHES else 'plot wide'
  return f"""<figure id="{picture.name}">
<h2>{_text(picture.title)}</h2>
<div class="{kind}" role="img" aria-label="{_text(picture.title)}">{svg(picture.figure, picture.name)}</div>
<figcaption>{_text(picture.reading)}</figcaption>
</figure>"""
