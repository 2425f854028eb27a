"""Programs are run as they are told, on the files that they are told, and stopped with all that they have started."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from language_modeling_is_compression.errors import BaselineError, ConfigError
from language_modeling_is_compression.evaluation.compressors.programs import (
  PROGRAMS,
  Program,
  parse_custom,
  program_version,
  run_program,
)

LIMIT_SECONDS = 60


@pytest.fixture
def plant(tmp_path, monkeypatch):
  """Puts a shell script on PATH, before all else."""
  folder = tmp_path / 'planted'
  folder.mkdir()
  monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')

  def plant(name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(0o755)
    return path

  return plant


def run(template: str, folder: Path, *, limit_seconds: float = LIMIT_SECONDS) -> float:
  places = {'{in}': str(folder / 'input.wav'), '{out}': str(folder / 'packed.x'), '{pcm}': 'pcm_u8'}
  return run_program(template, places, time_limit_seconds=limit_seconds)


# Command lines that users give.


@pytest.mark.parametrize(
  ('text', 'expected', 'suffix'),
  [
    (
      'mine=mine -9 {in} {out} :: mine -d {in} {out}',
      Program(name='mine', encode='mine -9 {in} {out}', decode='mine -d {in} {out}'),
      '',
    ),
    (
      ' two words = a --key=b {in} -o {out}.m4a  ::  c {in} {out}.wav ',
      Program(name='two words', encode='a --key=b {in} -o {out}.m4a', decode='c {in} {out}.wav'),
      '.m4a',
    ),
    ('x=x --to={out}.x::y {in}', Program(name='x (not decoded)', encode='x --to={out}.x::y {in}', decode=None), '.x'),
  ],
)
def test_custom_programs(text, expected, suffix):
  assert parse_custom(text) == expected
  assert parse_custom(text).suffix == suffix


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('mine', "expected 'NAME=COMMAND', with {in} and {out} in COMMAND, got 'mine'"),
    ('', "expected 'NAME=COMMAND', with {in} and {out} in COMMAND, got ''"),
    ('=mine {in} {out}', "expected 'NAME=COMMAND', with {in} and {out} in COMMAND, got '=mine {in} {out}'"),
    ('mine=', "expected 'NAME=COMMAND', with {in} and {out} in COMMAND, got 'mine='"),
    ('mine= :: a {in} {out}', "expected 'NAME=COMMAND', with {in} and {out} in COMMAND, got 'mine= :: a {in} {out}'"),
    ('mine=mine {in}', 'mine: expected {out} in `mine {in}`, where the name of a file goes'),
    ('mine=mine {out}', 'mine: expected {in} in `mine {out}`, where the name of a file goes'),
    ('mine=mine {in} {out} :: mine -d {in}', 'mine: expected {out} in `mine -d {in}`, where the name of a file goes'),
    ('mine=mine {in} {out} ::', 'mine: expected {in} in ``, where the name of a file goes'),
    ("mine=mine '{in} {out}", "mine: `mine '{in} {out}` is no command line: No closing quotation"),
  ],
)
def test_custom_programs_that_make_no_sense(text, message):
  with pytest.raises(ConfigError) as caught:
    parse_custom(text)
  assert str(caught.value) == message


def test_all_known_programs_name_both_files_and_no_two_are_called_the_same():
  for key, program in PROGRAMS.items():
    assert program.decode and program.version, key
    again = parse_custom(f'{program.name}={program.encode} :: {program.decode}')
    assert (again.name, again.encode, again.decode) == (program.name, program.encode, program.decode)
  assert len({program.name for program in PROGRAMS.values()}) == len(PROGRAMS)


def test_what_is_missing_is_named_the_decoder_too(plant):
  program = parse_custom('mine=lmic-packs {in} {out} :: lmic-unpacks {in} {out}')
  assert program.missing() == 'lmic-packs'
  plant('lmic-packs', '')
  assert program.missing() == 'lmic-unpacks'
  plant('lmic-unpacks', '')
  assert program.missing() is None


# Running.


def test_places_are_filled_in_and_no_shell_sees_the_words(plant, tmp_path):
  plant('show', 'for word; do echo "$word"; done > "$(dirname "$1")/words"')
  folder = tmp_path / "it's a $HOME; touch here"
  folder.mkdir()
  seconds = run('show {in} --to={out}.x "two words" $HOME ; {pcm} *', folder)
  source, packed = folder / 'input.wav', folder / 'packed.x'
  expected = [str(source), f'--to={packed}', 'two words', '$HOME', ';', 'pcm_u8', '*']
  assert (folder / 'words').read_text().splitlines() == expected
  assert seconds > 0


def test_nothing_waits_for_standard_input(tmp_path):
  reading, writing = os.pipe()
  ours = os.dup(0)
  os.dup2(reading, 0)
  try:
    run('cat', tmp_path, limit_seconds=5)
  finally:
    os.dup2(ours, 0)
    for descriptor in (reading, writing, ours):
      os.close(descriptor)


@pytest.mark.parametrize(
  ('script', 'message'),
  [
    ('exit 3', 'fails failed with exit code 3'),
    ('echo "ERROR: no space" >&2; exit 1', 'fails failed with exit code 1: ERROR: no space'),
    ('echo "said here"; exit 1', 'fails failed with exit code 1: said here'),
    (r'printf "1%%\r2%%\r\n\n  at %s\n" "$1" >&2; exit 1', 'fails failed with exit code 1: 1% | 2% | at input.wav'),
    (r"printf 'a\377b\033[1m' >&2; exit 2", 'fails failed with exit code 2: a\ufffdb\\x1b[1m'),
    ('seq 1 20; exit 1', 'fails failed with exit code 1: 15 | 16 | 17 | 18 | 19 | 20'),
    ('echo "[flac @ 0x55d0c0ffee] bad"; exit 1', 'fails failed with exit code 1: [flac] bad'),
    ('kill -6 $$', 'fails died of signal 6'),
  ],
)
def test_a_program_that_fails(plant, tmp_path, script, message):
  plant('fails', script)
  with pytest.raises(BaselineError) as caught:
    run('fails {in} {out}', tmp_path)
  assert str(caught.value) == message


def test_what_a_program_says_is_cut_where_it_is_long(plant, tmp_path):
  plant('fails', 'head -c 100000 /dev/zero | tr "\\0" x; echo end; exit 1')
  with pytest.raises(BaselineError, match=r'xend$') as caught:
    run('fails', tmp_path)
  assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
  ('make', 'reason'),
  [
    (lambda path: None, 'No such file or directory'),
    (lambda path: path.write_text('#!/bin/sh'), 'Permission denied'),
    (lambda path: path.write_bytes(b'\0\1\2\3') and path.chmod(0o755), 'Exec format error'),
  ],
)
def test_a_program_that_cannot_be_started(tmp_path, make, reason):
  path = tmp_path / 'program'
  make(path)
  with pytest.raises(BaselineError) as caught:
    run(shlex.quote(str(path)), tmp_path)
  assert str(caught.value) == f'{path} cannot be started: {reason}'


def test_a_program_that_hangs_is_stopped(tmp_path):
  with pytest.raises(BaselineError) as caught:
    run('sleep 1000', tmp_path, limit_seconds=0.25)
  assert str(caught.value) == 'sleep was stopped: it took more than the time limit of 0.25 s'


@pytest.mark.parametrize(
  ('interruption', 'error'),
  [(KeyboardInterrupt(), KeyboardInterrupt), (subprocess.TimeoutExpired('tree', 1), BaselineError)],
)
def test_what_a_program_has_started_ends_with_it(plant, tmp_path, monkeypatch, interruption, error):
  pids = tmp_path / 'pids'
  plant('tree', f'sleep 1000 &\necho $$ $! > {pids}.new\nmv {pids}.new {pids}\nwait')

  def interrupted(*_, **__):
    wait_until(pids.exists)
    raise interruption

  monkeypatch.setattr(subprocess.Popen, 'communicate', interrupted)
  with pytest.raises(error):
    run('tree', tmp_path)
  for pid in pids.read_text().split():
    wait_until(lambda pid=pid: has_ended(pid))


def has_ended(pid: str) -> bool:
  try:
    state = Path('/proc', pid, 'stat').read_text().rpartition(')')[2].split()[0]
  except (FileNotFoundError, ProcessLookupError):
    return True
  return state in 'ZX'  # Nobody has asked yet how it ended.


def wait_until(condition) -> None:
  for _ in range(1000):
    if condition():
      return
    time.sleep(0.02)
  raise AssertionError('it never happened')


# Versions.


@pytest.mark.parametrize(
  ('script', 'version'),
  [
    ('echo "flac 1.4.2"', 'flac 1.4.2'),
    (r'printf "\n--- Audio Console (v 10.44) ---\nUsage: 0.1\n" >&2; exit 1', 'Audio Console (v 10.44)'),
    ('echo "mse: 45.62"; echo "Sac v0.7.25 - Lossless"', 'Sac v0.7.25 - Lossless'),
    ('echo "Usage: [file]"; echo "tool version 5.1-0 Copyright (c) 2000"', 'tool version 5.1-0'),
    ('echo "Usage: [file]"', 'unknown'),
    ('exit 1', 'unknown'),
  ],
)
def test_versions(plant, script, version):
  plant('tool', script)
  assert program_version(Program(name='tool', encode='', decode=None, version='tool --version')) == version


def test_versions_of_what_is_not_known_or_not_there():
  assert program_version(parse_custom('mine=mine {in} {out}')) == 'unknown'
  assert program_version(Program(name='', encode='', decode=None, version='lmic-no-such-program')) == 'unknown'
  python = Program(name='', encode='', decode=None, version=f'{shlex.quote(sys.executable)} --version')
  assert program_version(python) == f'Python {sys.version.split()[0]}'
