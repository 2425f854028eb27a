"""FLAC files unpacked, to be coded as the sound that they hold, and packed again to the very same bytes.

What an encoder of FLAC makes of sound depends on its version and its settings. An unpacked file names those that make
the same frames again, as was seen when it was unpacked: a line of JSON behind _MARK, the FLAC file's metadata, its
samples (signed, little-endian), and what followed its frames. Source: RFC 9639; the program is `flac` of xiph.org.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from language_modeling_is_compression.audio.info import Region
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.codec.plan import Located
from language_modeling_is_compression.errors import AudioFormatError, DependencyError, FormatError
from language_modeling_is_compression.format.surroundings import UNPACKED
from language_modeling_is_compression.system.files import scratch_folder

_MARK = b'lmic unpacked FLAC 1 '
_MAX_LINE_BYTES = 4096
_MAGIC = b'fLaC'
_STREAMINFO_BYTES = 34
_TAG_BYTES = 128
_BLOCK_BYTES = 1 << 20
_TRIED_BLOCKS = 12  # Of FLAC, to see which settings are worth a run over all of them.
_SETTINGS = tuple(
  (f'-{level}', *more) for more in ((), ('-e',), ('-p',), ('-e', '-p')) for level in (5, 8, 6, 7, 4, 3, 2, 1, 0)
)


class _Stream(NamedTuple):
  """What a FLAC file's metadata say. frames_at: where its first frame begins. block_samples: of its frames."""

  frames_at: int
  block_samples: int
  sample_rate_hz: int
  num_channels: int
  sample_bytes: int


@dataclass(frozen=True, kw_only=True)
class _Recipe:
  """How the FLAC file is made again.

  program: name and version of the encoder. settings: its flags. sha256, flac_bytes: of the FLAC file. frames_at: bytes
  of its metadata. format: of the samples, bytes, channels and Hz. tail_bytes: behind its frames.
  """

  program: str
  settings: Sequence[str]
  sha256: str
  flac_bytes: int
  frames_at: int
  format: Sequence[int]
  tail_bytes: int

  @property
  def pcm(self) -> PcmFormat:
    sample_bytes, num_channels, rate = self.format
    return PcmFormat(kind=SampleKind.SIGNED, sample_bytes=sample_bytes, num_channels=num_channels, sample_rate_hz=rate)

  def line(self) -> bytes:
    return _MARK + json.dumps(dataclasses.asdict(self), separators=(',', ':')).encode() + b'\n'


def is_flac(source: BinaryIO) -> bool:
  """Whether a file, which is left at its beginning, is a FLAC file."""
  source.seek(0)
  beginning = source.read(len(_MAGIC))
  source.seek(0)
  return beginning == _MAGIC


def unpack(source: BinaryIO, target: BinaryIO, name: str) -> Located:
  """Writes a FLAC file unpacked. Returns where its samples stand then.

  Raises AudioFormatError if it is damaged, of a depth other than 8, 16 or 24 bits, or none that this machine's `flac`
  makes again, bit for bit; DependencyError without that program. name: for errors.
  """
  program = _program()
  with scratch_folder() as folder:
    flac, raw = folder / 'a.flac', folder / 'a.raw'
    source.seek(0)
    with open(flac, 'wb') as copy:
      shutil.copyfileobj(source, copy, _BLOCK_BYTES)
    stream = _read_stream(flac, name)
    _run(['-d', *_as_raw(), '-o', str(raw), str(_without_tag(flac, folder))], name)
    settings, tail_bytes = _find_settings(flac, raw, stream, folder, name)
    recipe = _Recipe(
      program=program,
      settings=settings,
      sha256=_sha256(flac),
      flac_bytes=flac.stat().st_size,
      frames_at=stream.frames_at,
      format=(stream.sample_bytes, stream.num_channels, stream.sample_rate_hz),
      tail_bytes=tail_bytes,
    )
    line = recipe.line()
    target.write(line)
    with open(flac, 'rb') as file:
      target.write(file.read(stream.frames_at))
    with open(raw, 'rb') as file:
      shutil.copyfileobj(file, target, _BLOCK_BYTES)
    with open(flac, 'rb') as file:
      file.seek(recipe.flac_bytes - tail_bytes)
      target.write(file.read())
    num_frames = raw.stat().st_size // recipe.pcm.frame_bytes
  return Located(UNPACKED, recipe.pcm, [Region(len(line) + stream.frames_at, num_frames)])


def require_program(head: bytes) -> None:
  """Raises DependencyError unless the program is there that an unpacked file of this beginning asks for.

  FormatError if it is none that `unpack` wrote.
  """
  wanted, found = _parse(head).program, _program()
  if found != wanted:
    raise DependencyError(
      f'it holds a FLAC file, whose very bytes {wanted} makes, and here is {found}: install that version, '
      'or take the sound as WAV with --start 0'
    )


def pack(unpacked: BinaryIO, target: BinaryIO) -> None:
  """Writes the FLAC file that was unpacked, from an unpacked file.

  Raises DependencyError as `require_program`, FormatError if it comes out otherwise.
  """
  unpacked.seek(0)
  line = unpacked.readline(_MAX_LINE_BYTES)
  require_program(line)
  recipe = _parse(line)
  metadata = unpacked.read(recipe.frames_at)
  unpacked.seek(0, os.SEEK_END)
  samples_at = len(line) + recipe.frames_at
  raw_bytes = unpacked.tell() - samples_at - recipe.tail_bytes
  digest = hashlib.sha256()

  def write(data: bytes) -> None:
    digest.update(data)
    target.write(data)

  with scratch_folder() as folder:
    raw, flac = folder / 'a.raw', folder / 'a.flac'
    unpacked.seek(samples_at)
    with open(raw, 'wb') as copy:
      for block in _blocks(unpacked, raw_bytes):
        copy.write(block)
    _encode(recipe.settings, recipe.pcm, raw, flac, 'the FLAC file')
    frames_at = _read_stream(flac, 'the FLAC file').frames_at
    write(metadata)
    with open(flac, 'rb') as file:
      file.seek(frames_at)
      for block in _blocks(file, flac.stat().st_size - frames_at):
        write(block)
  write(unpacked.read())
  if digest.hexdigest() != recipe.sha256:
    raise FormatError(f'{recipe.program} made another FLAC file of the same sound than it did when it was compressed')


def _without_tag(flac: Path, folder: Path) -> Path:
  """The file without an ID3v1 tag at its end, over which the program stumbles."""
  num_bytes = flac.stat().st_size - _TAG_BYTES
  with open(flac, 'rb') as file:
    file.seek(max(0, num_bytes))
    if not file.read().startswith(b'TAG'):
      return flac
    file.seek(0)
    with open(folder / 'untagged.flac', 'wb') as copy:
      for block in _blocks(file, num_bytes):
        copy.write(block)
  return folder / 'untagged.flac'


def _parse(head: bytes) -> _Recipe:
  line = head.partition(b'\n')[0]
  try:
    fields: dict[str, Any] = json.loads(line.removeprefix(_MARK)) if line.startswith(_MARK) else {}
    recipe = _Recipe(**fields)
    sound = (
      all(isinstance(each, str) for each in (recipe.program, recipe.sha256, *recipe.settings))
      and all(isinstance(each, int) and each >= 0 for each in (recipe.frames_at, recipe.tail_bytes, *recipe.format))
      and len(recipe.format) == 3
      and tuple(recipe.settings[:-1]) in _SETTINGS
      and recipe.settings[-1].removeprefix('--blocksize=').isdecimal()
    )
  except (ValueError, TypeError):
    sound = False
  if not sound:
    raise FormatError('what it says of its FLAC file contradicts itself: no program of this version wrote it')
  return recipe


def _program() -> str:
  """Name and version of the encoder."""
  if shutil.which('flac') is None:
    raise DependencyError('flac is not installed, which takes FLAC files apart and makes them again: install it')
  done = subprocess.run(['flac', '--version'], capture_output=True, check=False)
  return done.stdout.decode(errors='replace').strip()


def _as_raw() -> list[str]:
  return ['--totally-silent', '--force', '--force-raw-format', '--endian=little', '--sign=signed']


def _run(arguments: Sequence[str], name: str) -> None:
  done = subprocess.run(['flac', *arguments], capture_output=True, check=False)
  if done.returncode:
    raise AudioFormatError(f'{name}: flac cannot decode it: it is damaged, cut off or of an uncommon kind')


def _encode(settings: Sequence[str], pcm: PcmFormat, raw: Path, flac: Path, name: str) -> None:
  form = [f'--channels={pcm.num_channels}', f'--bps={8 * pcm.sample_bytes}', f'--sample-rate={pcm.sample_rate_hz}']
  plain = ['--no-padding', '--no-seektable', '--lax']
  _run([*settings, *_as_raw(), *form, *plain, '-o', str(flac), str(raw)], name)


def _find_settings(flac: Path, raw: Path, stream: _Stream, folder: Path, name: str) -> tuple[list[str], int]:
  """Settings that make the file's frames again, and the bytes that follow these."""
  pcm = PcmFormat(
    kind=SampleKind.SIGNED,
    sample_bytes=stream.sample_bytes,
    num_channels=stream.num_channels,
    sample_rate_hz=stream.sample_rate_hz,
  )
  part, made = folder / 'part.raw', folder / 'made.flac'
  with open(raw, 'rb') as file:
    part.write_bytes(file.read(_TRIED_BLOCKS * stream.block_samples * pcm.frame_bytes))
  is_all = part.stat().st_size == raw.stat().st_size
  for each in _SETTINGS:
    settings = [*each, f'--blocksize={stream.block_samples}']
    _encode(settings, pcm, part, made, name)
    if _same_frames(flac, stream.frames_at, made) is None:
      continue
    if not is_all:
      _encode(settings, pcm, raw, made, name)
    if (frame_bytes := _same_frames(flac, stream.frames_at, made)) is not None:
      return settings, flac.stat().st_size - stream.frames_at - frame_bytes
  raise AudioFormatError(
    f'{name}: {_program()} does not make the same bytes again at any of its levels; another encoder or version wrote '
    'it: without --decode it is kept as it is'
  )


def _same_frames(flac: Path, frames_at: int, made: Path) -> int | None:
  """Bytes of the frames that were made, if the file has the same ones."""
  made_at = _read_stream(made, str(made)).frames_at
  num_bytes = made.stat().st_size - made_at
  with open(flac, 'rb') as file, open(made, 'rb') as again:
    file.seek(frames_at)
    again.seek(made_at)
    pairs = zip(_blocks(file, num_bytes), _blocks(again, num_bytes), strict=False)
    same = all(itertools.starmap(bytes.__eq__, pairs)) and flac.stat().st_size - frames_at >= num_bytes
  return num_bytes if same else None


def _read_stream(flac: Path, name: str) -> _Stream:
  """Reads the metadata of a FLAC file."""
  with open(flac, 'rb') as file:
    if file.read(len(_MAGIC)) != _MAGIC:
      raise AudioFormatError(f'{name}: not a FLAC file')
    info, is_last = b'', False
    while not is_last:
      header = file.read(4)
      size = int.from_bytes(header[1:], 'big')
      if len(header) < 4 or file.tell() + size > flac.stat().st_size:
        raise AudioFormatError(f'{name}: its metadata are damaged or cut off')
      is_last = bool(header[0] & 0x80)
      if not info:
        if header[0] & 0x7F or size != _STREAMINFO_BYTES:
          raise AudioFormatError(f'{name}: it does not begin with STREAMINFO')
        info = file.read(size)
      else:
        file.seek(size, os.SEEK_CUR)
    frames_at = file.tell()
  least, largest = int.from_bytes(info[:2], 'big'), int.from_bytes(info[2:4], 'big')
  fields = int.from_bytes(info[10:18], 'big')
  bits = (fields >> 36 & 31) + 1
  if least != largest or not least or bits not in (8, 16, 24):
    raise AudioFormatError(
      f'{name}: expected frames of one size of 8, 16 or 24 bits, got sizes {least} to {largest} of {bits} bits: '
      'without --decode it is kept as it is'
    )
  return _Stream(frames_at, largest, fields >> 44, (fields >> 41 & 7) + 1, bits // 8)


def _blocks(file: BinaryIO, num_bytes: int) -> Iterator[bytes]:
  """Blocks of so many bytes in all, or as many as there are."""
  while num_bytes > 0 and (block := file.read(min(_BLOCK_BYTES, num_bytes))):
    yield block
    num_bytes -= len(block)


def _sha256(path: Path) -> str:
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
