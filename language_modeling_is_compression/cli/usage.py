"""Argument parser of all commands."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from language_modeling_is_compression.config.plugins import load_plugins
from language_modeling_is_compression.errors import ConfigError


class Parser(argparse.ArgumentParser):
  """Reports wrong usage in one line, like every other error."""

  def error(self, message: str) -> NoReturn:
    self.exit(2, f'{self.prog}: error: {message}; see --help\n')


def add_plugin_flag(parser: argparse.ArgumentParser) -> None:
  """Adds `--plugin`, of which there may be several."""
  parser.add_argument(
    '--plugin',
    metavar='MODULE',
    action='append',
    default=[],
    help='import this module first, which registers optimizers, schedules, losses, models or loggers of your own '
    '(docs/TRAINING.md); may be given several times; no settings file can name one',
  )


def plugins_are_loaded(argv: Sequence[str] | None, prog: str) -> bool:
  """Loads the plugins that arguments name, before flags are made of what they register. Says why one cannot be."""
  parser = Parser(prog=prog, add_help=False, allow_abbrev=False)
  add_plugin_flag(parser)
  try:
    load_plugins(parser.parse_known_args(argv)[0].plugin)
  except ConfigError as error:
    print(f'{prog}: error: {error}', file=sys.stderr)
    return False
  return True
