"""The optimizer and its step size over time."""

import optax

from language_modeling_is_compression.config.options import TrainingConfig

_WARM_UP_FRACTION = 0.05
_FINAL_FRACTION = 0.02


def learning_rate_schedule(config: TrainingConfig) -> optax.Schedule:
  """Step size by step, counted from 0: constant, or a linear warm-up and then half a cosine down to almost nothing."""
  if config.learning_rate_schedule == 'constant':
    return optax.constant_schedule(config.learning_rate)
  warm_up = round(config.training_steps * _WARM_UP_FRACTION)
  return optax.warmup_cosine_decay_schedule(
    init_value=config.learning_rate / (warm_up + 1),
    peak_value=config.learning_rate,
    warmup_steps=warm_up,
    decay_steps=max(config.training_steps, warm_up + 1),  # Counted from step 0: optax takes the warm-up out of them.
    end_value=config.learning_rate * _FINAL_FRACTION,
  )


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
  """Adam (Kingma and Ba, 2015), of gradients that are scaled down first where that is asked for."""
  adam = optax.adam(learning_rate_schedule(config))
  if config.gradient_clip_norm is None:
    return adam
  return optax.chain(optax.clip_by_global_norm(config.gradient_clip_norm), adam)
