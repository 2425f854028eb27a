"""When a figure that is watched has not become better for long enough, or has gone where training should end.

Pure functions: a track of a figure's values, which checkpoints hold, and what follows from it. Lower is better.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from language_modeling_is_compression.config.options import ANY_IMPROVEMENT, EarlyStoppingConfig, Improvement


class Track(NamedTuple):
  """What has been seen of a figure.

  best: the value that later ones have to improve on, infinite before the first; best_step: its step. without: values
  since then that were no improvement. last, last_step: of the newest value that counted, None before the first.
  """

  best: float = math.inf
  best_step: int = 0
  without: int = 0
  last: float | None = None
  last_step: int = 0

  @classmethod
  def from_mapping(cls, values: Mapping[str, Any]) -> Self:
    """The track whose `_asdict` was kept."""
    return cls(**values)


def observed(track: Track, step: int, value: float, required: Improvement = ANY_IMPROVEMENT) -> Track:
  """The track with one more value. One that is not finite is no improvement.

  required: by how much a value has to be lower than the best one to count as better.
  """
  better = math.isfinite(value) and (track.best == math.inf or value < track.best - required.amount(track.best))
  if better:
    return Track(value, step, 0, value, step)
  return track._replace(without=track.without + 1, last=value, last_step=step)


def reason_to_stop(track: Track, config: EarlyStoppingConfig, figure: str) -> str | None:
  """Why training should end, in words for the log and the model file; None if it should go on. figure: its name."""
  if track.last is None:
    return None
  where = f'{figure} is {track.last:g} at step {track.last_step}'
  divergence, target = config.early_stopping_divergence, config.early_stopping_target
  if divergence is not None and not track.last <= divergence:
    return f'{where}, above the divergence threshold of {divergence:g}'
  if target is not None and track.last <= target:
    return f'{where}: the target of {target:g} is reached'
  patience = config.early_stopping_patience
  if patience is not None and track.without >= patience:
    return f'{where}: no improvement in {track.without} measurements on {track.best:g} at step {track.best_step}'
  return None
