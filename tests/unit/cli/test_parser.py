"""Command lines as users of zstd and gzip write them, shell completions, and the manual page."""

import shutil
import subprocess

import pytest
from support.training_runs import REPOSITORY

from language_modeling_is_compression.cli import completion, manual, options
from language_modeling_is_compression.cli.parser import COMMANDS, build_parser, parse
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.files import STANDARD


def parsed(line: str) -> options.Options | None:
  return parse(line.split())


@pytest.mark.parametrize(
  ('line', 'kind'),
  [
    ('a.wav', options.Compress),
    ('-z a.wav', options.Compress),
    ('compress a.wav', options.Compress),
    ('-d a.lmic', options.Decompress),
    ('a.lmic -d', options.Decompress),
    ('--decompress a.lmic', options.Decompress),
    ('-t a.lmic', options.Test),
    ('-l a.lmic', options.Info),
    ('--list a.lmic', options.Info),
    ('-', options.Compress),
  ],
)
def test_flags_that_stand_for_commands(line, kind):
  assert isinstance(parsed(line), kind)


def test_clusters_of_short_flags():
  chosen = parsed('-dfk a.lmic')
  assert isinstance(chosen, options.Decompress)
  assert chosen.destination.force and not chosen.destination.remove and chosen.selection.files == ('a.lmic',)
  chosen = parsed('-9fqT3 a.wav')
  assert isinstance(chosen, options.Compress)
  assert (chosen.level, chosen.destination.force, chosen.work.quiet, chosen.work.threads) == (9, True, True, 3)
  chosen = parsed('-dcT0 a.lmic')
  assert isinstance(chosen, options.Decompress)
  assert (chosen.destination.output, chosen.work.threads) == (STANDARD, None)
  chosen = parsed('-ofold a.wav')  # A value, not letters.
  assert isinstance(chosen, options.Compress) and chosen.destination.output == 'fold'


def test_a_command_comes_before_a_file_of_its_name():
  chosen = parsed('test')
  assert isinstance(chosen, options.Test) and chosen.selection.files == ()
  chosen = parsed('./test')
  assert isinstance(chosen, options.Compress) and chosen.selection.files == ('./test',)


@pytest.mark.parametrize(
  'line',
  [
    'a -c -o b',
    'a -c --output-dir-flat b',
    'a -o b --output-dir-mirror c',
    'a --output-dir-flat b --output-dir-mirror c',
  ],
)
def test_one_destination(line):
  with pytest.raises(ConfigError, match='choose one'):
    parsed(line)


@pytest.mark.parametrize(('flag', 'value'), [('-T', '-1'), ('-T', 'many'), ('-T', '2000'), ('--lanes', '0')])
def test_numbers_out_of_range(capsys, flag, value):
  with pytest.raises(SystemExit) as ended:
    parse(['a.wav', f'{flag}={value}' if flag.startswith('--') else f'{flag}{value}'])
  assert ended.value.code == 2 and 'expected an integer from' in capsys.readouterr().err


# Completions and the manual page.


@pytest.mark.parametrize('shell', completion.SHELLS)
def test_completions_know_every_command_and_flag(shell):
  script = completion.script(shell, build_parser())
  for name, (_, of_command) in completion.commands_of(build_parser()).items():
    assert name in COMMANDS and name in script
    for flag in completion.flags_of(of_command):
      for each in flag.names:
        assert (each if shell != 'fish' else each.lstrip('-')) in script, each


@pytest.mark.parametrize('shell', completion.SHELLS)
def test_shells_take_their_completions(shell):
  if shutil.which(shell) is None:
    pytest.skip(f'{shell} is not installed')
  script = completion.script(shell, build_parser())
  done = subprocess.run([shell, '-n'], input=script, capture_output=True, text=True)
  assert (done.returncode, done.stderr) == (0, '')


def complete(*words: str) -> list[str]:
  """What bash offers for the last of some words."""
  script = completion.script('bash', build_parser())
  quoted = ' '.join(f"'{word}'" for word in ('lmic', *words))
  program = f'{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _lmic; printf "%s\\n" "${{COMPREPLY[@]}}"'
  return subprocess.run(['bash', '-c', program], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(shutil.which('bash') is None, reason='bash is not installed')
def test_bash_completes():
  assert complete('dec') == ['decompress']
  assert complete('decompress', '--sal') == ['--salvage']
  assert complete('compress', '--device', '') == ['cpu', 'gpu']
  assert complete('info', 'song') == []  # Left to bash, which offers files.


def test_the_completion_flag_prints_and_exits(capsys):
  with pytest.raises(SystemExit) as ended:
    parse(['--completion', 'fish'])
  assert ended.value.code == 0 and capsys.readouterr().out == completion.script('fish', build_parser())


def test_the_manual_page_is_that_of_the_flags():
  """After a change of flags: make manual."""
  assert (REPOSITORY / 'docs/lmic.1').read_text(encoding='utf-8') == manual.manual(build_parser())


@pytest.mark.skipif(shutil.which('groff') is None, reason='groff is not installed')
def test_the_manual_page_is_sound():
  done = subprocess.run(
    ['groff', '-man', '-Tutf8', '-ww', REPOSITORY / 'docs/lmic.1'], capture_output=True, text=True, check=True
  )
  assert done.stderr == '' and 'lossless audio compression' in done.stdout
