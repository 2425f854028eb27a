"""Kinds of audio files by their first bytes: to report what is not treated as sound, and why."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from language_modeling_is_compression.audio.tags import tag_bytes

HEAD_BYTES = 40  # Bytes of a file that `audio_kind` looks at.

WAV, FLAC = 'WAV', 'FLAC'


@dataclass(frozen=True, kw_only=True)
class AudioKind:
  """A format's name for people, and whether its samples are coded, so that hardly any bytes can be saved."""

  name: str
  is_compressed: bool


# First bytes of a file, as regular expressions; the first match counts.
_KINDS = [
  (re.compile(pattern, re.DOTALL), AudioKind(name=name, is_compressed=is_compressed))
  for pattern, name, is_compressed in (
    (rb'(RIFF|RF64|BW64)....WAVE', WAV, False),
    (rb'RIFX....WAVE', 'RIFX', False),
    (rb'FORM....AIF[FC]', 'AIFF', False),
    (rb'riff\x2e\x91\xcf\x11', 'W64', False),
    (rb'caff\0', 'CAF', False),
    (rb'(\.snd|dns\.)', 'AU', False),
    (rb'NIST_1A\n', 'NIST SPHERE', False),
    (rb'fLaC', FLAC, True),
    (rb'OggS', 'Ogg', True),
    (rb'wvpk', 'WavPack', True),
    (rb'MAC ', "Monkey's Audio", True),
    (rb'TTA[12]', 'TTA', True),
    (rb'OFR ', 'OptimFROG', True),
    (rb'tBaK', 'TAK', True),
    (rb'SAC2', 'Sac', True),
    (rb'....ftyp(M4A|M4B|mp4|isom|qt)', 'MP4', True),
    (rb'\x30\x26\xb2\x75\x8e\x66\xcf\x11', 'WMA', True),
    (rb'#!AMR', 'AMR', True),
    (rb'(DSD |FRM8)', 'DSD', False),
    (rb'ID3', 'MP3', True),
  )
]
# Frames of MPEG audio begin with eleven ones, as other files may too, so their names have to say it as well.
_MPEG_FRAME = re.compile(rb'\xff[\xe2-\xff]', re.DOTALL)
_MPEG = {'.mp3': 'MP3', '.mp2': 'MP2', '.aac': 'AAC'}


def audio_kind(name: str | os.PathLike[str], head: bytes) -> AudioKind | None:
  """The kind of a file, or None if it is no audio. head: its first HEAD_BYTES, or all if it has fewer."""
  for pattern, kind in _KINDS:
    if pattern.match(head):
      return kind
  suffix = os.path.splitext(os.fspath(name))[1].lower()
  if suffix in _MPEG and _MPEG_FRAME.match(head):
    return AudioKind(name=_MPEG[suffix], is_compressed=True)
  return None


def audio_kind_of(path: str | os.PathLike[str]) -> AudioKind | None:
  """The kind of a file on disk, or what stands behind a tag at its beginning. Raises OSError if it cannot be read."""
  with open(path, 'rb') as file:
    head = file.read(HEAD_BYTES)
    kind = audio_kind(Path(path).name, head)
    if size := tag_bytes(head):
      file.seek(size)
      kind = audio_kind('', file.read(HEAD_BYTES)) or kind
    return kind
