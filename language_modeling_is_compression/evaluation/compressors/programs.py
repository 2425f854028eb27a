"""Other people's compressors that are programs: their command lines, and how they are run, timed and stopped."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from language_modeling_is_compression.errors import BaselineError, ConfigError
from language_modeling_is_compression.system.text import printable

_VERSION_SECONDS = 20
_SHOWN_LINES = 6
_SHOWN_CHARACTERS = 500
_OUTPUT = re.compile(r'\{out\}(\.\w+)?')
_DECODED_BY = re.compile(r'(?:^|\s+)::(?:\s+|$)')
_ADDRESS = re.compile(r' @ 0x[0-9a-f]+')  # ffmpeg's, of another value each time.
_VERSION_NUMBER = re.compile(r'[A-Za-z] ?\d+\.\d')


@dataclass(frozen=True, kw_only=True)
class Program:
  """A program that takes a WAV file to a smaller file, and another, or the same, that takes it back.

  name: as tables show it. encode: its command line, in which {in} is a WAV file and {out} what it shall write; an
  extension after {out}, such as {out}.flac, is part of that name. decode: from {in}, that file, to {out}, a WAV file;
  {pcm} is ffmpeg's name for how the samples stood in the WAV file. None: nothing is known to decode it.
  version: a command line whose output begins with a version, or None.
  as_reference: chunks reach it as they reach FLAC in the code of "Language Modeling is Compression".
  """

  name: str
  encode: str
  decode: str | None
  version: str | None = None
  as_reference: bool = False

  @property
  def suffix(self) -> str:
    """The extension that its output needs, with its dot, or ''."""
    found = _OUTPUT.search(self.encode)
    return (found.group(1) or '') if found else ''

  def missing(self) -> str | None:
    """Name of a program that is needed and not on PATH, or None."""
    for command in (self.encode, self.decode):
      if command and not shutil.which(executable := shlex.split(command)[0]):
        return executable
    return None


# FLAC's padding is room for tags, and its seek points are for players; neither belongs to the samples. ffmpeg's ALAC
# goes into .caf, whose index takes 500 bytes fewer than that of .m4a; more prediction orders than by default make its
# output larger. sac's stronger profiles take seconds for every thousand samples.
_FFMPEG = 'ffmpeg -nostdin -v error -y -i {in}'
_FFMPEG_DECODE = f'{_FFMPEG} -c:a {{pcm}} {{out}}'
_FFMPEG_VERSION = 'ffmpeg -version'
PROGRAMS: Mapping[str, Program] = {
  'flac': Program(
    name='flac -8',
    encode='flac -8 --silent --no-padding --no-seektable -f {in} -o {out}.flac',
    decode='flac -d --silent -f {in} -o {out}',
    version='flac --version',
  ),
  'ffmpeg-flac': Program(
    name='ffmpeg-flac',
    encode='ffmpeg -nostdin -v error -y -f wav -i {in} -compression_level 12 -f flac {out}.flac',
    decode=_FFMPEG_DECODE,
    version=_FFMPEG_VERSION,
    as_reference=True,
  ),
  'wavpack': Program(
    name='wavpack -hh -x6',
    encode='wavpack -hh -x6 -q -y {in} -o {out}.wv',
    decode='wvunpack -q -y {in} -o {out}',
    version='wavpack --version',
  ),
  'alac': Program(
    name='alac',
    encode=f'{_FFMPEG} -c:a alac {{out}}.caf',
    decode=_FFMPEG_DECODE,
    version=_FFMPEG_VERSION,
  ),
  'tta': Program(name='tta', encode=f'{_FFMPEG} -c:a tta {{out}}.tta', decode=_FFMPEG_DECODE, version=_FFMPEG_VERSION),
  'mac': Program(name='mac -c5000', encode='mac {in} {out}.ape -c5000', decode='mac {in} {out} -d', version='mac'),
  'ofr': Program(
    name='ofr --preset max',
    encode='ofr --encode --preset max --silent {in} --output {out}.ofr',
    decode='ofr --decode --silent {in} --output {out}',
    version='ofr',
  ),
  'sac': Program(
    name='sac --normal', encode='sac --encode --normal {in} {out}.sac', decode='sac --decode {in} {out}', version='sac'
  ),
}


def parse_custom(text: str) -> Program:
  """A program given as 'NAME=COMMAND :: DECODE_COMMAND', or as 'NAME=COMMAND' if nothing decodes its output.

  Both are command lines as `Program` has them, split as a shell splits them; no shell runs them. The name of one that
  is not decoded says so. Raises ConfigError.
  """
  name, _, commands = (part.strip() for part in text.partition('='))
  encode, *rest = _DECODED_BY.split(commands, maxsplit=1)
  if not name or not encode:
    raise ConfigError(f"expected 'NAME=COMMAND', with {{in}} and {{out}} in COMMAND, got '{text}'")
  for command in (encode, *rest):
    _check_command(name, command)
  return Program(name=name if rest else f'{name} (not decoded)', encode=encode, decode=rest[0] if rest else None)


def run_program(template: str, places: Mapping[str, str], *, time_limit_seconds: float) -> float:
  """Runs a command line with its places, such as {in}, filled in; returns the seconds that it took.

  Nothing goes to its standard input. When its time is up, or at Ctrl-C, it is killed with all that it has started.
  Raises BaselineError, one line, if it cannot be started, fails, or exceeds the time limit.
  """
  command = [_filled(word, places) for word in shlex.split(template)]
  started = time.perf_counter()
  code, output = _finished(command, time_limit_seconds)
  seconds = time.perf_counter() - started
  if code:
    how = f'failed with exit code {code}' if code > 0 else f'died of signal {-code}'
    said = _last_lines(output, places)
    raise BaselineError(f'{command[0]} {how}' + (f': {said}' if said else ''))
  return seconds


def program_version(program: Program) -> str:
  """The first line with a version number in it that its version command prints, or 'unknown'."""
  if program.version is None:
    return 'unknown'
  try:
    _, output = _finished(shlex.split(program.version), _VERSION_SECONDS)
  except BaselineError:
    return 'unknown'
  return next(
    (line.strip('- ').partition(' Copyright')[0] for line in _lines(output) if _VERSION_NUMBER.search(line)), 'unknown'
  )


def _finished(command: list[str], time_limit_seconds: float) -> tuple[int, bytes]:
  """A process's exit code, and what it wrote to its standard output and standard error together."""
  try:
    # Its own session: a Ctrl-C is ours to pass on, and its process group can be killed as a whole.
    process = subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      start_new_session=True,
    )
  except (OSError, ValueError) as error:
    reason = getattr(error, 'strerror', None) or str(error)
    raise BaselineError(f'{command[0]} cannot be started: {reason}') from error
  with process:
    try:
      output, _ = process.communicate(timeout=time_limit_seconds)
    except subprocess.TimeoutExpired as error:
      _kill(process)
      raise BaselineError(
        f'{command[0]} was stopped: it took more than the time limit of {time_limit_seconds:g} s'
      ) from error
    except BaseException:
      _kill(process)
      raise
  return process.returncode, output


def _kill(process: subprocess.Popen[bytes]) -> None:
  if hasattr(os, 'killpg'):
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
  else:
    process.kill()
  process.wait()


def _filled(word: str, places: Mapping[str, str]) -> str:
  if '{out}' in word and '{out}' in places:
    word = _OUTPUT.sub(lambda _: places['{out}'], word)
  for place, text in places.items():
    word = word.replace(place, text)
  return word


def _check_command(name: str, command: str) -> None:
  try:
    words = shlex.split(command)
  except ValueError as error:
    raise ConfigError(f'{name}: `{command}` is no command line: {error}') from error
  for place in ('{in}', '{out}'):
    if not any(place in word for word in words):
      raise ConfigError(f'{name}: expected {place} in `{command}`, where the name of a file goes')


def _last_lines(output: bytes, places: Mapping[str, str]) -> str:
  """The end of what a program said, as one printable line, without our temporary folder's name."""
  text = ' | '.join(_lines(output)[-_SHOWN_LINES:])
  for path in (places['{in}'], places['{out}']):
    text = text.replace(path, Path(path).name)
  return _ADDRESS.sub('', text)[-_SHOWN_CHARACTERS:]


def _lines(output: bytes) -> list[str]:
  lines = (line.strip() for line in re.split(r'[\r\n]+', output.decode(errors='replace')))
  return [printable(line) for line in lines if line]
