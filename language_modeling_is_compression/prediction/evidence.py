"""Evidence: features of a sample, which the network reads, and targets, which it is trained on.

The network of a hybrid model reads one vector of features per sample, in the order in which samples are coded (frame by
frame, channel by channel), and answers with a mixture of logistic distributions. Each component stands on one of a few
centres, which are predictions of the experts, and is moved and scaled in units of the running error:

    location = centre + offset * unit        scale = 2**log2_scale * unit

Beside these there is one more component, the experts' own mixture, which needs no network.

Shapes: M samples in coding order, F features, Q centres, K components.
"""

from dataclasses import dataclass

import numpy as np

# Versions of the experts' arithmetic: that of ensemble.py; that of linear/, which came after it; and that with what
# prediction begins with (linear/start.py), which coding 6 has. A network can only be used with those that it was
# trained on, but one of LINEAR_EXPERTS also with STARTED_EXPERTS, which networks are trained on now: they differ in
# the first samples alone.
ENSEMBLE_EXPERTS, LINEAR_EXPERTS, STARTED_EXPERTS = 5, 6, 7

NUM_FEATURES = 48
FEATURE_BITS = 5  # Fractional bits of features, which are int8.

# Both stackings, and two of least squares: medium and long memory.
NUM_CENTRES = 4
# The centre of each component.
COMPONENT_CENTRES = (0, 0, 0, 0, 0, 1, 2, 3)
NUM_COMPONENTS = len(COMPONENT_CENTRES)

# The network's outputs: a logit of each component and of the experts' own mixture; offsets of the components; base-2
# logarithms of their scales.
LOGITS = slice(0, NUM_COMPONENTS + 1)
OFFSETS = slice(NUM_COMPONENTS + 1, 2 * NUM_COMPONENTS + 1)
LOG2_SCALES = slice(2 * NUM_COMPONENTS + 1, 3 * NUM_COMPONENTS + 1)
NUM_OUTPUTS = 3 * NUM_COMPONENTS + 1
# Limits that outputs are clipped to, in training as in inference: the magnitude of an offset, and of the logarithm of
# a scale.
MAX_OFFSET = 32
MAX_LOG2_SCALE = 12


@dataclass(frozen=True, kw_only=True)
class Evidence:
  """Features and targets of samples.

  features: int8 [M, F], FEATURE_BITS.
  below: float32 [M, Q], from each centre up to the lower edge of the sample's bin, in units of the running error.
  width: float32 [M], of the bin, in these units, not 0. Where the bin has no lower end it is negative and far beyond
    all limits, and `below` is up to the upper edge: what is far has no room for the digits of what is near.
  experts_log2: float32 [M], base-2 logarithm of the mass that the experts' own mixture gives the sample; at most 0.
  """

  features: np.ndarray
  below: np.ndarray
  width: np.ndarray
  experts_log2: np.ndarray
