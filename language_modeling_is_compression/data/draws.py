"""Random numbers that batches are drawn from: the same on every machine, and for each step by themselves."""

import numpy as np


def generator(*numbers: int) -> np.random.Generator:
  """A generator that integers of 0 or more determine, such as a seed and a step.

  Philox is counter-based, specified and stable across NumPy versions.
  """
  return np.random.Generator(np.random.Philox(np.random.SeedSequence(numbers)))
