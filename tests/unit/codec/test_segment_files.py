"""Files in segments: whole, in part, damaged and stopped, with a model that stands in for the real ones."""

import io
import lzma
import os
import signal
import threading
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from support import fixed_files, hybrid_cases, lmic_cases, lmic_frames, segment_stand_in
from support.segment_stand_in import StandIn
from support.wav_builder import build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import wav_integers
from language_modeling_is_compression.codec import file_codec, general
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder, Modelled
from language_modeling_is_compression.codec.file_codec import Compressed
from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.errors import (
  CancelledError,
  DamageError,
  FormatError,
  ModelMismatchError,
)
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.container import LZMA, MODEL, STORED, Chunk, Container
from language_modeling_is_compression.format.header import MODEL_ID_BYTES, SOURCE_ID_BYTES, Header
from language_modeling_is_compression.format.layout import ChannelLayout, SegmentLayout
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import ChannelShape, Raw, RawShape, Segment, SegmentShape
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.system.cancellation import Cancellation

LEVEL = segment_stand_in.level(100)
HYBRID = EnsembleCoder(hybrid_cases.random_network())
# Files are written in the compact frame; those in the fixed one are read for ever.
EITHER_FRAME = pytest.mark.parametrize(
  'compressed', [lmic_cases.compressed, fixed_files.compressed], ids=['version 5', 'version 2']
)


def waves(num_frames: int, channels: int, bits: int) -> np.ndarray:
  """Loud sines in a little noise: [num_frames, channels], both extremes in it."""
  top = (1 << (bits - 1)) - 1
  found = 0.9 * np.sin(0.01 * np.arange(num_frames)[:, None] * (1 + np.arange(channels)))
  found += np.random.default_rng(0).normal(0, 0.001, found.shape)
  samples = np.clip(np.round(found * top), -top - 1, top).astype(np.int64)
  samples.reshape(-1)[:2] = [-top - 1, top][: samples.size]
  return samples


def wav(num_frames: int = 330, channels: int = 2, bits: int = 16, **oddities) -> bytes:
  return build_wav(pcm_bytes(waves(num_frames, channels, bits), bits), channels=channels, bits=bits, **oddities)


def opened(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


# Whole files.


@pytest.mark.parametrize('channels', [1, 2, 3, 6])
@pytest.mark.parametrize('bits', [8, 16, 24, 32])
def test_every_width_and_number_of_channels_comes_back(bits, channels):
  original = wav(330, channels, bits, rate_hz=22_050, before=[(b'LIST', b'abc')], trailer=b'odd')
  by = segment_stand_in.coder()
  data = lmic_cases.compressed(original, by, LEVEL)
  header = opened(data).header
  assert isinstance(by.model, StandIn)
  assert (header.format_version, header.layout) == (5, SegmentLayout(effort=1))
  assert header.model_id == by.model.identity[:8]
  assert (header.num_spans, header.chunk_frames, header.num_chunks) == (4, 83, 6)
  assert [opened(data).chunk(index).method for index in (1, 2, 3, 4)] == [MODEL] * 4
  for lanes in (1, 40):
    other = segment_stand_in.coder(lanes)
    assert lmic_cases.compressed(original, other, LEVEL) == data
    assert lmic_cases.decompressed(data, other) == original
  shape: dict[str, Any] = {'num_channels': channels, 'sample_bytes': bits // 8, 'sample_rate_hz': 22_050, 'effort': 1}
  expected = [SegmentShape(num_frames=frames, **shape) for frames in (83, 83, 83, 81)]
  assert sorted(by.model.encoded, key=lambda shape: -shape.num_frames) == expected


@EITHER_FRAME
@pytest.mark.parametrize(
  'original',
  [
    wav()[:-1],
    wav(1, 1),
    wav(99, 1, data_size=0, riff_size=0),
    wav(data_first=True),
    build_wav(pcm_bytes(random_samples(9, 1, 24), 24), bits=20),
    build_wav(pcm_bytes(random_samples(2, 16, 16), 16), channels=16),
    build_wav(pcm_bytes(random_samples(20, 20, 16), 16), channels=20),
    wav(rate_hz=0),
    wav(rate_hz=2**32 - 1),
    wav(form=b'RF64'),
  ],
  ids=[
    'part of a frame',
    'one frame',
    'unfinished',
    'data first',
    '20 bits',
    '16 channels',
    '20 channels',
    '0 Hz',
    'GHz',
    'RF64',
  ],
)
def test_odd_files_come_back(original, compressed):
  data = compressed(original, segment_stand_in.coder(), LEVEL)
  assert opened(data).header.layout == SegmentLayout(effort=1)
  assert lmic_cases.decompressed(data, segment_stand_in.coder()) == original
  lmic_cases.check_reading(data, original, may_differ=False, by=segment_stand_in.coder())


@pytest.mark.parametrize(
  'original',
  [
    b'no audio',
    b'',
    build_wav(b''),
    build_wav(pcm_bytes(random_samples(254, 255, 16), 16), channels=255),
  ],
  ids=['no WAV', 'empty', 'no samples', 'more channels than frames'],
)
def test_what_no_model_codes_needs_none(original):
  data = lmic_cases.compressed(original, segment_stand_in.coder(), LEVEL)
  header = opened(data).header
  assert (header.layout, any(header.model_id)) == (ChannelLayout(), False)
  assert data == lmic_cases.compressed(original, ChunkCoder(None))
  assert lmic_cases.decompressed(data, segment_stand_in.coder()) == original


@pytest.mark.parametrize(
  ('num_frames', 'segment_frames', 'chunk_frames', 'num_spans'),
  [(1000, 1000, 1000, 1), (1001, 1000, 501, 2), (999, 1000, 999, 1), (1000, 400, 250, 4), (7, 2, 2, 4)],
)
def test_segments_are_of_equal_length_and_even_in_number(num_frames, segment_frames, chunk_frames, num_spans):
  level = segment_stand_in.level(segment_frames, effort=2)
  header = opened(lmic_cases.compressed(wav(num_frames, 1, 8), segment_stand_in.coder(), level)).header
  assert (header.chunk_frames, header.num_spans, header.layout.effort) == (chunk_frames, num_spans, 2)


@pytest.mark.parametrize(('limits', 'chunk_frames'), [({'max_span_frames': 90}, 83), ({'max_span_bytes': 4 * 50}, 42)])
def test_segments_keep_the_limits_of_the_format(monkeypatch, limits, chunk_frames):
  for name, limit in limits.items():
    monkeypatch.setattr(SegmentLayout, name, limit)
  data = lmic_cases.compressed(wav(), segment_stand_in.coder(), segment_stand_in.level(1 << 30))
  assert opened(data).header.chunk_frames == chunk_frames


def test_progress_adds_up_segment_by_segment(tmp_path):
  original = wav(trailer=b'odd')
  (tmp_path / 'a.wav').write_bytes(original)
  done: list[int] = []
  target = io.BytesIO()
  with open(tmp_path / 'a.wav', 'rb') as source:
    file_codec.compress(source, target, segment_stand_in.coder(), done.append, segments=LEVEL)
  assert sum(done) == len(original) and len([each for each in done if each]) == 6
  for data, count in ((target.getvalue(), 6), (lmic_frames.damaged_in(target.getvalue(), 2), 5)):
    done.clear()
    file_codec.salvage(opened(data), io.BytesIO(), segment_stand_in.coder(), done.append)
    assert sum(done) == len(original) and len([each for each in done if each]) >= count


# Parts and damage.


@EITHER_FRAME
def test_a_part_needs_its_own_segments_only(tmp_path, compressed):
  data = lmic_frames.damaged_in(compressed(wav(rate_hz=1), segment_stand_in.coder(), LEVEL), 0)
  by = segment_stand_in.coder()
  with open(tmp_path / 'part.wav', 'wb') as target:
    file_codec.decompress_span(opened(data), target, by, 90, 200)
  info = read_pcm_info(tmp_path / 'part.wav')
  np.testing.assert_array_equal(read_pcm_frames(info, 0, info.num_frames), waves(330, 2, 16)[90:200])
  assert isinstance(by.model, StandIn)
  assert [shape.num_frames for shape in by.model.decoded] == [83, 83]
  with pytest.raises(DamageError, match=r'chunk 0 \(all channels, 0.00 to 83.00 s\) is damaged: its checksum'):
    file_codec.decompress_span(opened(data), io.BytesIO(), by, 80, 90)


@EITHER_FRAME
@pytest.mark.parametrize('bits', [8, 16, 24, 32])
def test_silence_stands_for_a_damaged_segment_alone(tmp_path, bits, compressed):
  original = wav(bits=bits, channels=3, trailer=b'trailer')
  data = lmic_frames.damaged_in(compressed(original, segment_stand_in.coder(), LEVEL), 2)
  target = io.BytesIO()
  [wrong] = file_codec.salvage(opened(data), target, segment_stand_in.coder())
  assert wrong.startswith('chunk 2 (all channels, 0.01 to 0.02 s) is damaged')
  assert len(target.getvalue()) == len(original) and target.getvalue().endswith(b'trailer')
  (tmp_path / 'a.wav').write_bytes(target.getvalue())
  expected = waves(330, 3, bits)
  expected[83:166] = 0
  np.testing.assert_array_equal(read_pcm_frames(read_pcm_info(tmp_path / 'a.wav'), 0, 330), expected)
  with pytest.raises(DamageError, match='chunk 2'):
    lmic_cases.decompressed(data, segment_stand_in.coder())


@EITHER_FRAME
def test_a_body_that_decodes_to_something_else_is_damaged(compressed):
  """Its check put right, so that only the model and the payload's own sum can tell."""
  data = compressed(wav(), segment_stand_in.coder(), LEVEL)
  for position in (-1, 0):  # The model notices; it does not.
    by = segment_stand_in.coder()
    changed = lmic_frames.sealed(lmic_frames.damaged_in(data, 2))
    if position == 0:
      model: Any = by.model
      decode = model.decode_segment
      model.decode_segment = lambda *told, decode=decode: (
        np.zeros((83, 2), np.int32) if (found := decode(*told)) is None else found
      )
    with pytest.raises(DamageError, match=r'chunk 2 \(.*\) is damaged: what it decodes to is not what was encoded'):
      lmic_cases.decompressed(changed, by)


@EITHER_FRAME
def test_a_cut_file_ends_with_its_last_segment(compressed):
  original = wav(trailer=b'trailer')
  data = compressed(original, segment_stand_in.coder(), LEVEL)
  third = opened(data).header.num_head_chunks + 2
  target = io.BytesIO()
  wrong = file_codec.salvage(opened(data[: lmic_frames.starts(data)[third]]), target, segment_stand_in.coder())
  missing = f'chunk {third} (all channels, 0.02 to 0.03 s) is the first that is not there'
  assert len(wrong) == 1 and missing in wrong[0]
  assert target.getvalue() == original[: 44 + 2 * 83 * 4]


@EITHER_FRAME
def test_a_model_of_another_kind_is_not_the_files(compressed):
  tokens = lmic_cases.tiny_coder()
  for writer, reader in ((tokens, segment_stand_in.coder()), (segment_stand_in.coder(), tokens)):
    data = compressed(wav(), writer, LEVEL)
    with pytest.raises(ModelMismatchError, match='name the model file that wrote it with -m'):
      lmic_cases.decompressed(data, reader)


@EITHER_FRAME
def test_no_model_and_a_file_of_segments(compressed):
  data = compressed(wav(), segment_stand_in.coder(), LEVEL)
  with pytest.raises(ModelMismatchError, match='no model was given'):
    lmic_cases.decompressed(data, ChunkCoder(None))


@EITHER_FRAME
def test_the_copy_of_the_header_tells_the_coding_too(monkeypatch, compressed):
  monkeypatch.setattr(CompactFrame, '_TABLE_FROM_BYTES', 0)
  original = wav()
  sound = compressed(original, segment_stand_in.coder(), LEVEL)
  for position in (8, 9, 14):  # Version or coding, effort.
    data = bytearray(sound)
    data[position] ^= 1
    container, target = opened(bytes(data)), io.BytesIO()
    assert container.header == opened(sound).header
    assert file_codec.salvage(container, target, segment_stand_in.coder()) == container.problems
    assert target.getvalue() == original
    with pytest.raises(FormatError, match='its header is damaged'):
      lmic_cases.decompressed(bytes(data), segment_stand_in.coder())


@pytest.mark.parametrize('frame', [lmic_frames.COMPACT, lmic_frames.FIXED], ids=['version 5', 'version 2'])
def test_frames_that_no_wav_can_have(frame):
  """Nothing but our error leaves where a header of them is asked for."""
  by = segment_stand_in.coder()
  assert by.model is not None
  header = Header(
    pcm=wav_integers(sample_bytes=2, num_channels=65_535, sample_rate_hz=1),
    chunk_frames=1,
    head_bytes=44,
    num_frames=1,
    tail_bytes=0,
    model_id=by.model.identity[:MODEL_ID_BYTES],
    source_id=bytes(SOURCE_ID_BYTES),
    layout=SegmentLayout(effort=0),
    container='WAV',
  )
  if frame is lmic_frames.FIXED:
    header = fixed_files.fixed_header(header, by.model.identity, has_canonical_head=False)
  target = io.BytesIO()
  writer = frame.writer(target, header)
  for index in range(2):
    writer.add(Chunk(method=STORED, crc32=0, body=bytes(header.payload_bytes(index))))
  writer.finish(bytes(32))
  with pytest.raises(FormatError, match='a file of kind WAV with a header of its own cannot hold such samples'):
    file_codec.decompress_span(opened(target.getvalue()), io.BytesIO(), by, 0, 1)
  # Nor is one made up for a head that is lost.
  salvaged, lost = io.BytesIO(), lmic_frames.damaged_in(target.getvalue(), 0)
  assert len(file_codec.salvage(opened(lost), salvaged, by)) == 2
  assert salvaged.getvalue() == bytes(header.original_bytes)


# One chunk.


def payload(samples: np.ndarray, bits: int) -> Segment:
  num_frames, num_channels = samples.shape
  shape = SegmentShape(
    num_frames=num_frames, num_channels=num_channels, sample_bytes=bits // 8, sample_rate_hz=8000, effort=0
  )
  return Segment(samples=samples.astype(np.int32), shape=shape)


def model_code(coder: ChunkCoder, one: Segment) -> Encoded:
  assert coder.model is not None
  [encoded] = coder.model.encode([one], Cancellation())
  assert encoded is not None
  return encoded


def decoded_bytes(coder: ChunkCoder, chunks, shapes) -> list[bytes | None]:
  return [found.to_bytes() if found else None for found in coder.decode(chunks, shapes)]


NOISE = random_samples(500, 2, 16)


@pytest.mark.parametrize(
  ('samples', 'method'),
  [(waves(500, 2, 16), MODEL), (NOISE, STORED), (np.tile(NOISE, (4, 1)), LZMA), (NOISE * 0, LZMA)],
  ids=['sound', 'noise', 'repeats', 'silence'],
)
def test_the_smallest_chunk_of_all_methods(samples, method):
  one = payload(samples, 16)
  with segment_stand_in.coder() as coder:
    [chunk] = coder.encode([one])
    [decoded] = decoded_bytes(coder, [chunk], [one.shape])
    (body, _) = model_code(coder, one)
  packed = lzma.compress(one.to_bytes(), lzma.FORMAT_RAW, filters=general._FILTERS)
  assert len(chunk.body) == min(len(one.to_bytes()), len(body), len(packed))
  assert (chunk.method, decoded) == (method, one.to_bytes())


def test_lzma_gives_up_early():
  """What it is fed is all that it costs."""
  fed = []

  class Counted(Cancellation):
    def check(self) -> None:
      fed.append(1)

  noise = np.random.default_rng(0).bytes(1 << 20)
  assert general.compress_below(noise, 200_000, Counted()) is None
  assert len(fed) <= 16 + 2  # Hashed in blocks, and an eighth compressed.
  zeros = bytes(1 << 20)
  packed = general.compress_below(zeros, 1000, Counted())
  assert packed is not None
  assert lzma.decompress(packed, lzma.FORMAT_RAW, filters=general._FILTERS) == zeros
  assert general.compress_below(zeros, len(packed), Counted()) is None
  cancelled = Cancellation()
  cancelled.cancel()
  with pytest.raises(CancelledError):
    general.compress_below(zeros, 1000, cancelled)


@pytest.mark.parametrize('num_planes', [1, 2, 4])
def test_lzma_is_not_given_up_where_it_pays(num_planes):
  """Noise that comes again, and what does not repeat but has another order than that of samples: words."""
  rng = np.random.default_rng(0)
  half = rng.bytes(1 << 17).translate(bytes(range(128)) * 2)
  planes = b''.join(part + part for part in (half[k::num_planes] for k in range(num_planes)))
  words = rng.choice([b'%d ' % number for number in rng.integers(0, 10**6, 5000)], 50_000)
  for data in (planes, b''.join(words.tolist())):
    packed = general.compress_below(data, len(data) * 3 // 4, Cancellation(), num_planes=num_planes)
    assert packed is not None
    assert lzma.decompress(packed, lzma.FORMAT_RAW, filters=general._FILTERS) == data


@pytest.mark.parametrize(
  ('samples', 'method'),
  [(waves(500, 2, 16), MODEL), (NOISE, STORED), (np.tile(NOISE[:5], (100, 1)), LZMA)],
)
def test_an_observer_is_told_of_the_model_and_of_what_is_kept(samples, method):
  one = payload(samples, 16)
  seen: list[Modelled] = []
  with ChunkCoder(StandIn(), observe=seen.append) as coder:
    [chunk, _] = coder.encode([one, Raw(data=b'bytes alone')])
    (body, sample_bits) = model_code(coder, one)
  [modelled] = seen
  assert (modelled.raw_bytes, modelled.model_bytes) == (2000, len(body))
  assert (modelled.method, modelled.kept_bytes) == (method, len(chunk.body)) and chunk.method == method
  assert modelled.sample_bits.shape == (500, 2)
  np.testing.assert_array_equal(modelled.sample_bits, sample_bits())


@pytest.mark.parametrize('samples', [waves(500, 2, 16), NOISE, np.tile(NOISE[:5], (100, 1))])
@pytest.mark.parametrize('observe', [None, lambda one: None])
def test_the_model_alone(samples, observe):
  """Its body may be longer than the samples; bytes that are no sound go as they always do."""
  one, words = payload(samples, 16), Raw(data=b'words ' * 99)
  shapes = [one.shape, words.shape]
  with ChunkCoder(StandIn(), model_only=True, observe=observe) as coder:
    chunks = coder.encode([one, words])
    assert decoded_bytes(coder, chunks, shapes) == [one.to_bytes(), words.data]
    (body, _) = model_code(coder, one)
  assert (chunks[0].method, chunks[0].body, chunks[1].method) == (MODEL, body, LZMA)


def test_nothing_is_computed_for_an_observer_that_is_not_there(monkeypatch):
  def called(*_):
    raise AssertionError

  monkeypatch.setattr(rans, 'code_lengths', called)
  with pytest.raises(AssertionError), ChunkCoder(HYBRID, observe=print) as coder:
    coder.encode([payload(NOISE, 16)])
  with ChunkCoder(HYBRID) as coder:
    coder.encode([payload(NOISE, 16)])
  monkeypatch.setattr(general, 'compress_below', called)
  with ChunkCoder(HYBRID, model_only=True) as coder:
    coder.encode([payload(NOISE, 16)])


def test_a_hostile_header_that_names_a_model_of_the_other_kind():
  """Version 1 with the identity of a model of segments, version 2 with that of one of tokens."""
  chunk, segment = Chunk(method=MODEL, crc32=0, body=bytes(99)), payload(NOISE, 16).shape
  with segment_stand_in.coder() as coder:
    assert coder.decode([chunk], [ChannelShape(num_samples=1000, sample_bytes=2)]) == [None]
  with lmic_cases.tiny_coder() as coder:
    assert coder.decode([chunk], [segment]) == [None]


def test_segments_of_other_sums_are_damaged():
  one = payload(waves(500, 2, 16), 16)
  shape = one.shape
  with segment_stand_in.coder() as coder:
    [chunk] = coder.encode([one])
    wrong = Chunk(method=MODEL, crc32=chunk.crc32 ^ 1, body=chunk.body)
    by_model = Chunk(method=MODEL, crc32=chunk.crc32, body=b'')
    plain = RawShape(num_bytes=shape.num_bytes)
    found = decoded_bytes(coder, [wrong, chunk, by_model, chunk], [shape, shape, shape, plain])
    assert found == [None, one.to_bytes(), None, None]


# Verified while it is made.


def verified(original: bytes, model: StandIn) -> tuple[io.BytesIO, Compressed]:
  target = io.BytesIO()
  with ChunkCoder(model) as coder:
    return target, file_codec.compress(io.BytesIO(original), target, coder, segments=LEVEL, verify=True)


def test_every_segment_is_decoded_while_the_file_is_written():
  model, original = StandIn(), wav(trailer=b'odd', riff_size=0)
  target, compressed = verified(original, model)
  assert target.getvalue() == lmic_cases.compressed(original, segment_stand_in.coder(), LEVEL)
  assert len(model.decoded) == len(model.encoded) == compressed.header.num_spans > 1
  file_codec.read_back(opened(target.getvalue()), compressed)
  assert len(model.decoded) == compressed.header.num_spans


class Wrong(StandIn):
  """Decodes all but the first two segments to something else: which they are is for the threads to say."""

  def decode_segment(self, body, shape, cancellation):
    samples = super().decode_segment(body, shape, cancellation)
    assert samples is not None
    return samples[::-1] if len(self.decoded) >= 3 else samples


def test_what_decodes_to_something_else_is_not_written_to_its_end(monkeypatch):
  with pytest.raises(DamageError, match=r'is damaged: what it decodes to is not what was encoded'):
    verified(wav(), Wrong())
  # Where the checksums say nothing the hash of the whole does.
  monkeypatch.setattr(zlib, 'crc32', lambda data: 0)
  with pytest.raises(FormatError, match='together they are not the file that was compressed'):
    verified(wav(), Wrong())


def test_every_byte_is_read_back():
  original = wav(trailer=b'odd', riff_size=0)
  target, compressed = verified(original, StandIn())
  data = target.getvalue()
  for place in range(len(data)):
    changed = bytearray(data)
    changed[place] ^= 1
    with pytest.raises(FormatError):
      file_codec.read_back(opened(bytes(changed)), compressed)
  for other in (data[:-1], data + b'x'):
    with pytest.raises(FormatError):
      file_codec.read_back(opened(other), compressed)
  another, _ = verified(wav(trailer=b'even', riff_size=0), StandIn())
  with pytest.raises(FormatError, match='what stands in the file is not what was written'):
    file_codec.read_back(opened(another.getvalue()), compressed)


# Time and memory.


class Endless(StandIn):
  """Works until it is told to stop; when it begins, somebody presses Ctrl-C."""

  def __init__(self):
    super().__init__()
    self.heeded = threading.Event()

  def _work(self, cancellation) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(6000):
      if cancellation.requested:
        self.heeded.set()
        cancellation.check()
      threading.Event().wait(0.01)

  def encode_segment(self, samples, shape, cancellation):
    self._work(cancellation)
    return super().encode_segment(samples, shape, cancellation)

  def decode_segment(self, body, shape, cancellation):
    self._work(cancellation)


@pytest.mark.parametrize('direction', ['encode', 'decode'])
def test_work_is_stopped_in_the_middle_of_a_segment(direction):
  one = payload(waves(50, 1, 16), 16)
  chunk = Chunk(method=MODEL, crc32=0, body=b'')
  arguments: dict[str, list[Any]] = {'encode': [[one]], 'decode': [[chunk], [one.shape]]}
  model = Endless()
  with pytest.raises(KeyboardInterrupt), ChunkCoder(model, 1) as coder:
    getattr(coder, direction)(*arguments[direction])
  assert model.heeded.wait(30)


class Silent(StandIn):
  """Takes no time and little memory of its own; all sound is silence."""

  def encode_segment(self, samples, shape, cancellation):
    return b'', lambda: np.zeros(samples.shape)

  def decode_segment(self, body, shape, cancellation):
    return np.zeros((shape.num_frames, shape.num_channels), np.int32)


def test_long_files_take_no_more_memory_than_short_ones(tmp_path):
  def peak_bytes(num_frames: int) -> int:
    path, target, by = tmp_path / 'a.wav', io.BytesIO(), ChunkCoder(Silent(), 1)
    path.write_bytes(build_wav(bytes(2 * num_frames)))
    tracemalloc.start()
    try:
      with open(path, 'rb') as source:
        size = file_codec.compress(source, target, by, segments=segment_stand_in.level(1 << 15)).num_bytes
      with open(os.devnull, 'wb') as nowhere:
        file_codec.decompress(Container(target, size), nowhere, by)
      return tracemalloc.get_traced_memory()[1]
    finally:
      tracemalloc.stop()

  assert peak_bytes(1 << 21) < peak_bytes(1 << 17) + (1 << 20)


@pytest.mark.parametrize('power', [0, 12, 13, 18, 21])
def test_lzma_makes_more_of_zeros_than_where_it_is_not_tried(power):
  packed = lzma.compress(bytes(1 << power), lzma.FORMAT_RAW, filters=general._FILTERS)
  assert len(packed) > (1 << power) // general._MAX_RATIO


class Counting(Silent):
  """Counts what it is asked to do."""

  def __init__(self):
    super().__init__()
    self.calls: list[str] = []

  def encode_segment(self, samples, shape, cancellation):
    self.calls.append('encode')
    return super().encode_segment(samples, shape, cancellation)

  def decode_segment(self, body, shape, cancellation):
    self.calls.append('decode')
    return super().decode_segment(body, shape, cancellation)


def test_of_hours_of_silence_one_segment_is_worked_on():
  original, target, model = build_wav(bytes(2 * 1000 * 64)), io.BytesIO(), Counting()
  with ChunkCoder(model, 1) as by:
    size = file_codec.compress(io.BytesIO(original), target, by, segments=segment_stand_in.level(1000)).num_bytes
    restored = io.BytesIO()
    file_codec.decompress(Container(target, size), restored, by)
  assert restored.getvalue() == original
  assert model.calls == ['encode', 'decode']


def test_another_length_of_silence_is_another_segment():
  model = Counting()
  with ChunkCoder(model, 1) as by:
    for num_frames in (10, 20, 10):
      one = payload(np.zeros((num_frames, 1), np.int32), 16)
      chunks = by.encode([one])
      assert decoded_bytes(by, chunks, [one.shape]) == [one.to_bytes()]
  assert model.calls == 3 * ['encode', 'decode']
