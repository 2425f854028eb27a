"""An evaluation's tables and figures for Weights & Biases. Losing them never loses an evaluation."""

import dataclasses
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from language_modeling_is_compression.config.options import EvaluationConfig
from language_modeling_is_compression.evaluation.report.markup import Picture
from language_modeling_is_compression.evaluation.report.results import Results
from language_modeling_is_compression.evaluation.report.style import png
from language_modeling_is_compression.evaluation.statistics.summary import ALL, Summary
from language_modeling_is_compression.system.text import printable
from language_modeling_is_compression.training.tracking import default_wandb_name, say_where, start_wandb

_logger = logging.getLogger(__name__)

_LONGEST_NAME = 100


def log_to_wandb(settings: EvaluationConfig, results: Results, pictures: Sequence[Picture]) -> None:
  """One run: the summaries as a table, every figure as an image, the pooled rates and code lengths as its summary."""
  run = start_wandb(
    settings.wandb_project or '', _run_name(settings, results), Path(settings.output_dir), results.settings
  )
  if run is None:
    return
  try:
    run.log(_logged(results, pictures))
    for summary in results.summaries:
      if summary.scope == ALL:
        for figure in ('compression_rate', 'code_length_rate'):
          if (value := getattr(summary, figure)) is not None:
            run.summary[f'{summary.protocol}/{summary.compressor}/{figure}'] = value
    run.finish()
    say_where(run)
  except Exception as error:  # wandb raises errors of many libraries; none is worth an evaluation.
    _logger.warning('wandb: the results could not be logged, they are in %s: %s', settings.output_dir, error)


def _run_name(settings: EvaluationConfig, results: Results) -> str | None:
  """As asked for; None where the environment names the run, which wandb then reads; or else what was evaluated."""
  models = [info.name for info in results.compressors if info.is_model]
  what = ', '.join(models) or 'baselines'
  default = printable(f'{what} on {Path(settings.audio_dir).resolve().name}', _LONGEST_NAME)
  return settings.wandb_run_name or default_wandb_name(default)


def _logged(results: Results, pictures: Sequence[Picture]) -> dict[str, Any]:
  import wandb
  from PIL import Image

  names = [field.name for field in dataclasses.fields(Summary) if field.name != 'interval']
  rows = [
    [
      *(getattr(each, name) for name in names),
      *((each.interval.low, each.interval.high) if each.interval else (None, None)),
    ]
    for each in results.summaries
  ]
  logged: dict[str, Any] = {'summaries': wandb.Table(columns=[*names, 'low', 'high'], data=rows)}
  for picture in pictures:
    with Image.open(io.BytesIO(png(picture.figure))) as image:
      image.load()
    logged[picture.name] = wandb.Image(image, caption=picture.reading)
  return logged
