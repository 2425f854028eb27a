"""Shell completions of `lmic` for bash, zsh and fish, made from its parser.

lmic --completion bash > ~/.local/share/bash-completion/completions/lmic
lmic --completion zsh > ~/.zfunc/_lmic
lmic --completion fish > ~/.config/fish/completions/lmic.fish
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

SHELLS = ('bash', 'zsh', 'fish')


class Flag(NamedTuple):
  """A flag of a command. names: short ones first. values: what it takes, () for a switch or free text."""

  names: tuple[str, ...]
  takes_value: bool
  values: tuple[str, ...]
  is_path: bool
  help: str


def script(shell: str, parser: argparse.ArgumentParser) -> str:
  """Completion script for a shell, one of SHELLS."""
  return {'bash': _bash, 'zsh': _zsh, 'fish': _fish}[shell](parser)


def commands_of(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
  """Commands by name: their help, and their parsers."""
  [action] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
  helps = {choice.dest: str(choice.help) for choice in action._choices_actions}
  return {name: (helps[name], of_command) for name, of_command in action.choices.items()}


def flags_of(parser: argparse.ArgumentParser) -> Iterator[Flag]:
  """Flags that the help lists, in its order."""
  for action in parser._actions:
    if action.option_strings and action.help != argparse.SUPPRESS:
      yield Flag(
        names=tuple(action.option_strings),
        takes_value=action.nargs in (None, '+'),
        values=tuple(str(choice) for choice in action.choices or ()),
        is_path=action.metavar in ('MODEL', 'OUT', 'DIR', 'LIST', 'FILE'),
        help=parser._get_formatter()._expand_help(action) if action.help else '',
      )


def _bash(parser: argparse.ArgumentParser) -> str:
  cases = []
  for name, (_, of_command) in commands_of(parser).items():
    words = ' '.join(flag for each in flags_of(of_command) for flag in each.names)
    cases.append(f'    {name}) words="{words}" ;;')
  values = {
    '|'.join(flag.names): ' '.join(flag.values)
    for _, of_command in commands_of(parser).values()
    for flag in flags_of(of_command)
    if flag.values
  }
  value_cases = [
    f'    {names}) COMPREPLY=($(compgen -W "{words}" -- "$word")); return ;;' for names, words in values.items()
  ]
  top = ' '.join([*commands_of(parser), '-d', '-t', '-l', *(n for flag in flags_of(parser) for n in flag.names)])
  return '\n'.join(
    [
      '# bash completion of lmic; made by `lmic --completion bash`',
      '_lmic() {',
      '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
      '  case "$before" in',
      *value_cases,
      '  esac',
      '  case "${COMP_WORDS[1]}" in',
      *cases,
      f'    *) words="{top}" ;;',
      '  esac',
      '  if [[ "$word" == -* || $COMP_CWORD -eq 1 ]]; then',
      '    COMPREPLY=($(compgen -W "$words" -- "$word"))',
      '  fi',
      '}',
      'complete -o default -F _lmic lmic',
      '',
    ]
  )


def _zsh(parser: argparse.ArgumentParser) -> str:
  lines = ['#compdef lmic', '# zsh completion of lmic; made by `lmic --completion zsh`']
  lines += ['_lmic() {', '  local -a commands', '  commands=(']
  lines += [f'    {_quoted(f"{name}:{help}")}' for name, (help, _) in commands_of(parser).items()]
  lines += ['  )', '  if (( CURRENT == 2 )) && [[ "$words[2]" != -* ]]; then']
  lines += ["    _describe -t commands 'lmic command' commands", '    _files', '    return', '  fi']
  lines.append('  case "$words[2]" in')
  for name, (_, of_command) in commands_of(parser).items():
    lines.append(f'    {name})')
    lines.append('      _arguments \\')
    for flag in flags_of(of_command):
      lines += [f'        {_quoted(_zsh_argument(flag, each))} \\' for each in flag.names]
    lines += ["        '*:file:_files' ;;"]
  lines += ["    *) _arguments '*:file:_files' ;;", '  esac', '}', '_lmic "$@"', '']
  return '\n'.join(lines)


def _zsh_argument(flag: Flag, name: str) -> str:
  help = flag.help.replace('[', '(').replace(']', ')').replace(':', ' -')
  if not flag.takes_value:
    return f'{name}[{help}]'
  kind = f'({" ".join(flag.values)})' if flag.values else '_files' if flag.is_path else ' '
  return f'{name}[{help}]:value:{kind}'


def _fish(parser: argparse.ArgumentParser) -> str:
  names = ' '.join(commands_of(parser))
  lines = ['# fish completion of lmic; made by `lmic --completion fish`']
  for name, (help, of_command) in commands_of(parser).items():
    lines.append(f"complete -c lmic -n 'not __fish_seen_subcommand_from {names}' -a {name} -d {_quoted(help)}")
    for flag in flags_of(of_command):
      parts = [f"complete -c lmic -n '__fish_seen_subcommand_from {name}'"]
      for each in flag.names:
        parts.append(f'-l {each[2:]}' if each.startswith('--') else f'-s {each[1:]}')
      if flag.takes_value:
        parts.append('-r')
      if flag.values:
        parts.append(f'-f -a {_quoted(" ".join(flag.values))}')
      parts.append(f'-d {_quoted(flag.help)}')
      lines.append(' '.join(parts))
  return '\n'.join([*lines, ''])


def _quoted(text: str) -> str:
  return "'" + text.replace("'", "'\\''") + "'"
