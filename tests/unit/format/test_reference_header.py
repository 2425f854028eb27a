"""Headers of version 5 that docs/FORMAT.md says are not sound: the package and the independent decoder refuse them."""

import pytest
from reference_decoder.header import parse_header

from language_modeling_is_compression.entropy.varints import write_number
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.frame import digest
from language_modeling_is_compression.format.layout import LinearLayout


def sealed(fields: bytes) -> bytes:
  """A header of any fields, with its check."""
  begun = CompactFrame.MAGIC + len(fields).to_bytes(2, 'little') + fields
  return begun + digest(b'', begun)[: CompactFrame.CHECK_BYTES]


def fields(coding: int, more: int, samples: int, *numbers: int, model_id: bytes = b'') -> bytes:
  return bytes([coding, more, samples]) + b'abcd' + model_id + b''.join(map(write_number, numbers))


MODEL_ID = bytes(range(8))
MONO_16 = 0x21
BROKEN_HEADERS = {
  'coding 0': fields(0, 0, MONO_16, 0, 1, 8000, 9, 0, 0),
  'unknown coding': fields(40, 0, MONO_16, 0, 1, 8000, 9, 0, 0),
  'unknown container': fields(3, 0xF0, MONO_16, 0, 1, 8000, 9, 0, 0),
  'unknown kind': fields(3, 0, 0x26, 0, 1, 8000, 9, 0, 0),
  'integers of 5 bytes': fields(3, 0, 0x51, 0, 1, 8000, 9, 0, 0),
  'floats of 3 bytes': fields(3, 0, 0x33, 0, 1, 8000, 9, 0, 0),
  'wide companded samples': fields(3, 0, 0x24, 0, 1, 8000, 9, 0, 0),
  'effort of channels': fields(1, 1, MONO_16, 0, 1, 8000, 9, 0, 0),
  'unknown preset': fields(3, 4, MONO_16, 0, 1, 8000, 9, 0, 0),
  'unknown effort': fields(4 + 128, 3, MONO_16, 0, 1, 8000, 9, 0, 0, model_id=MODEL_ID),
  'unknown effort of coding 6': fields(6 + 128, 5, MONO_16, 0, 1, 8000, 9, 0, 0, model_id=MODEL_ID),
  'segments without a model': fields(4, 0, MONO_16, 0, 1, 8000, 9, 0, 0),
  'a model of zeros': fields(1 + 128, 0, MONO_16, 0, 1, 8000, 9, 0, 0, model_id=bytes(8)),
  'a model of linear prediction': fields(3 + 128, 0, MONO_16, 0, 1, 8000, 9, 0, 0, model_id=LinearLayout.model_id[:8]),
  'linear prediction as a network': fields(
    4 + 128, 0, MONO_16, 0, 1, 8000, 9, 0, 0, model_id=LinearLayout.model_id[:8]
  ),
  'no room for a model': bytes([4 + 128, 0, MONO_16]) + b'abcdmodel',
  'no channels': fields(3, 0, MONO_16, 0, 0, 8000, 9, 0, 0),
  'no frames of a span': fields(3, 0, MONO_16, 0, 1, 8000, 0, 0, 0),
  'one span said at length': fields(3, 0, MONO_16, 0, 1, 8000, 9, 9, 0),
  'spans of too many frames': fields(3, 0, MONO_16, 0, 1, 8000, 9, (1 << 22) + 1, 0),
  'spans of too many frames of channels': fields(1, 0, MONO_16, 0, 1, 8000, 9, (1 << 16) + 1, 0),
  'spans of too many bytes': fields(3, 0, MONO_16, 0, 1 << 15, 8000, 1 << 10, 0, 0),
  'below 0': fields(3, 0, MONO_16, 0, 1, -1, 9, 0, 0),
  'too many bytes': fields(3, 0, MONO_16, 1 << 62, 1, 8000, 9, 0, 0),
  'too high a rate': fields(3, 0, MONO_16, 0, 1, 1 << 32, 9, 0, 0),
  'too many frames': fields(1, 0, 0x11, 0, 1, 8000, 1 << 62, 9, 0),
  'too many bytes of frames': fields(3, 0, 0x41, 0, 1, 8000, 1 << 60, 9, 0),
  'too many bytes of frames for a CAF': fields(3 + 64, 0x40, MONO_16, 32767, 8000, (1 << 62) - 1, 9),
  'too many bytes of frames for a Wave64': fields(3 + 64, 0x50, MONO_16, 32767, 8000, (1 << 62) - 1, 9),
  'no tail': fields(3, 0, MONO_16, 0, 1, 8000, 9, 0),
  'half a gap': fields(3, 0, MONO_16, 0, 1, 8000, 9, 0, 0, 3),
  'a gap before all frames': fields(3, 0, MONO_16, 0, 1, 8000, 9, 0, 0, 0, 1),
  'a gap behind all frames': fields(3, 0, MONO_16, 0, 1, 8000, 9, 0, 0, 9, 1),
  'two gaps in one place': fields(3, 0, MONO_16, 0, 1, 8000, 9, 0, 0, 3, 1, 0, 1),
  'a gap without bytes': fields(3, 0, MONO_16, 0, 1, 8000, 9, 0, 0, 3, 0),
  'gaps of too many bytes': fields(3, 0, MONO_16, 0, 1, 8000, 9, 0, 0, 3, 1 << 19, 1, (1 << 19) + 1),
  'too many gaps': fields(3, 0, MONO_16, 0, 1, 8000, 5000, 0, 0, *[1, 1] * 4097),
  'a long number': bytes([3, 0, MONO_16]) + b'abcd' + b'\x80\0' + b''.join(map(write_number, [1, 8000, 9, 0, 0])),
  'something behind a file without samples': fields(1, 0, 0, 7, 1),
  'a container of no samples': fields(1, 0x10, 0, 7),
  'no samples, big-endian': fields(1, 0, 8, 7),
  'no samples in what is canonical': fields(1 + 64, 0x10, 0),
  'too high a rate for a WAV': fields(3 + 64, 0x10, MONO_16, 1, 1 << 32, 9, 0),
  'big-endian samples in a WAV': fields(3 + 64, 0x10, MONO_16 + 8, 1, 8000, 9, 0),
  'unsigned samples of 16 bits in a WAV': fields(3 + 64, 0x10, 0x22, 1, 8000, 9, 0),
  'nothing that is canonical': fields(3 + 64, 0, MONO_16, 1, 8000, 9, 0),
  'frames too wide for a WAV': fields(3 + 64, 0x10, MONO_16, 32768, 8000, 9, 0),
  'gaps in what is canonical': fields(3 + 64, 0x10, MONO_16, 1, 8000, 9, 0, 3, 1),
  'no fields': b'',
}


@pytest.mark.parametrize('name', BROKEN_HEADERS)
def test_refuses_headers_as_the_package_does(name):
  header = sealed(BROKEN_HEADERS[name])
  frame = CompactFrame()
  found = frame.header_at(lambda position, count: header[position : position + count], 0)
  assert found == header
  with pytest.raises(FormatError):
    frame.parse(header)
  with pytest.raises(ValueError, match=r'\w'):
    parse_header(header)


def test_takes_headers_that_differ_from_those_in_one_place():
  """Else those above may be refused for another reason than they are named after."""
  for sound in [
    fields(3, 3, MONO_16, 0, 1, 8000, 9, 0, 0, 3, 1),
    fields(4 + 128, 2, MONO_16, 0, 1, 8000, 9, 0, 0, model_id=MODEL_ID),
    fields(6 + 128, 4, MONO_16, 0, 1, 8000, 9, 0, 0, model_id=MODEL_ID),
    fields(3, 0, MONO_16, 0, 1 << 14, 8000, 1 << 10, 0, 0),
    fields(3, 0, MONO_16, 0, 1, 8000, 9, 1 << 22, 0),
    fields(1, 0, MONO_16, 0, 1, 8000, 9, 1 << 16, 0),
    fields(3, 0, MONO_16, (1 << 62) - 1, 1, (1 << 32) - 1, 9, 0, 0),
    fields(3, 0, MONO_16, 0, 1, 8000, 9, 0, 0, 3, 1 << 19, 1, 1 << 19),
    fields(3, 0, MONO_16, 0, 1, 8000, 5000, 0, 0, *[1, 1] * 4096),
    fields(3 + 64, 0x10, MONO_16, 32767, 8000, 9, 0),
    fields(3 + 64, 0x40, MONO_16, 32767, 8000, (1 << 62) // 65534, 9),
    fields(3 + 64, 0x50, MONO_16, 32767, 8000, (1 << 62) // 65534, 9),
    fields(3 + 64, 0x10, MONO_16, 1, (1 << 32) - 1, 9, 0),
    fields(1, 0, 0, 7),
  ]:
    CompactFrame().parse(sealed(sound))
    parse_header(sealed(sound))
