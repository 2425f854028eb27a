"""Surroundings of samples: what stands around them in a file of their own, byte for byte part of the format.

A .lmic file leaves out what it would be anyway, and parts of a file are cut out into such ones.
"""

from typing import NamedTuple

from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.audio.wav import MAX_FRAME_BYTES, wav_header
from language_modeling_is_compression.errors import FormatError

# By the numbers that stand for them in headers.
CONTAINERS = ('none', 'WAV')

# What chunks around samples often hold, the commonest last, since what is near costs least to refer to.
USUAL_TEXT = (
  b'<?xml version="1.0" encoding="UTF-8"?>\n<BWFXML><IXML_VERSION>1.5</IXML_VERSION><PROJECT></PROJECT><SCENE></SCENE>'
  b'<TAKE></TAKE><TAPE></TAPE><NOTE></NOTE><SPEED><TIMECODE_RATE>25/1</TIMECODE_RATE><TRACK_LIST><TRACK_COUNT>'
  b'<CHANNEL_INDEX>1</CHANNEL_INDEX><INTERLEAVE_INDEX>1</INTERLEAVE_INDEX><NAME></NAME></TRACK></TRACK_LIST></BWFXML>'
  b'ID3\x04TIT2TPE1TALBTDRCTRCKTCONAPICimage/jpegimage/png_PMXaxmlchnasmplinstcue plstlabladtl'
  b'free\0\0\0\0chanstrgpaktMARKCOMTNAMEAUTH(c) ANNOCHANAPPLFLLRPAD junkJUNKfact\4\0\0\0iXMLbextA=PCM,F=48000,W=24'
  b',M=mono,T=2024-01-01 00:00:00PEAK\1\0\0\0LIST\x1a\0\0\0INFOICRDINAMIARTICMTIGNRIPRDITRKICOPISFT\x0e\0\0\0Lavf58\0'
)

# Bytes of a sample that a WAV's plain header tells of, by kind.
_WAV_WIDTHS = {SampleKind.UNSIGNED: (1,), SampleKind.SIGNED: (2, 3, 4), SampleKind.FLOAT: (4, 8)}


class Surroundings(NamedTuple):
  """Bytes before the samples, and behind them."""

  head: bytes
  tail: bytes


def can_hold(container: str, pcm: PcmFormat) -> bool:
  """Whether a container of one's own can hold such frames."""
  fits = pcm.frame_bytes <= MAX_FRAME_BYTES and pcm.sample_rate_hz >> 32 == 0 and not pcm.is_big_endian
  return container == 'WAV' and fits and pcm.sample_bytes in _WAV_WIDTHS.get(pcm.kind, ())


def canonical(container: str, pcm: PcmFormat, num_frames: int) -> Surroundings:
  """What stands around so many frames. Raises FormatError for what the container cannot hold."""
  if container == 'WAV' and pcm.frame_bytes > MAX_FRAME_BYTES:
    raise FormatError(f'its frames have {pcm.frame_bytes} bytes, those of a WAV {MAX_FRAME_BYTES} at most')
  if not can_hold(container, pcm):
    raise FormatError('its samples are of a kind that no WAV is made of here: decompress it whole')
  return wav_envelope(pcm, num_frames)


def wav_envelope(pcm: PcmFormat, num_frames: int) -> Surroundings:
  """A WAV's header, and a pad byte where one is due."""
  header = plain_wav_header(pcm, num_frames)
  if not num_frames * pcm.frame_bytes % 2:
    return Surroundings(header, b'')
  riff_bytes = min(int.from_bytes(header[4:8], 'little') + 1, 0xFFFFFFFF)
  return Surroundings(header[:4] + riff_bytes.to_bytes(4, 'little') + header[8:], b'\0')


def plain_wav_header(pcm: PcmFormat, num_frames: int) -> bytes:
  """A WAV's header, whose size of the file leaves out a pad byte: all that versions 2 to 4 leave out."""
  return wav_header(
    encoding='float' if pcm.kind == SampleKind.FLOAT else 'int',
    sample_bytes=pcm.sample_bytes,
    num_channels=pcm.num_channels,
    sample_rate_hz=pcm.sample_rate_hz,
    num_frames=num_frames,
  )
