"""Names and numbers as people are shown them."""

NONE = '–'


def percent(rate: float | None) -> str:
  """Without the sign: it stands in the heading."""
  return decimals(None if rate is None else 100 * rate, 2)


def share(value: float | None) -> str:
  """In percent, without the sign; what is not nothing does not look like it, nor what is not all."""
  if value is None or value in (0, 1):
    return NONE if value is None else f'{100 * value:.0f}'
  return '<0.1' if value < 0.0005 else '>99.9' if value >= 0.9995 else f'{100 * value:.1f}'


def shares(of_chunks: float | None, of_bytes: float | None) -> str:
  """Both in percent, or one figure where there is nothing to tell."""
  return f'{share(of_chunks)} / {share(of_bytes)}' if of_chunks else share(of_chunks)


def decimals(value: float | None, places: int) -> str:
  return NONE if value is None else f'{value:.{places}f}'


def speed(value: float | None) -> str:
  """Three digits, or all those before the point."""
  return NONE if value is None else f'{value:#.3g}' if value < 100 else f'{value:,.0f}'
