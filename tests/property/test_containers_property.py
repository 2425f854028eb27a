"""Files of every container and format parse to what was written, and whatever is done to them, to a place within."""

import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.containers import PATH, WatchedFile, cases, file_of, formats, noise
from support.regions import assert_well_formed, spans_of
from support.wav_builder import build_wav, chunk

from language_modeling_is_compression.audio.containers.wave_format import EXTENSIBLE_BYTES, parse_format
from language_modeling_is_compression.audio.containers.writing import can_hold, file_header
from language_modeling_is_compression.audio.frames import read_pcm_frames, read_raw_frames
from language_modeling_is_compression.audio.info import ContainerKind, PcmInfo
from language_modeling_is_compression.audio.parsing import parse_info, read_pcm_info
from language_modeling_is_compression.errors import AudioFormatError

CASES = [case for channels in (1, 2, 3) for case in cases(channels, 44_100)]
VALUES = st.sampled_from([0, 1, 2, 7, 8, 0x7F, 0x80, 0xFE, 0xFF])


def parsed(contents: bytes) -> PcmInfo | None:
  """What a parser finds, if anything; nothing but AudioFormatError is raised, and nothing behind the end is read."""
  file = WatchedFile(contents)
  try:
    info = parse_info(file, len(contents), PATH)
  except AudioFormatError as error:
    assert str(error).startswith('a: ') and str(error).isprintable()
    return None
  finally:
    assert file.end <= len(contents) and file.most_bytes <= 1 << 16
  assert_well_formed(info, len(contents))
  return info


@given(case=st.sampled_from(CASES), num_frames=st.integers(0, 40), rate=st.integers(0, 2**32 - 1))
def test_what_is_written_is_found(case, num_frames, rate):
  container, pcm = case
  pcm = type(pcm)(**{**pcm.__dict__, 'sample_rate_hz': rate})
  payload = noise(num_frames * pcm.frame_bytes)
  header, _ = file_header(container, pcm, num_frames)
  info = parsed(file_of(container, pcm, payload))
  assert info is not None and (info.container, info.pcm) == (container, pcm)
  assert spans_of(info) == [(len(header), len(payload))]


@settings(deadline=None)
@given(
  pieces=st.lists(st.integers(0, 40), min_size=1, max_size=6),
  between=st.lists(st.lists(st.binary(max_size=9), max_size=2), min_size=6, max_size=6),
  in_list=st.booleans(),
  channels=st.integers(1, 3),
  data=st.data(),
)
def test_regions_of_a_riff_file(tmp_path_factory, pieces, between, in_list, channels, data):
  """Data chunks of any number of bytes, other chunks between them, all in a wave list or not."""
  frame_bytes = 2 * channels
  bodies = [noise(num_bytes, seed=index) for index, num_bytes in enumerate(pieces)]
  chunks = b''.join(
    chunk(b'data', body) + b''.join(chunk(b'JUNK', other) for other in others)
    for body, others in zip(bodies, between[: len(bodies)], strict=True)
  )
  body = build_wav(b'', channels=channels)[8:36] + (chunk(b'LIST', b'wavl' + chunks) if in_list else chunks)
  path = tmp_path_factory.getbasetemp() / 'regions.wav'
  path.write_bytes(chunk(b'RIFF', body))
  info = read_pcm_info(path)
  whole = [body[: len(body) // frame_bytes * frame_bytes] for body in bodies]
  assert [num_bytes for _, num_bytes in spans_of(info) if num_bytes] == [len(each) for each in whole if each]
  frames = np.frombuffer(b''.join(whole), '<i2').reshape(-1, channels)
  start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(frames))] * 2)))
  np.testing.assert_array_equal(read_pcm_frames(info, start, stop), frames[start:stop])
  assert read_raw_frames(info, start, stop).tobytes() == frames[start:stop].tobytes()


@given(case=st.sampled_from(CASES), cut=st.integers(0, 1200), num_frames=st.integers(0, 20))
def test_truncations(case, cut, num_frames):
  """As long as a header is whole, a file holds the whole frames that are left."""
  container, pcm = case
  payload = noise(num_frames * pcm.frame_bytes)
  header, _ = file_header(container, pcm, num_frames)
  contents = (header + payload)[:cut]
  info = parsed(contents)
  if len(contents) >= len(header):
    assert info is not None and spans_of(info) == [
      (len(header), (len(contents) - len(header)) // pcm.frame_bytes * pcm.frame_bytes)
    ]


@given(
  case=st.sampled_from(CASES),
  edits=st.lists(st.tuples(st.integers(0, 1200), VALUES | st.integers(0, 255)), min_size=1, max_size=6),
  cut=st.integers(0, 2000),
  before=st.sampled_from([b'', b'ID3\4\0\0\0\0\0\3abc', b'x', b'RIFF']),
)
def test_damaged_headers(case, edits, cut, before):
  container, pcm = case
  contents = bytearray(before + file_of(container, pcm, noise(24 * pcm.sample_bytes * pcm.num_channels)))
  for position, value in edits:
    contents[position % len(contents)] = value
  parsed(bytes(contents[:cut]))


@given(
  magic=st.sampled_from(
    [
      b'RIFF\0\0\0\0WAVE',
      b'RIFX\0\0\0\0WAVEfmt ',
      b'FORM\0\0\0\0AIFC',
      b'FORM\0\0\0\0AIFFCOMM\0\0\0\x12',
      b'caff\0\1\0\0desc\0\0\0\0\0\0\0\x20',
      bytes.fromhex('726966662e91cf11a5d628db04c10000000000000000000077617665f3acd3118cd100c04f8edb8a'),
      b'.snd\0\0\0\x18',
      b'dns.\x18\0\0\0',
      b'NIST_1A\n   1024\nsample_n_bytes -i 2\n',
      b'ID3\4\0\0',
      b'',
    ]
  ),
  contents=st.binary(max_size=200),
)
def test_any_bytes_behind_a_magic(magic, contents):
  parsed(magic + contents)


@given(
  contents=st.binary(max_size=EXTENSIBLE_BYTES), num_bytes=st.integers(0, 100), order=st.sampled_from(['little', 'big'])
)
def test_any_format(contents, num_bytes, order):
  """A body that is accepted has a kind and a width that exist."""
  try:
    pcm = parse_format(contents, order, num_bytes)
  except AudioFormatError as error:
    assert str(error).isprintable()
  else:
    assert pcm.kind and 1 <= pcm.num_channels <= 0xFFFF and pcm.sample_bytes in (1, 2, 3, 4, 8)


@given(pcm=st.sampled_from(formats(2)), container=st.sampled_from(ContainerKind), num_frames=st.integers(0, 2**40))
def test_headers_of_any_length(pcm, container, num_frames):
  """Sizes that do not fit are cut, and nothing is as long as what it describes."""
  if can_hold(container, pcm):
    header, tail = file_header(container, pcm, num_frames)
    assert len(header) <= 1024 and len(tail) <= 1
    if container in (ContainerKind.CAF, ContainerKind.W64):
      assert struct.pack('<Q', num_frames * pcm.frame_bytes + 24) in header or container == ContainerKind.CAF
