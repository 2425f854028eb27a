"""What files cost: hardly more than they are, whatever is in them, and next to nothing where nothing is new.

Shapes: N frames, C channels.
"""

import dataclasses
import functools
import io
import itertools

import numpy as np
import pytest
from support import hybrid_cases, lmic_cases, lmic_frames
from support.hybrid_cases import shape_of
from support.training_runs import REPOSITORY
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import wav_integers
from language_modeling_is_compression.codec import plan
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.levels import LEVELS
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.container import MODEL, STORED, Container
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.header import Header, with_canonical_sizes
from language_modeling_is_compression.format.layout import HybridLayout
from language_modeling_is_compression.format.surroundings import canonical
from language_modeling_is_compression.quantized.loading import load_coder
from language_modeling_is_compression.quantized.segments import EnsembleCoder

# docs/FORMAT.md: the footer of a small file; a chunk's record, and its line in the footer of a large one.
FOOTER_BYTES = 20
RECORD_BYTES, LINE_BYTES = 13, 4
SHORT_SEGMENTS = SegmentSettings(frames=800, effort=0)
SPEECH = sorted((REPOSITORY / 'examples/audio/valid').glob('*.wav'))[0]
# Of a packaged network and the effort of levels that take it.
PACKAGED = [('tiny', 0), ('default-v2', 1)]


@functools.cache
def coder() -> ChunkCoder:
  return ChunkCoder(EnsembleCoder(hybrid_cases.random_network()))


@functools.cache
def packaged(name: str) -> EnsembleCoder:
  found = load_coder(name, 'cpu')
  assert isinstance(found, EnsembleCoder)
  return found


def speech(num_frames: int, start: int = 20_000) -> np.ndarray:
  """16 bits, 16 kHz: int32 [N, 1]."""
  return read_pcm_frames(read_pcm_info(SPEECH), start, start + num_frames)


def hostile(num_frames: int, channels: int, bits: int) -> dict[str, np.ndarray]:
  """Sounds that no model can expect, or that let it expect something and then do something else: int64 [N, C]."""
  rng = np.random.default_rng(0)
  top = (1 << (bits - 1)) - 1
  time, shape = np.arange(num_frames)[:, None], (num_frames, channels)
  noise = rng.integers(-top - 1, top + 1, shape)
  bit = rng.integers(-1, 2, shape)
  sine = np.round(0.9 * top * np.sin(0.11 * time + np.arange(channels))).astype(np.int64)
  return {
    'noise at full scale': noise,
    'even values alone': noise & ~1,
    'extremes at random': np.where(noise < 0, -top - 1, top),
    'a square': np.where((time + 3 * np.arange(channels)) // 25 % 2, top, -top - 1),
    'silence and noise in turn': np.where(time // 150 % 2, noise, 0),
    'the least bit': bit,
    'the least bit, seldom': np.where(time % 600 == 599, bit, 0),
    'sudden gain': np.where(time < num_frames // 2, bit, noise),
    'a sine, then its negative': np.where(time < num_frames // 3, sine, -sine),
    'a sine that turns over and over': np.where(time // 64 % 2, sine, -sine),
    'a sine and noise in turn': np.where(time // 200 % 2, noise, sine),
  }


# Nothing explodes.


@pytest.mark.parametrize('bits', [8, 16, 24])
@pytest.mark.parametrize(('num_frames', 'channels'), [(1, 1), (2, 2), (1700, 1), (900, 2), (100, 9)])
def test_no_chunk_is_larger_than_what_it_holds(num_frames, channels, bits):
  """It would be if segments were not stored where the model makes them larger, as it does with noise."""
  around = np.random.default_rng(1).bytes(301)
  methods = set()
  for index, (name, samples) in enumerate(hostile(num_frames, channels, bits).items()):
    payload, plain = pcm_bytes(samples, bits), index % 2 == 0
    if plain:
      pcm = wav_integers(sample_bytes=bits // 8, num_channels=channels, sample_rate_hz=8000)
      head, tail = canonical('WAV', pcm, num_frames)
      original = head + payload + tail
    else:
      original = build_wav(payload, channels=channels, bits=bits, before=[(b'odd ', around)], trailer=around)
    data = lmic_cases.compressed(original, coder(), SHORT_SEGMENTS)
    container = Container(io.BytesIO(data), len(data))
    header = container.header
    assert header.layout.coding == 2 and header.has_canonical_head == plain
    left_out = header.head_bytes + header.tail_bytes if plain else 0
    beside = lmic_frames.header_bytes(data) + FOOTER_BYTES + header.num_chunks * RECORD_BYTES
    assert len(data) <= len(original) - left_out + beside, name
    assert lmic_cases.decompressed(data, coder()) == original, name
    methods |= {container.chunk(header.num_head_chunks + span).method for span in range(header.num_spans)}
  assert methods >= ({STORED, MODEL} if num_frames >= 100 else {STORED})


@pytest.mark.parametrize('level', LEVELS)
def test_the_chunks_of_a_level_cost_less_than_a_thousandth(tmp_path, level):
  """Beside those that every file has: so, with the test above, no file costs more than 0.1% and some fixed bytes.

  A level of segments a quarter as long as the shortest ones would cost more.
  """
  frames, model = LEVELS[level].segments.frames, coder().model
  lengths = [count * frames + more for count, more in itertools.product(range(5), (-1, 0, 1))]
  for num_frames, channels in [*((length, 1) for length in lengths if length > 0), (20_000, 3000)]:
    header_bytes = build_wav(b'', bits=8, channels=channels, data_size=num_frames * channels)
    with open(tmp_path / 'a.wav', 'w+b') as file:
      file.write(header_bytes)
      file.truncate(len(header_bytes) + num_frames * channels)
      file.seek(0)
      header = plan.plan_file(file, 'a.wav', model, LEVELS[level].segments)
    assert header.num_frames == num_frames and header.num_head_chunks <= 1
    assert (header.num_spans - 1) * (RECORD_BYTES + LINE_BYTES) < 0.001 * num_frames * channels


# What stands beside the model's code.


def framed(num_frames: int, channels: int, bits: int, rate_hz: int, level: SegmentSettings) -> tuple[Container, int]:
  """A plain WAV of speech, compressed, and the bytes of the file beside the bodies of its chunks."""
  samples = np.repeat(speech(num_frames), channels, axis=1).astype(np.int64) << bits >> 16
  pcm = wav_integers(sample_bytes=bits // 8, num_channels=channels, sample_rate_hz=rate_hz)
  head, tail = canonical('WAV', pcm, num_frames)
  data = lmic_cases.compressed(head + pcm_bytes(samples, bits) + tail, coder(), level)
  container = Container(io.BytesIO(data), len(data))
  header = container.header
  assert header.has_canonical_head and header.num_chunks == header.num_spans
  assert {container.chunk(index).method for index in range(header.num_chunks)} == {MODEL}
  return container, len(data) - sum(len(container.chunk(index).body) for index in range(header.num_chunks))


@pytest.mark.parametrize(
  ('channels', 'bits', 'rate_hz', 'numbers'),
  [(1, 16, 16_000, 7), (1, 16, 44_100, 7), (2, 16, 48_000, 7), (2, 24, 192_000, 7), (1, 8, 8000, 6)],
)
def test_a_plain_file_of_one_segment_takes_61_bytes_or_so_beside_its_code(channels, bits, rate_hz, numbers):
  """Magic, version and length (8), coding, container and samples (3), source (4), model (8), numbers of the samples,
  check (4); record (13); digest and check (20).
  """
  container, beside = framed(1000, channels, bits, rate_hz, SegmentSettings(frames=1 << 20, effort=0))
  assert container.header.num_spans == 1
  assert beside == 8 + 3 + 4 + 8 + numbers + 4 + 13 + 20


def test_no_plain_file_of_one_segment_takes_more_than_80_bytes_beside_its_code():
  """Whatever its numbers are, they have as many bytes as they need: a segment has 2**25 bytes, a rate 32 bits."""
  pcm = wav_integers(sample_bytes=4, num_channels=16_383, sample_rate_hz=2**32 - 1)
  for changed in (pcm, dataclasses.replace(pcm, num_channels=1), dataclasses.replace(pcm, num_channels=64)):
    num_frames = min(HybridLayout.max_span_frames, HybridLayout.max_span_bytes // changed.frame_bytes)
    header = with_canonical_sizes(
      Header(
        pcm=changed,
        chunk_frames=num_frames,
        head_bytes=0,
        num_frames=num_frames,
        tail_bytes=0,
        model_id=b'8 bytes.',
        source_id=b'from',
        layout=HybridLayout(effort=2),
        container='WAV',
        has_canonical_head=True,
      )
    )
    small = len(CompactFrame().serialize(header)) + RECORD_BYTES + FOOTER_BYTES
    assert small <= 80 and CompactFrame().parse(CompactFrame().serialize(header)) == header


def test_more_segments_take_a_record_each_and_a_number():
  _, alone = framed(1000, 1, 16, 16_000, SegmentSettings(frames=1000, effort=0))
  container, beside = framed(1000, 1, 16, 16_000, SegmentSettings(frames=250, effort=0))
  assert container.header.num_spans == 4
  assert beside == alone + 3 * RECORD_BYTES + 1  # The length of a span, which is 0 where there is one alone.


# Silence.


@pytest.mark.parametrize(('bits', 'channels'), [(8, 1), (16, 2), (24, 9)])
def test_a_segment_of_silence_costs_a_few_bytes(bits, channels):
  """However long it is: numbers for each channel, no lags and an empty code for each group of them."""
  samples = np.zeros((100_000, channels), np.int32)
  body, _ = hybrid_cases.encode(packaged('default-v2'), samples, shape_of(samples, bits // 8))
  assert len(body) <= 5 * channels + 10 * -(-channels // 8)


def bits_of(name: str, effort: int, samples: np.ndarray) -> np.ndarray:
  """Code length of each sample: float64 [N, C]."""
  _, intervals = hybrid_cases.encode(packaged(name), samples, shape_of(samples, 2, effort))
  return -np.log2(intervals[..., 1] / (1 << PRECISION_BITS)).sum(axis=1).reshape(samples.shape)


@pytest.mark.parametrize(('name', 'effort'), PACKAGED)
@pytest.mark.parametrize('sound', [speech(2000), hybrid_cases.tone(2000)], ids=['speech', 'tone'])
def test_silence_within_a_sound_soon_costs_nothing(name, effort, sound):
  """And the sound after it no more than the same one elsewhere: what was learnt is not lost."""
  silence = np.zeros((4000, 1), np.int32)
  bits = bits_of(name, effort, np.concatenate([silence, sound[:1000], silence, sound[1000:]]))
  assert bits[:4000].sum() < 30
  assert bits[5000:5050].sum() < 250
  assert bits[5050:9000].sum() < 1
  assert bits[9000:].sum() < 1.15 * bits_of(name, effort, sound)[1000:].sum()


@pytest.mark.parametrize(('name', 'effort'), PACKAGED)
def test_a_channel_that_falls_silent_soon_costs_nothing(name, effort):
  """Though the other one goes on, whose sudden sounds the experts still take for a sign."""
  samples = np.concatenate([speech(8000), speech(8000, 60_000)], axis=1)
  samples[1500:, 1] = 0
  assert bits_of(name, effort, samples)[1550:, 1].sum() < 4


# Values that are not used.


@pytest.mark.parametrize(('name', 'effort'), PACKAGED)
def test_values_at_equal_distances_cost_nothing(name, effort):
  """8 bits in samples of 16 and 24, 16 in 24, sound made three times as loud, away from 0."""
  sound = speech(3000).clip(-10_900, 10_900)
  few = sound >> 8

  def cost(samples: np.ndarray, sample_bytes: int) -> int:
    return len(hybrid_cases.encode(packaged(name), samples, shape_of(samples, sample_bytes, effort))[0])

  for plain, spread in (
    ((few, 1), [(few << 8, 2), (few << 16, 3), ((few << 8) + 77, 2)]),
    ((sound, 2), [(sound << 8, 3), (sound * 3, 2), (sound * 3 + 1, 2)]),
  ):
    for samples, sample_bytes in spread:
      assert cost(samples, sample_bytes) < 1.005 * cost(*plain) + 4


@pytest.mark.parametrize('factor', [1.9968, 2.7])
def test_values_at_unequal_distances_cost_little(factor):
  """Sound made louder by a factor that is not whole; the shorter it is, the fewer of its values have been seen."""
  quiet = speech(24_000) >> 3
  louder = np.round(quiet * factor).astype(np.int32)
  plain, spread = (
    len(hybrid_cases.encode(packaged('tiny'), samples, shape_of(samples))[0]) for samples in (quiet, louder)
  )
  assert spread < 1.03 * plain
