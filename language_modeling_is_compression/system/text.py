"""Text for people: what is of unknown origin, such as names of files, on terminals and in reports; times and sizes."""

import itertools
import sys


def printable(text: str, max_chars: int | None = None) -> str:
  """One line that every terminal can show: unprintable characters escaped, the middle of a long text left out."""
  text = ''.join(char if char.isprintable() else char.encode('unicode_escape').decode() for char in text)
  if max_chars is None or len(text) <= max_chars:
    return text
  end = (max_chars - 1) // 2
  return f'{text[: max_chars - 1 - end]}…{text[len(text) - end :]}'


def write_between_bars(line: str) -> None:
  """Writes a line to standard error, above progress bars, if there are any."""
  if (bars := sys.modules.get('tqdm')) is None:  # Nobody has made one.
    print(line, file=sys.stderr)
  else:
    bars.tqdm.write(line, file=sys.stderr)


def duration(seconds: float) -> str:
  """A time of at most two units, as people say it: 40 s, 3 h 10 min, 2 d 4 h."""
  if seconds < 10:
    return f'{seconds:.2g} s'
  units = (('d', 86400), ('h', 3600), ('min', 60), ('s', 1))
  for (name, unit), (smaller, part) in itertools.pairwise(units):
    count = round(seconds / part)  # Of the smaller ones, so that they do not add up to a larger one.
    if count * part >= unit:
      whole, rest = divmod(count * part, unit)
      return f'{whole} {name} {rest // part} {smaller}' if rest else f'{whole} {name}'
  return f'{round(seconds)} s'


def size(num_bytes: float) -> str:
  """A number of bytes with three digits or so: 12 bytes, 3.4 MB."""
  for name, unit in (('TB', 1e12), ('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
    if num_bytes >= unit:
      return f'{num_bytes / unit:.3g} {name}'
  return f'{num_bytes:.0f} bytes'
