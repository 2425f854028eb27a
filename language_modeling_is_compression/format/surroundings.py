"""Surroundings of samples: what stands around them in a file of their own, byte for byte part of the format.

A .lmic file leaves out what it would be anyway, and parts of a file are cut out into such ones.
"""

from typing import NamedTuple

from language_modeling_is_compression.audio.containers import writing
from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import FormatError

# By the numbers that stand for them in headers.
NO_CONTAINER = 'none'  # Of samples without a header, and of files without samples.
UNPACKED = 'FLAC'  # Of FLAC files that were unpacked, of which parts are cut out as WAV.
CONTAINERS: tuple[str, ...] = (
  NO_CONTAINER,
  ContainerKind.WAV,
  ContainerKind.RIFX,
  ContainerKind.AIFF,
  ContainerKind.CAF,
  ContainerKind.W64,
  ContainerKind.AU,
  ContainerKind.SPHERE,
  UNPACKED,
)
_WRITTEN: frozenset[str] = frozenset(ContainerKind)

# What chunks around samples often hold, the commonest last, since what is near costs least to refer to.
USUAL_TEXT = (
  b'<?xml version="1.0" encoding="UTF-8"?>\n<BWFXML><IXML_VERSION>1.5</IXML_VERSION><PROJECT></PROJECT><SCENE></SCENE>'
  b'<TAKE></TAKE><TAPE></TAPE><NOTE></NOTE><SPEED><TIMECODE_RATE>25/1</TIMECODE_RATE><TRACK_LIST><TRACK_COUNT>'
  b'<CHANNEL_INDEX>1</CHANNEL_INDEX><INTERLEAVE_INDEX>1</INTERLEAVE_INDEX><NAME></NAME></TRACK></TRACK_LIST></BWFXML>'
  b'ID3\x04TIT2TPE1TALBTDRCTRCKTCONAPICimage/jpegimage/png_PMXaxmlchnasmplinstcue plstlabladtl'
  b'free\0\0\0\0chanstrgpaktMARKCOMTNAMEAUTH(c) ANNOCHANAPPLFLLRPAD junkJUNKfact\4\0\0\0iXMLbextA=PCM,F=48000,W=24'
  b',M=mono,T=2024-01-01 00:00:00PEAK\1\0\0\0LIST\x1a\0\0\0INFOICRDINAMIARTICMTIGNRIPRDITRKICOPISFT\x0e\0\0\0Lavf58\0'
)


class Surroundings(NamedTuple):
  """Bytes before the samples, and behind them."""

  head: bytes
  tail: bytes


def can_hold(container: str, pcm: PcmFormat) -> bool:
  """Whether `canonical` has a header of a container for such frames; of what is none there is no need for one."""
  return container in _WRITTEN and writing.can_hold(ContainerKind(container), pcm)


def canonical(container: str, pcm: PcmFormat, num_frames: int) -> Surroundings:
  """What stands around so many frames in a file of their own. Raises FormatError for what the container cannot hold."""
  if container == NO_CONTAINER:
    return Surroundings(b'', b'')
  if container == UNPACKED:
    return wav_envelope(pcm, num_frames)
  if not can_hold(container, pcm):
    raise FormatError(f'a file of kind {container} with a header of its own cannot hold such samples')
  return Surroundings(*writing.file_header(ContainerKind(container), pcm, num_frames))


def wav_envelope(pcm: PcmFormat, num_frames: int) -> Surroundings:
  """What stands around frames in a WAV. Raises FormatError for what none can hold."""
  return canonical(ContainerKind.WAV, pcm, num_frames)


def plain_wav_header(pcm: PcmFormat, num_frames: int) -> bytes:
  """A WAV's header, whose size of the file leaves out a pad byte: all that versions 2 to 4 leave out."""
  return wav_header(
    encoding='float' if pcm.kind == SampleKind.FLOAT else 'int',
    sample_bytes=pcm.sample_bytes,
    num_channels=pcm.num_channels,
    sample_rate_hz=pcm.sample_rate_hz,
    num_frames=num_frames,
  )
