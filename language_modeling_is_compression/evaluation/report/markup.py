"""Markup of pages: one HTML file each, with tables and figures, which needs neither scripts nor a network.

Names and messages come from files and other programs: each one goes through `text_of`.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from language_modeling_is_compression.evaluation.report.style import WIDTH_INCHES, svg
from language_modeling_is_compression.system.text import printable

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
class Table:
  """Cells as they shall be shown. text_columns: so many of the first ones are text, the others numbers."""

  title: str
  headings: Sequence[str]
  rows: Sequence[Sequence[str]]
  note: str = ''
  text_columns: int = 1
  folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
  """A figure, its name (unique, of letters, digits and hyphens), its title, and a sentence on how to read it."""

  name: str
  title: str
  reading: str
  figure: Figure


def page_html(title: str, parts: Iterable[str]) -> str:
  """The whole page, in UTF-8. parts: what stands in its body, as markup."""
  body = '\n'.join(parts)
  return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text_of(title)}</title>
<style>{_CSS}</style>
</head>
<body>
{body}
</body>
</html>
"""


def text_of(text: str) -> str:
  """Text of unknown origin as a page can show it."""
  return html.escape(printable(text))


def table_html(table: Table) -> str:
  """A table below its title."""
  kinds = ['text' if index < table.text_columns else 'number' for index in range(len(table.headings))]
  head = ''.join(
    f'<th scope="col" class="{kind}">{text_of(cell)}</th>' for kind, cell in zip(kinds, table.headings, strict=True)
  )
  rows = (
    ''.join(f'<td class="{kind}">{text_of(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))
    for row in table.rows
  )
  body = '\n'.join(f'<tr>{row}</tr>' for row in rows)
  note = f'\n<p class="soft">{text_of(table.note)}</p>' if table.note else ''
  title = f'<h2>{text_of(table.title)}</h2>'
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


def figure_html(picture: Picture) -> str:
  """A figure between its title and how to read it."""
  kind = 'plot wide narrow' if picture.figure.get_figwidth() < WIDTH_INCHES else 'plot wide'
  return f"""<figure id="{picture.name}">
<h2>{text_of(picture.title)}</h2>
<div class="{kind}" role="img" aria-label="{text_of(picture.title)}">{svg(picture.figure, picture.name)}</div>
<figcaption>{text_of(picture.reading)}</figcaption>
</figure>"""
