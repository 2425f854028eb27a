"""The optimizer and its step size over time."""

import optax

from language_modeling_is_compression.config.options import TrainingSettings

_WARM_UP_FRACTION = 0.05
_FINAL_FRACTION = 0.02


def learning_rate_schedule(settings: TrainingSettings) -> optax.Schedule:
  """Step size by step, counted from 0: constant, or a linear warm-up and then half a cosine down to almost nothing."""
  peak, num_steps = settings.optimizer.learning_rate, settings.training.training_steps
  if settings.schedule.learning_rate_schedule == 'constant':
    return optax.constant_schedule(peak)
  warm_up = round(num_steps * _WARM_UP_FRACTION)
  return optax.warmup_cosine_decay_schedule(
    init_value=peak / (warm_up + 1),
    peak_value=peak,
    warmup_steps=warm_up,
    decay_steps=max(num_steps, warm_up + 1),  # Counted from step 0: optax takes the warm-up out of them.
    end_value=peak * _FINAL_FRACTION,
  )


def make_optimizer(settings: TrainingSettings) -> optax.GradientTransformation:
  """Adam (Kingma and Ba, 2015), of gradients that are scaled down first where that is asked for."""
  adam, norm = optax.adam(learning_rate_schedule(settings)), settings.optimizer.gradient_clip_norm
  return adam if norm is None else optax.chain(optax.clip_by_global_norm(norm), adam)
