"""Samples of an original file, as chunks hold them, and the dictionary of pieces around them.

The parts "A segment's body of samples that are no integers" and "Samples that are no integers" of docs/FORMAT.md, and
of "Chunks" payloads and the dictionary.
"""

import numpy as np

from reference_decoder.floats import patterns_of_floats
from reference_decoder.models import require
from reference_decoder.segments import read_number
from reference_decoder.surroundings import A_LAW, FLOAT, SIGNED, Samples, can_hold, canonical

USUAL = (
  b'<?xml version="1.0" encoding="UTF-8"?>\n<BWFXML><IXML_VERSION>1.5</IXML_VERSION><PROJECT></PROJECT>'
  b'<SCENE></SCENE><TAKE></TAKE><TAPE></TAPE><NOTE></NOTE><SPEED><TIMECODE_RATE>25/1</TIMECODE_RATE>'
  b'<TRACK_LIST><TRACK_COUNT><CHANNEL_INDEX>1</CHANNEL_INDEX><INTERLEAVE_INDEX>1</INTERLEAVE_INDEX><NAME></NAME></TR'
  b'ACK></TRACK_LIST></BWFXML>ID3\x04TIT2TPE1TALBTDRCTRCKTCONAPICimage/jpegimage/png_PMXaxmlchnasmplinstcue plstlabl'
  b'adtlfree\x00\x00\x00\x00chanstrgpaktMARKCOMTNAMEAUTH(c) ANNOCHANAPPLFLLRPAD junkJUNKfact\x04\x00\x00\x00iXMLbext'
  b'A=PCM,F=48000,W=24,M=mono,T=2024-01-01 00:00:00PEAK\x01\x00\x00\x00LIST\x1a\x00\x00\x00INFOICRDINAMIARTICMTIGNRI'
  b'PRDITRKICOPISFT\x0e\x00\x00\x00Lavf58\x00'
)


def dictionary(container: int, samples: Samples, num_frames: int) -> bytes:
  """What comes right before the bytes of a primed piece."""
  head, tail = canonical(container, samples, num_frames) if can_hold(container, samples) else (b'', b'')
  return USUAL + tail + head


def stored_samples(payload: bytes, samples: Samples) -> np.ndarray:
  """Bytes [N, S] of a channel's samples as they stand in the original, from its payload."""
  planes = np.frombuffer(payload, np.uint8).reshape(samples.sample_bytes, -1).copy()
  if samples.kind == SIGNED:
    planes[0] ^= 0x80
  return planes.T if samples.is_big_endian else planes[::-1].T


def payload_of_patterns(frames: list[list[int]], sample_bytes: int) -> bytes:
  """The payload of a segment from the patterns of its samples [frame][channel]."""
  channels = []
  for patterns in zip(*frames, strict=True):
    rows = [pattern.to_bytes(sample_bytes, 'big') for pattern in patterns]
    channels.append(bytes(byte for plane in zip(*rows, strict=True) for byte in plane))
  return b''.join(channels)


def split_body(body: bytes) -> tuple[int, bytes, bytes]:
  """Of a segment of samples that are no integers: W, side, and the body of the integers."""
  width, rest = read_number(body)
  side_bytes, rest = read_number(rest)
  require(1 <= width <= 4, f'integers of {width} bytes')
  require(0 <= side_bytes <= len(rest), 'what is beside the integers is longer than the body')
  return width, rest[:side_bytes], rest[side_bytes:]


def patterns_of_integers(frames: list[list[int]], side: bytes, samples: Samples) -> list[list[int]]:
  """Patterns [frame][channel] of the integers that stand for them."""
  kind = samples.kind
  if kind == FLOAT:
    return patterns_of_floats(frames, side, samples.sample_bytes)
  require(not side, 'companded samples with something beside them')
  patterns = {companded_value(pattern, kind): pattern for pattern in range(256)}
  require(all(integer in patterns for frame in frames for integer in frame), 'an integer is the value of no byte')
  return [[patterns[integer] for integer in frame] for frame in frames]


def companded_value(pattern: int, kind: int) -> int:
  c = pattern ^ (0x55 if kind == A_LAW else 0xFF)
  e, m = (c >> 4) % 8, c % 16
  if kind == A_LAW:
    magnitude = 2 * m + 1 if e == 0 else (2 * m + 33) * 2 ** (e - 1)
    return magnitude if c >= 128 else -magnitude
  magnitude = (2 * m + 33) * 2**e - 33
  if c == 128:
    return -1
  return -magnitude if c >= 128 else magnitude
