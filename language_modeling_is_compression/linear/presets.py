"""Presets of linear prediction: which filters a channel has. Files say theirs by its number, so none may change."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Inputs:
  """Least squares. own, other: inputs from the channel itself and, in a group of several, from its neighbour.

  Both are multiples of 8. forgetting: share of what was learned that a sample leaves. solve_every: in frames.
  """

  own: int
  other: int
  forgetting: float
  solve_every: int


@dataclass(frozen=True, kw_only=True)
class Stage:
  """NLMS stage. taps: 16, 32, or a multiple of 64. step: share of the error that it corrects, for each tap."""

  taps: int
  step: float


@dataclass(frozen=True, kw_only=True)
class Preset:
  """Filters of a channel. least_squares: two or more, the first of which the cascade of stages follows.

  quick_stages: a second cascade, which follows the last of them; presets of a network have one.
  has_lags: whether samples are predicted from those of one lag ago, too; solve_long_term_every: in frames, for these.
  """

  least_squares: tuple[Inputs, ...]
  stages: tuple[Stage, ...]
  quick_stages: tuple[Stage, ...] = ()
  has_lags: bool
  solve_long_term_every: int = 64


# Chosen on the train folders of the corpus, by bits and microseconds of a sample: docs/LOG.md, 2026-11-28.
PRESETS: tuple[Preset, ...] = (
  Preset(
    least_squares=(
      Inputs(own=16, other=8, forgetting=0.9985, solve_every=64),
      Inputs(own=16, other=8, forgetting=0.985, solve_every=32),
    ),
    stages=(Stage(taps=256, step=0.0005), Stage(taps=32, step=0.003), Stage(taps=16, step=0.008)),
    has_lags=False,
  ),
  Preset(
    least_squares=(
      Inputs(own=32, other=16, forgetting=0.9985, solve_every=64),
      Inputs(own=16, other=8, forgetting=0.985, solve_every=16),
    ),
    stages=(
      Stage(taps=1024, step=0.0001),
      Stage(taps=256, step=0.0005),
      Stage(taps=32, step=0.004),
      Stage(taps=16, step=0.008),
    ),
    has_lags=False,
  ),
  Preset(
    least_squares=(
      Inputs(own=32, other=16, forgetting=0.9995, solve_every=64),
      Inputs(own=16, other=8, forgetting=0.98, solve_every=8),
      Inputs(own=24, other=8, forgetting=0.997, solve_every=16),
    ),
    stages=(
      Stage(taps=1024, step=0.0001),
      Stage(taps=256, step=0.0005),
      Stage(taps=64, step=0.002),
      Stage(taps=32, step=0.004),
      Stage(taps=16, step=0.008),
    ),
    has_lags=True,
  ),
  Preset(
    least_squares=(
      Inputs(own=32, other=16, forgetting=0.9995, solve_every=32),
      Inputs(own=16, other=8, forgetting=0.98, solve_every=4),
      Inputs(own=24, other=8, forgetting=0.997, solve_every=8),
    ),
    stages=(
      Stage(taps=2048, step=0.00004),
      Stage(taps=512, step=0.0002),
      Stage(taps=256, step=0.0004),
      Stage(taps=64, step=0.002),
      Stage(taps=32, step=0.004),
      Stage(taps=16, step=0.008),
    ),
    has_lags=True,
  ),
)

# What a network is given: three least squares and two cascades, by an effort's number in files. Chosen in the same way.
EFFORTS: tuple[Preset, ...] = (
  Preset(
    least_squares=(
      Inputs(own=16, other=8, forgetting=0.9995, solve_every=64),
      Inputs(own=16, other=8, forgetting=0.98, solve_every=16),
      Inputs(own=16, other=8, forgetting=0.996, solve_every=32),
    ),
    stages=(Stage(taps=256, step=0.0004), Stage(taps=16, step=0.006)),
    quick_stages=(Stage(taps=32, step=0.008), Stage(taps=16, step=0.016)),
    has_lags=True,
  ),
  Preset(
    least_squares=(
      Inputs(own=16, other=8, forgetting=0.9995, solve_every=64),
      Inputs(own=16, other=8, forgetting=0.98, solve_every=16),
      Inputs(own=32, other=8, forgetting=0.996, solve_every=16),
    ),
    stages=(
      Stage(taps=2048, step=0.00004),
      Stage(taps=512, step=0.0002),
      Stage(taps=128, step=0.001),
      Stage(taps=16, step=0.006),
    ),
    quick_stages=(Stage(taps=256, step=0.004), Stage(taps=32, step=0.008), Stage(taps=16, step=0.016)),
    has_lags=True,
    solve_long_term_every=16,
  ),
  Preset(
    least_squares=(
      Inputs(own=32, other=16, forgetting=0.9995, solve_every=64),
      Inputs(own=16, other=8, forgetting=0.98, solve_every=2),
      Inputs(own=32, other=16, forgetting=0.996, solve_every=4),
    ),
    stages=(
      Stage(taps=4096, step=0.00002),
      Stage(taps=1024, step=0.0001),
      Stage(taps=256, step=0.0004),
      Stage(taps=64, step=0.002),
      Stage(taps=16, step=0.006),
    ),
    quick_stages=(
      Stage(taps=256, step=0.003),
      Stage(taps=64, step=0.006),
      Stage(taps=32, step=0.008),
      Stage(taps=16, step=0.016),
    ),
    has_lags=True,
    solve_long_term_every=8,
  ),
  # In the place of the second and the third one, since coding 6 has them: docs/LOG.md, 2026-11-29.
  Preset(
    least_squares=(
      Inputs(own=24, other=8, forgetting=0.9995, solve_every=64),
      Inputs(own=16, other=8, forgetting=0.98, solve_every=16),
      Inputs(own=32, other=8, forgetting=0.996, solve_every=32),
    ),
    stages=(
      Stage(taps=2048, step=0.00005),
      Stage(taps=16, step=0.001),
      Stage(taps=512, step=0.0002),
      Stage(taps=128, step=0.001),
      Stage(taps=16, step=0.006),
    ),
    quick_stages=(Stage(taps=128, step=0.005), Stage(taps=32, step=0.008), Stage(taps=16, step=0.016)),
    has_lags=True,
    solve_long_term_every=16,
  ),
  Preset(
    least_squares=(
      Inputs(own=24, other=8, forgetting=0.9997, solve_every=64),
      Inputs(own=16, other=8, forgetting=0.98, solve_every=4),
      Inputs(own=32, other=16, forgetting=0.996, solve_every=8),
    ),
    stages=(
      Stage(taps=4096, step=0.000025),
      Stage(taps=16, step=0.001),
      Stage(taps=1024, step=0.0001),
      Stage(taps=256, step=0.0004),
      Stage(taps=64, step=0.002),
      Stage(taps=16, step=0.006),
    ),
    quick_stages=(
      Stage(taps=128, step=0.004),
      Stage(taps=64, step=0.006),
      Stage(taps=32, step=0.008),
      Stage(taps=16, step=0.016),
    ),
    has_lags=True,
    solve_long_term_every=8,
  ),
)
EFFORT_NUMBERS = (0, 3, 4)  # Of what is written, and what networks are trained on, by how hard experts work, 0 to 2.


def effort_of(number: int) -> int:
  """How hard experts work, 0 to 2, by the number that a file has: those of before are 1 and 2 themselves."""
  return EFFORT_NUMBERS.index(number) if number in EFFORT_NUMBERS else number
