"""Files in segments: whole, in part, damaged and stopped, with a model that stands in for the real ones."""

import io
import lzma
import os
import signal
import threading
import tracemalloc

import lmic_cases
import numpy as np
import pytest
import segment_stand_in
from segment_stand_in import StandIn
from wav_builder import IEEE_FLOAT, build_wav, pcm_bytes, random_samples

from language_modeling_is_compression import chunk_coder, codec, layout
from language_modeling_is_compression.audio.tokens import planes_from_frames
from language_modeling_is_compression.audio.wav import read_frames, read_wav_info
from language_modeling_is_compression.chunk_coder import ChunkCoder, Payload, PayloadShape
from language_modeling_is_compression.container import LZMA, MODEL, STORED, Chunk, Container
from language_modeling_is_compression.errors import DamageError, FormatError, ModelMismatchError
from language_modeling_is_compression.header import serialize_header
from language_modeling_is_compression.inference.predictor import SegmentShape

LEVEL = segment_stand_in.level(100)


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


def damaged_in(data: bytes, *chunks: int) -> bytes:
  """The same file with the last byte of these chunks' bodies changed."""
  changed, container, position = bytearray(data), opened(data), 100
  for index in range(container.header.num_chunks):
    position += 21 + len(container.chunk(index).body)
    if index in chunks:
      changed[position - 1] ^= 1
  return bytes(changed)


# Whole files.


@pytest.mark.parametrize('channels', [1, 2, 3, 6])
@pytest.mark.parametrize('bits', [8, 16, 24, 32])
def test_every_width_and_number_of_channels_comes_back(bits, channels):
  original = wav(330, channels, bits, rate_hz=22_050, before=[(b'LIST', b'abc')], trailer=b'odd')
  by = segment_stand_in.coder()
  data = lmic_cases.compressed(original, by, LEVEL)
  header = opened(data).header
  assert (header.format_version, header.effort, header.model_id) == (2, 1, by.predictor.identity)
  assert (header.num_spans, header.chunk_frames, header.num_chunks) == (4, 83, 6)
  assert [opened(data).chunk(index).method for index in (1, 2, 3, 4)] == [MODEL] * 4
  for lanes in (1, 40):
    other = segment_stand_in.coder(lanes)
    assert lmic_cases.compressed(original, other, LEVEL) == data
    assert lmic_cases.decompressed(data, other) == original
  shape = {'num_channels': channels, 'sample_bytes': bits // 8, 'sample_rate_hz': 22_050, 'effort': 1}
  expected = [SegmentShape(num_frames=frames, **shape) for frames in (83, 83, 83, 81)]
  assert sorted(by.predictor.encoded, key=lambda shape: -shape.num_frames) == expected


@pytest.mark.parametrize(
  'original',
  [
    wav()[:-1],
    wav(1, 1),
    wav(99, 1, data_size=0, riff_size=0),
    wav(data_first=True),
    build_wav(pcm_bytes(random_samples(9, 1, 24), 24), bits=20),
    build_wav(pcm_bytes(random_samples(2, 255, 16), 16), channels=255),
    wav(rate_hz=0),
    wav(rate_hz=2**32 - 1),
    wav(form=b'RF64'),
  ],
  ids=['part of a frame', 'one frame', 'unfinished', 'data first', '20 bits', '255 channels', '0 Hz', 'GHz', 'RF64'],
)
def test_odd_files_come_back(original):
  data = lmic_cases.compressed(original, segment_stand_in.coder(), LEVEL)
  assert opened(data).header.format_version == 2
  assert lmic_cases.decompressed(data, segment_stand_in.coder()) == original
  lmic_cases.check_reading(data, original, may_differ=False, by=segment_stand_in.coder())


@pytest.mark.parametrize(
  'original',
  [
    b'no audio',
    b'',
    build_wav(b''),
    build_wav(np.linspace(-1, 1, 300, dtype='<f4').tobytes(), bits=32, tag=IEEE_FLOAT, channels=2),
  ],
  ids=['no WAV', 'empty', 'no samples', 'floats'],
)
def test_what_no_model_codes_is_of_version_1(original):
  data = lmic_cases.compressed(original, segment_stand_in.coder(), LEVEL)
  header = opened(data).header
  assert (header.format_version, header.effort, any(header.model_id)) == (1, None, False)
  assert data == lmic_cases.compressed(original, ChunkCoder(None))
  assert lmic_cases.decompressed(data, segment_stand_in.coder()) == original


@pytest.mark.parametrize(
  ('num_frames', 'segment_frames', 'chunk_frames', 'num_spans'),
  [(1000, 1000, 1000, 1), (1001, 1000, 501, 2), (999, 1000, 999, 1), (1000, 400, 250, 4), (7, 2, 2, 4)],
)
def test_segments_are_of_equal_length_and_even_in_number(num_frames, segment_frames, chunk_frames, num_spans):
  level = segment_stand_in.level(segment_frames, effort=2)
  header = opened(lmic_cases.compressed(wav(num_frames, 1, 8), segment_stand_in.coder(), level)).header
  assert (header.chunk_frames, header.num_spans, header.effort) == (chunk_frames, num_spans, 2)


@pytest.mark.parametrize(
  ('limits', 'chunk_frames'), [({'MAX_SEGMENT_FRAMES': 90}, 83), ({'MAX_SEGMENT_BYTES': 4 * 50}, 42)]
)
def test_segments_keep_the_limits_of_the_format(monkeypatch, limits, chunk_frames):
  for name, limit in limits.items():
    monkeypatch.setattr(layout, name, limit)
  data = lmic_cases.compressed(wav(), segment_stand_in.coder(), segment_stand_in.level(1 << 30))
  assert opened(data).header.chunk_frames == chunk_frames


def test_progress_adds_up_segment_by_segment(tmp_path):
  original = wav(trailer=b'odd')
  (tmp_path / 'a.wav').write_bytes(original)
  done, target = [], io.BytesIO()
  codec.compress(tmp_path / 'a.wav', target, segment_stand_in.coder(), done.append, LEVEL)
  assert sum(done) == len(original) and len(done) == 6
  for data, count in ((target.getvalue(), 6), (damaged_in(target.getvalue(), 2), 5)):
    done.clear()
    codec.salvage(opened(data), io.BytesIO(), segment_stand_in.coder(), done.append)
    assert sum(done) == len(original) and len([each for each in done if each]) >= count


# Parts and damage.


def test_a_part_needs_its_own_segments_only(tmp_path):
  data = damaged_in(lmic_cases.compressed(wav(rate_hz=1), segment_stand_in.coder(), LEVEL), 1)
  by = segment_stand_in.coder()
  with open(tmp_path / 'part.wav', 'wb') as target:
    codec.decompress_span(opened(data), target, by, 90, 200)
  info = read_wav_info(tmp_path / 'part.wav')
  np.testing.assert_array_equal(read_frames(info, 0, info.num_frames), waves(330, 2, 16)[90:200])
  assert [shape.num_frames for shape in by.predictor.decoded] == [83, 83]
  with pytest.raises(DamageError, match=r'chunk 1 \(all channels, 0.00 to 83.00 s\) is damaged: its checksum'):
    codec.decompress_span(opened(data), io.BytesIO(), by, 80, 90)


@pytest.mark.parametrize('bits', [8, 16, 24, 32])
def test_silence_stands_for_a_damaged_segment_alone(tmp_path, bits):
  original = wav(bits=bits, channels=3, trailer=b'trailer')
  data = damaged_in(lmic_cases.compressed(original, segment_stand_in.coder(), LEVEL), 2)
  target = io.BytesIO()
  [wrong] = codec.salvage(opened(data), target, segment_stand_in.coder())
  assert wrong.startswith('chunk 2 (all channels, 0.01 to 0.02 s) is damaged')
  assert len(target.getvalue()) == len(original) and target.getvalue().endswith(b'trailer')
  (tmp_path / 'a.wav').write_bytes(target.getvalue())
  expected = waves(330, 3, bits)
  expected[83:166] = 0
  np.testing.assert_array_equal(read_frames(read_wav_info(tmp_path / 'a.wav'), 0, 330), expected)
  with pytest.raises(DamageError, match='chunk 2'):
    lmic_cases.decompressed(data, segment_stand_in.coder())


def test_a_body_that_decodes_to_something_else_is_damaged():
  """Its check put right, so that only the model and the payload's own sum can tell."""
  data = lmic_cases.compressed(wav(), segment_stand_in.coder(), LEVEL)
  for position in (-1, 0):  # The model notices; it does not.
    by = segment_stand_in.coder()
    changed = lmic_cases.sealed(damaged_in(data, 2))
    if position == 0:
      decode = by.predictor.decode
      by.predictor.decode = lambda *told, decode=decode: (
        np.zeros((83, 2), np.int32) if (found := decode(*told)) is None else found
      )
    with pytest.raises(DamageError, match=r'chunk 2 \(.*\) is damaged: what it decodes to is not what was encoded'):
      lmic_cases.decompressed(changed, by)


def test_a_cut_file_ends_with_its_last_segment():
  original = wav(trailer=b'trailer')
  data = lmic_cases.compressed(original, segment_stand_in.coder(), LEVEL)
  end = data.index(opened(data).chunk(2).body) + len(opened(data).chunk(2).body)
  target = io.BytesIO()
  wrong = codec.salvage(opened(data[:end]), target, segment_stand_in.coder())
  assert len(wrong) == 1 and 'chunk 3 (all channels, 0.02 to 0.03 s) is the first that is not there' in wrong[0]
  assert target.getvalue() == original[: 44 + 2 * 83 * 4]


def test_a_model_of_another_kind_is_not_the_files():
  tokens = lmic_cases.tiny_coder()
  for writer, reader in ((tokens, segment_stand_in.coder()), (segment_stand_in.coder(), tokens)):
    data = lmic_cases.compressed(wav(), writer, LEVEL)
    with pytest.raises(ModelMismatchError, match='name the model file that wrote it with -m'):
      lmic_cases.decompressed(data, reader)


def test_no_model_and_a_file_of_segments():
  data = lmic_cases.compressed(wav(), segment_stand_in.coder(), LEVEL)
  with pytest.raises(ModelMismatchError, match='no model was given'):
    lmic_cases.decompressed(data, ChunkCoder(None))


def test_the_copy_of_the_header_tells_the_version_too():
  original = wav()
  data = bytearray(lmic_cases.compressed(original, segment_stand_in.coder(), LEVEL))
  data[14] ^= 1  # The effort.
  container, target = opened(bytes(data)), io.BytesIO()
  assert container.header.effort == 1 and serialize_header(container.header) != bytes(data[:100])
  assert codec.salvage(container, target, segment_stand_in.coder()) == container.problems
  assert target.getvalue() == original
  with pytest.raises(FormatError, match='its header is damaged'):
    lmic_cases.decompressed(bytes(data), segment_stand_in.coder())


# One chunk.


def payload(samples: np.ndarray, bits: int) -> Payload:
  sample_bytes = bits // 8
  raw = np.frombuffer(pcm_bytes(samples, bits), np.uint8).reshape(*samples.shape, sample_bytes)
  planes = planes_from_frames(raw, signed=bits > 8)
  shape = SegmentShape(
    num_frames=len(samples),
    num_channels=samples.shape[1],
    sample_bytes=sample_bytes,
    sample_rate_hz=8000,
    effort=0,
  )
  return Payload(data=planes.tobytes(), segment=shape)


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
    [decoded] = coder.decode([chunk], [PayloadShape(num_bytes=len(one.data), segment=one.segment)])
    body, _ = coder.predictor.encode(one.samples(one.segment), one.segment, lambda: False)
  packed = lzma.compress(one.data, lzma.FORMAT_RAW, filters=chunk_coder._LZMA_FILTERS)
  assert len(chunk.body) == min(len(one.data), len(body), len(packed))
  assert (chunk.method, decoded) == (method, one.data)


def test_lzma_gives_up_early():
  """What it is fed is all that it costs."""
  fed = []
  noise = np.random.default_rng(0).bytes(1 << 20)

  def looks() -> bool:
    fed.append(1)
    return False

  assert chunk_coder._lzma_below(noise, 200_000, looks) is None
  assert len(fed) <= 6
  zeros = bytes(1 << 20)
  packed = chunk_coder._lzma_below(zeros, 1000, looks)
  assert lzma.decompress(packed, lzma.FORMAT_RAW, filters=chunk_coder._LZMA_FILTERS) == zeros
  assert chunk_coder._lzma_below(zeros, len(packed), looks) is None
  assert chunk_coder._lzma_below(zeros, 1000, lambda: True) is None


def test_intervals_are_shown():
  seen = []
  with ChunkCoder(StandIn(), watch=seen.append) as coder:
    coder.encode([payload(waves(50, 2, 24), 24), Payload(data=b'bytes alone')])
  [intervals] = seen
  assert intervals.dtype == np.uint32 and intervals.shape == (100, 3, 2)


def test_a_hostile_header_that_names_a_model_of_the_other_kind():
  """Version 1 with the identity of a model of segments, version 2 with that of one of tokens."""
  chunk, segment = Chunk(method=MODEL, crc32=0, body=bytes(99)), payload(NOISE, 16).segment
  with segment_stand_in.coder() as coder:
    assert coder.decode([chunk], [PayloadShape(num_bytes=2000, sample_bytes=2)]) == [None]
  with lmic_cases.tiny_coder() as coder:
    assert coder.decode([chunk], [PayloadShape(num_bytes=2000, segment=segment)]) == [None]


def test_segments_of_other_sums_are_damaged():
  one = payload(waves(500, 2, 16), 16)
  shape = PayloadShape(num_bytes=len(one.data), segment=one.segment)
  with segment_stand_in.coder() as coder:
    [chunk] = coder.encode([one])
    wrong = Chunk(method=MODEL, crc32=chunk.crc32 ^ 1, body=chunk.body)
    by_model = Chunk(method=MODEL, crc32=chunk.crc32, body=b'')
    plain = PayloadShape(num_bytes=len(one.data))
    assert coder.decode([wrong, chunk, by_model, chunk], [shape, shape, shape, plain]) == [None, one.data, None, None]


# Time and memory.


class Endless(StandIn):
  """Works until it is told to stop; when it begins, somebody presses Ctrl-C."""

  def __init__(self):
    super().__init__()
    self.heeded = threading.Event()

  def _work(self, stopped) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(6000):
      if stopped():
        self.heeded.set()
        return
      threading.Event().wait(0.01)

  def encode(self, samples, shape, stopped):
    self._work(stopped)
    return super().encode(samples, shape, stopped)

  def decode(self, body, shape, stopped):
    self._work(stopped)
    return None


@pytest.mark.parametrize('direction', ['encode', 'decode'])
def test_work_is_stopped_in_the_middle_of_a_segment(direction):
  one = payload(waves(50, 1, 16), 16)
  chunk, shape = Chunk(method=MODEL, crc32=0, body=b''), PayloadShape(num_bytes=len(one.data), segment=one.segment)
  arguments = {'encode': [[one]], 'decode': [[chunk], [shape]]}
  predictor = Endless()
  with pytest.raises(KeyboardInterrupt), ChunkCoder(predictor, 1) as coder:
    getattr(coder, direction)(*arguments[direction])
  assert predictor.heeded.wait(30)


@pytest.mark.parametrize(
  ('lanes', 'segment_bytes', 'expected'), [(16, 1 << 21, 16), (16, 1 << 22, 8), (16, 1 << 25, 2), (1, 1, 1)]
)
def test_long_segments_are_fewer_at_a_time(monkeypatch, lanes, segment_bytes, expected):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda process: {0, 1})
  assert segment_stand_in.coder(lanes).segments_at_a_time(segment_bytes) == expected


class Silent(StandIn):
  """Takes no time and little memory of its own; all sound is silence."""

  def encode(self, samples, shape, stopped):
    return b'', np.zeros((0, 1, 2), np.uint32)

  def decode(self, body, shape, stopped):
    return np.zeros((shape.num_frames, shape.num_channels), np.int32)


def test_long_files_take_no_more_memory_than_short_ones(tmp_path):
  def peak_bytes(num_frames: int) -> int:
    path, target, by = tmp_path / 'a.wav', io.BytesIO(), ChunkCoder(Silent(), 1)
    path.write_bytes(build_wav(bytes(2 * num_frames)))
    tracemalloc.start()
    try:
      _, size = codec.compress(path, target, by, level=segment_stand_in.level(1 << 15))
      with open(os.devnull, 'wb') as nowhere:
        codec.decompress(Container(target, size), nowhere, by)
      return tracemalloc.get_traced_memory()[1]
    finally:
      tracemalloc.stop()

  assert peak_bytes(1 << 21) < peak_bytes(1 << 17) + (1 << 20)
