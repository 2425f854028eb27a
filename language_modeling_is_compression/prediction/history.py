"""Histories of numbers, newest first at a position that moves towards the beginning, and from there back to the end."""

from language_modeling_is_compression.kernels.compilation import compiled

HISTORY_SLOTS = 4096  # Numbers after which a history is copied back to its end.
# In silence residuals fade. They stop before they are denormal, which a thread may be set to take for 0 (what is
# compiled with -ffast-math does so when it is loaded), and another machine would compute otherwise.
_MIN_RESIDUAL = 2.0**-20


@compiled
def flush_small(residual):
  """Zero for a residual that would fade to a denormal number."""
  return residual if abs(residual) > _MIN_RESIDUAL else 0.0


@compiled
def rewind(histories, at):
  """Position of a history [rows, H] whose newest sample is at `at`; at its beginning it is copied to its end."""
  if at > 0:
    return at
  rows, slots = histories.shape
  kept = slots - HISTORY_SLOTS
  for row in range(rows):
    for i in range(kept - 1, -1, -1):
      histories[row, HISTORY_SLOTS + i] = histories[row, i]
  return at + HISTORY_SLOTS
