"""What each held-out file costs, at the end of a run: a table, and a picture of some of them."""

import csv
import io
import logging
import os
from collections.abc import Sequence
from xml.sax.saxutils import escape

from language_modeling_is_compression.system.files import replacing
from language_modeling_is_compression.system.text import printable
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.task import HeldOutPart
from language_modeling_is_compression.training.tracking import Tracker

_logger = logging.getLogger(__name__)

COLUMNS = ('name', 'samples', 'bits_per_sample')
_MOST_SHOWN = 16
# Places of the picture, in pixels; the colour is one that colour-blind people tell from the ink.
_WIDTH, _ROW, _NAMES, _VALUES, _MARGIN = 720, 22, 300, 70, 12
_COLOUR = '#0072b2'


def report_held_out(files: RunFiles, step: int, parts: Sequence[HeldOutPart], tracker: Tracker) -> None:
  """Writes NAME_held_out.csv and .svg, and gives the table to loggers that keep such.

  A warning says why a file cannot be written: the run is done, and its model saved.
  """
  if not parts:
    return
  parts = _from_hardest(_without_common_folder(parts))
  hardest, easiest = parts[0], parts[-1]
  if len(parts) > 1:
    _logger.info(
      'held out, from %s with %.4f bits per sample to %s with %.4f',
      *(printable(hardest.name), hardest.bits_per_sample, printable(easiest.name), easiest.bits_per_sample),
    )
  for path, contents in ((files.held_out_table, _table(parts)), (files.held_out_picture, _picture(parts))):
    try:
      with replacing(path) as file:
        file.write(contents.encode('utf-8', 'backslashreplace'))
    except OSError as error:
      _logger.warning('%s: cannot be written: %s', path, error.strerror)
  tracker.log_table(step, 'held_out/files', COLUMNS, parts)


def _without_common_folder(parts: Sequence[HeldOutPart]) -> list[HeldOutPart]:
  """Files by their paths below the folder that they have in common; a domain has none."""
  try:
    common = os.path.commonpath([os.path.dirname(part.name) for part in parts])
  except ValueError:  # Of different drives, or some absolute and some not.
    common = ''
  return [part._replace(name=os.path.relpath(part.name, common) if common else part.name) for part in parts]


def _from_hardest(parts: Sequence[HeldOutPart]) -> list[HeldOutPart]:
  return sorted(parts, key=lambda part: (-part.bits_per_sample, part.name))


def _table(parts: Sequence[HeldOutPart]) -> str:
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows([COLUMNS, *parts])
  return text.getvalue()


def shown(parts: Sequence[HeldOutPart]) -> list[HeldOutPart]:
  """Some of them, evenly spread from the first to the last."""
  count = min(_MOST_SHOWN, len(parts))
  return [parts[index * (len(parts) - 1) // max(1, count - 1)] for index in range(count)]


def _picture(parts: Sequence[HeldOutPart]) -> str:
  """A bar for each of some parts, SVG. It is text, so that no library is needed for it."""
  some = shown(parts)
  title = 'Held out, bits per sample' + (f': {len(some)} of {len(parts)}' if len(some) < len(parts) else '')
  longest = max(0.0, *(part.bits_per_sample for part in some)) or 1.0
  scale = (_WIDTH - _NAMES - _VALUES - 2 * _MARGIN) / longest
  height = _ROW * (len(some) + 1) + 2 * _MARGIN
  lines = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
    'font-family="sans-serif" font-size="12">',
    f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    f'<text x="{_MARGIN}" y="{_MARGIN + 12}" font-weight="bold">{title}</text>',
  ]
  for index, part in enumerate(some, 1):
    top, left = _MARGIN + _ROW * index, _MARGIN + _NAMES
    width = scale * max(0.0, part.bits_per_sample)
    lines += [
      f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{escape(printable(part.name, 44))}</text>',
      f'<rect x="{left}" y="{top + 4}" width="{width:.1f}" height="{_ROW - 8}" fill="{_COLOUR}"/>',
      f'<text x="{left + width + 6:.1f}" y="{top + 15}">{part.bits_per_sample:z.3f}</text>',
    ]
  return '\n'.join([*lines, '</svg>', ''])
