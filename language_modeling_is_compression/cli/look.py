"""`lmic look`: pictures of a sound, of evaluation/look."""

import os
from pathlib import Path

from language_modeling_is_compression.cli import options
from language_modeling_is_compression.cli.jobs import say
from language_modeling_is_compression.cli.single_output import opened_output, progress_of
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.extras import require_extra
from language_modeling_is_compression.system.files import STANDARD


def draw_page(chosen: options.Look) -> int:
  """Writes the page. Returns 0. Raises ConfigError, InputError and others of what is looked at."""
  require_extra('evaluate')
  from language_modeling_is_compression.evaluation.look.page import look

  source, cancellation = chosen.file, Cancellation()
  if source == STANDARD:
    raise ConfigError('look: expected a file, got standard input: save it first')
  output = f'{source}.html' if chosen.output is None else chosen.output
  target = None if output == STANDARD else Path(output)
  if target and target.exists() and os.path.exists(source) and os.path.samefile(source, target):
    raise ConfigError(f'-o: {target} is the source itself; name another output')
  try:
    shown = not (chosen.quiet or chosen.no_progress)
    with opened_output(target, force=chosen.force, spooled=True) as file:
      with progress_of(source, 'B', shown=shown) as progress:
        html = look(
          Path(source),
          chosen.models,
          start=chosen.start,
          end=chosen.end,
          threads=chosen.threads,
          progress=progress,
          cancellation=cancellation,
        )
      file.write(html.encode())
  finally:
    cancellation.cancel()
  if not chosen.quiet and target:
    say(f'{source}: pictures in {target}')
  return 0
