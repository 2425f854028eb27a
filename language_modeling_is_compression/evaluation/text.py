"""Names and numbers as people are shown them."""

NONE = '–'


def printable(text: str, max_chars: int | None = None) -> str:
  """Text of unknown origin on one line: what cannot be shown is escaped, the middle of what is too long left out."""
  text = ''.join(char if char.isprintable() else char.encode('unicode_escape').decode() for char in text)
  if max_chars is None or len(text) <= max_chars:
    return text
  end = (max_chars - 1) // 2
  return f'{text[: max_chars - 1 - end]}…{text[len(text) - end :]}'


def percent(rate: float | None) -> str:
  """Without the sign: it stands in the heading."""
  return decimals(None if rate is None else 100 * rate, 2)


def decimals(value: float | None, places: int) -> str:
  return NONE if value is None else f'{value:.{places}f}'


def speed(value: float | None) -> str:
  """Three digits, or all those before the point."""
  return NONE if value is None else f'{value:#.3g}' if value < 100 else f'{value:,.0f}'
