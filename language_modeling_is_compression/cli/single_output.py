"""What commands with one kind of output have in common: how it is opened, and their progress."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from language_modeling_is_compression.errors import OutputExistsError
from language_modeling_is_compression.system.files import STANDARD, output_file
from language_modeling_is_compression.system.progress import progress_bar
from language_modeling_is_compression.system.text import printable


@contextlib.contextmanager
def opened_output(target: Path | None, *, force: bool, spooled: bool) -> Iterator[BinaryIO]:
  """As `output_file`, of no source. Raises OutputExistsError, which says how to overwrite what is there."""
  try:
    with output_file(target, STANDARD, force=force, spooled=spooled) as file:
      yield file
  except OutputExistsError as error:
    raise OutputExistsError(f'{error}; use -f to overwrite it') from None


@contextlib.contextmanager
def progress_of(description: str, unit: str, *, shown: bool) -> Iterator[Callable[[int, int], object]]:
  """Yields what is told of units done and of all; the bar is made when it is known how many these are."""
  with contextlib.ExitStack() as stack:
    bar: Any = None
    so_far = 0

    def advance(done: int, total: int) -> None:
      nonlocal bar, so_far
      if bar is None:
        bar = stack.enter_context(
          progress_bar(total=total, unit=unit, description=printable(description), shown=shown, leave=False)
        )
      bar.update(done - so_far)
      so_far = done

    yield advance
