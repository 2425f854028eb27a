"""Manual page of `lmic`, made from its parser: python -m language_modeling_is_compression.cli.manual > docs/lmic.1."""

import argparse

from language_modeling_is_compression.cli.completion import commands_of
from language_modeling_is_compression.cli.parser import COMMAND_FLAGS, build_parser
from language_modeling_is_compression.kernels import native
from language_modeling_is_compression.version import __version__

_DESCRIPTION = """\
compresses audio without loss by a language model that predicts each sample, and restores it bit for bit. Files that are
not PCM WAV are kept too, by LZMA. The result of FILE is FILE.lmic beside it; sources stay unless --rm is given."""
_CODE = (
  f'Machine code that is run: {", ".join(native.TARGETS)}, which come with the package (default: the first one that '
  f'the processor can run), or {native.JUST_IN_TIME}, which is compiled for the processor. All compute the same.'
)
_EXIT_STATUS = {
  '0': 'All is done.',
  '1': 'A file could not be read, written, compressed or restored; the others were.',
  '2': 'Wrong usage.',
  '128 + N': 'Signal N ended it; unfinished output was removed, or, by generate, is as long as it had come to be.',
}
_EXAMPLES = {
  'Compress a file, as small as it goes:': 'lmic -9 song.wav',
  'Restore it, and remove the compressed one:': 'lmic -d --rm song.wav.lmic',
  'Compress all audio below a folder into another one:': 'lmic -r recordings --output-dir-mirror archive',
  'Write the second minute as a WAV:': 'lmic decompress --start 60 --end 120 -o part.wav song.wav.lmic',
  'Check an archive:': 'lmic -t -r archive',
  'Go on with a recording for ten seconds:': 'lmic generate --seed_audio song.wav --duration 10 -o more.wav',
}


def manual(parser: argparse.ArgumentParser) -> str:
  """The page, as roff for man(7)."""
  lines = [
    f'.TH LMIC 1 "" "lmic {__version__}" "User Commands"',
    '.SH NAME',
    r'lmic \- lossless audio compression by a language model',
    '.SH SYNOPSIS',
    r'.B lmic',
    r'[\fICOMMAND\fR] [\fIOPTION\fR]... [\fIFILE\fR]...',
    '.SH DESCRIPTION',
    '.B lmic',
    *_text(_DESCRIPTION),
    '.SH COMMANDS',
  ]
  for name, (help, _) in commands_of(parser).items():
    flags = [flag for flag, command in COMMAND_FLAGS.items() if command == name]
    lines += ['.TP', f'.B {_escaped(", ".join([name, *flags]))}', *_text(f'{help}.')]
  lines += ['.PP', 'Without a command files are compressed.']
  for name, (_, of_command) in commands_of(parser).items():
    lines.append(f'.SH OPTIONS OF {name.upper()}')
    lines += _options(of_command)
  lines.append('.SH OTHER OPTIONS')
  lines += _options(parser)
  lines.append('.SH EXIT STATUS')
  for code, meaning in _EXIT_STATUS.items():
    lines += ['.TP', f'.B {code}', *_text(meaning)]
  lines.append('.SH ENVIRONMENT')
  lines += ['.TP', '.B NUMBA_CACHE_DIR', 'Folder that compiled code is kept in.']
  lines += ['.TP', f'.B {native.VARIABLE}', *_text(_CODE)]
  lines.append('.SH EXAMPLES')
  for what, command in _EXAMPLES.items():
    lines += ['.TP', _escaped(what), f'.B {_escaped(command)}']
  lines += ['.SH SEE ALSO', '.BR flac (1),', '.BR zstd (1)']
  return '\n'.join([*lines, ''])


def _options(parser: argparse.ArgumentParser) -> list[str]:
  lines = []
  for action in parser._actions:
    if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
      continue
    names = ', '.join(f'\\fB{_escaped(name)}\\fR' for name in action.option_strings)
    value = ''
    if action.nargs in (None, '+') and not action.choices:
      value = f' \\fI{_escaped(str(action.metavar))}\\fR' + (' ...' if action.nargs else '')
    elif action.nargs is None and action.choices:
      value = f' \\fI{_escaped("|".join(map(str, action.choices)))}\\fR'
    lines += ['.TP', names + value if names else f'\\fI{_escaped(str(action.metavar))}\\fR']
    lines += _text(parser._get_formatter()._expand_help(action) if action.help else '')
  return lines


def _text(text: str) -> list[str]:
  return [_escaped(line) for line in text.splitlines()]


def _escaped(text: str) -> str:
  escaped = text.replace('\\', r'\e').replace('-', r'\-')
  return rf'\&{escaped}' if escaped.startswith(('.', "'")) else escaped


if __name__ == '__main__':
  print(manual(build_parser()), end='')
