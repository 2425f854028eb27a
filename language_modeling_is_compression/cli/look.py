"""`lmic look`: pictures of a sound, of evaluation/look."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from language_modeling_is_compression.cli import options
from language_modeling_is_compression.cli.jobs import say
from language_modeling_is_compression.errors import ConfigError, OutputExistsError
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.extras import require_extra
from language_modeling_is_compression.system.files import STANDARD, output_file
from language_modeling_is_compression.system.progress import progress_bar
from language_modeling_is_compression.system.text import printable


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
    with output_file(target, STANDARD, force=chosen.force, spooled=True) as file:
      with _progress(chosen) as progress:
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
  except OutputExistsError as error:
    raise ConfigError(f'{error}; use -f to overwrite it') from None
  finally:
    cancellation.cancel()
  if not chosen.quiet and target:
    say(f'{source}: pictures in {target}')
  return 0


@contextlib.contextmanager
def _progress(chosen: options.Look) -> Iterator[Callable[[int, int], object]]:
  """A bar of bytes, which is made when it is known how many there are."""
  with contextlib.ExitStack() as stack:
    bar: Any = None
    so_far = 0

    def advance(done: int, total: int) -> None:
      nonlocal bar, so_far
      if bar is None:
        shown = not (chosen.quiet or chosen.no_progress)
        bar = stack.enter_context(
          progress_bar(total=total, unit='B', description=printable(chosen.file), shown=shown, leave=False)
        )
      bar.update(done - so_far)
      so_far = done

    yield advance
