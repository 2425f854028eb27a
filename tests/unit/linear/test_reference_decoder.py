"""docs/FORMAT.md suffices for linear prediction: a decoder written from it gives back what the package coded."""

import dataclasses

import numpy as np
import pytest
from reference_decoder import container as independent_decoder
from reference_decoder import linear as independent_linear
from reference_decoder import segments as independent_segments
from support import fixed_files, hybrid_cases, lmic_cases, lmic_frames, segment_bodies
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.layout import LinearLayout
from language_modeling_is_compression.format.payloads import Segment
from language_modeling_is_compression.linear import groups
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.system.cancellation import Cancellation

PRESETS = range(4)
SOUNDS = hybrid_cases.sounds(100)


def encoded(samples: np.ndarray, **shape: int) -> bytes:
  segment = Segment(samples=samples, shape=hybrid_cases.shape_of(samples, **shape))
  [found] = LinearCoder(LinearLayout).encode([segment], Cancellation())
  assert found is not None
  return found.body


def decoded(body: bytes, samples: np.ndarray, **shape: int) -> list[list[int]]:
  described = dataclasses.asdict(hybrid_cases.shape_of(samples, **shape))
  return independent_linear.decode(body, independent_segments.Segment(**described))


def check(samples: np.ndarray, **shape: int) -> None:
  assert decoded(encoded(samples, **shape), samples, **shape) == samples.tolist()


@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize('preset', PRESETS)
def test_decodes_a_tone(preset, channels):
  check(hybrid_cases.tone(500, channels=channels), effort=preset)


@pytest.mark.parametrize('name', SOUNDS)
def test_decodes_every_sound(name):
  samples, sample_bytes = SOUNDS[name]
  check(samples, sample_bytes=sample_bytes, effort=len(name) % 4)


@pytest.mark.parametrize('preset', PRESETS)
def test_decodes_ten_channels(preset):
  """Of two groups; some are silent, one of them the first of its group."""
  samples = hybrid_cases.tone(60, channels=10) // np.arange(1, 11, dtype=np.int32)
  samples[:, [3, 4, 8]] = [0, 5, -7]
  check(samples, effort=preset)


def test_decodes_what_repeats():
  """At two lags from the second block on."""
  rng = np.random.default_rng(0)
  sums = sum(np.resize(rng.normal(0, 300, period), 5300) for period in (1000, 1300)) + rng.normal(0, 20, 5300)
  samples = np.round(sums).astype(np.int32)[:, None]
  body = encoded(samples, effort=3)
  [group] = segment_bodies.groups_of(body, 1)
  assert group.lags == [1, 1, 1300, 1000]
  assert decoded(body, samples, effort=3) == samples.tolist()


@pytest.mark.parametrize(
  ('preset', 'channels', 'lags'),
  [pytest.param(2, 2, [32, 4096], id='the least and the largest'), pytest.param(3, 1, [777, 0], id='a single one')],
)
def test_decodes_whatever_lags(preset, channels, lags, monkeypatch):
  monkeypatch.setattr(groups, 'find_lags', lambda indices, cancellation: np.array([[0, 0], lags]))
  samples = hybrid_cases.tone(4200, channels=channels)
  body = encoded(samples, effort=preset)
  [group] = segment_bodies.groups_of(body, channels)
  assert group.lags == [1, 1, *lags]
  assert decoded(body, samples, effort=preset) == samples.tolist()


def test_refuses_lags_of_a_preset_without_them():
  samples = hybrid_cases.tone(4200, amplitude=0, noise=3)
  body = encoded(samples, effort=0)
  assert decoded(body, samples, effort=0) == samples.tolist()
  [group] = segment_bodies.groups_of(body, 1)
  lagged = segment_bodies.body_of([group._replace(lags=[1, 1, 100, 0])])
  with pytest.raises(ValueError, match='lags of a preset'):
    decoded(lagged, samples, effort=1)
  shape = hybrid_cases.shape_of(samples, effort=1)
  assert LinearCoder(LinearLayout).decode([lagged], [shape], Cancellation()) == [None]


@pytest.mark.parametrize('preset', PRESETS)
def test_decodes_maps_of_what_is_used(preset):
  """Of buckets that have some of their indices, and of buckets that have none."""
  rng = np.random.default_rng(0)
  louder = np.round(5.003 * rng.laplace(0, 100, (800, 1)).round()).astype(np.int32)
  few = rng.choice(np.sort(rng.choice(30_000, 150, replace=False)) - 15_000, (600, 1)).astype(np.int32)
  for samples in (louder, few):
    body = encoded(samples, effort=preset)
    [group] = segment_bodies.groups_of(body, 1)
    assert group.channels[0][4] > 2
    assert decoded(body, samples, effort=preset) == samples.tolist()


@pytest.mark.parametrize('preset', PRESETS)
def test_decodes_escapes(preset, monkeypatch):
  """Clicks after quiet are far from the centre, and so is the quiet after them."""
  samples = np.random.default_rng(0).integers(-2, 3, (200, 1)).astype(np.int32)
  samples[100:110, 0] = [8_000_000, -8_000_000, 30_000, 0, 0, 1, 2, 7_999_999, 0, 5]
  body = encoded(samples, sample_bytes=3, effort=preset)
  escaped = []
  decode_escape = independent_linear.Distribution._escaped

  def counted(self, decoder):
    escaped.append(decode_escape(self, decoder))
    return escaped[-1]

  monkeypatch.setattr(independent_linear.Distribution, '_escaped', counted)
  assert decoded(body, samples, sample_bytes=3, effort=preset) == samples.tolist()
  assert escaped[0] == samples[100, 0]


def test_says_the_same_of_codes_that_nobody_writes(monkeypatch):
  """Of buckets of which no index is used, and of indices beyond the largest, as long as nobody looks at the end."""
  monkeypatch.setattr(rans.Decoder, 'sound', lambda self: [True])
  monkeypatch.setattr(independent_segments.EntropyDecoder, 'finish', lambda self: None)
  rng = np.random.default_rng(0)
  samples = np.resize(np.array([-9000, -8990, 0, 3, 8191, 9000], np.int32), (300, 1))
  [group] = segment_bodies.groups_of(encoded(samples, effort=1), 1)
  damaged = segment_bodies.body_of([group._replace(code=bytes(5) + rng.bytes(8003))])
  [found] = LinearCoder(LinearLayout).decode([damaged], [hybrid_cases.shape_of(samples, effort=1)], Cancellation())
  assert isinstance(found, Segment)
  assert not np.isin(found.samples, samples).all()
  assert decoded(damaged, samples, effort=1) == found.samples.tolist()


def test_refuses_damage():
  samples = hybrid_cases.tone(40)
  body = encoded(samples, effort=1)
  assert decoded(body, samples, effort=1) == samples.tolist()
  for damaged in (b'', body[:3], body[:-1], body[:-4], body + b'x', b'\x80' * 20, body[:1] + b'\0' + body[2:]):
    with pytest.raises(ValueError, match=r'\w'):
      decoded(damaged, samples, effort=1)


# Whole files.


def compressed(original: bytes, preset: int) -> bytes:
  with ChunkCoder(LinearCoder(LinearLayout)) as by:
    return fixed_files.compressed(original, by, SegmentSettings(frames=100, effort=0, preset=preset))


@pytest.mark.parametrize(('channels', 'bits'), [(1, 8), (2, 16), (3, 24), (1, 32)])
@pytest.mark.parametrize('before', [(), ((b'LIST', b'abc'),)], ids=['plain head', 'another head'])
def test_decodes_files(channels, bits, before):
  samples = hybrid_cases.tone(220, channels=channels).astype(np.int64) << bits >> 16
  original = build_wav(pcm_bytes(samples, bits), channels=channels, bits=bits, before=before, trailer=b'end')
  data = compressed(original, channels)
  file = independent_decoder.parse(data)
  assert (file.header.version, file.header.effort) == (3, channels)
  assert [chunk.method for chunk in file.chunks].count(independent_decoder.MODEL) == 4
  assert independent_decoder.decode(data, None) == original


def test_refuses_every_damaged_byte_of_a_file():
  data = compressed(build_wav(pcm_bytes(hybrid_cases.tone(120), 16)), 0)
  assert independent_decoder.decode(data, None)
  damaged = [data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] for at in range(len(data))]
  presets = [lmic_frames.sealed(data[:14] + bytes([value]) + data[15:]) for value in (1, 4)]
  identities = [lmic_frames.sealed(data[:52] + bytes([value]) + data[53:]) for value in (0, 1)]
  for each in [*damaged, *presets, *identities, data[:-1], data + b'x', b'']:
    with pytest.raises(ValueError, match=r'\w'):
      independent_decoder.decode(each, None)


@pytest.mark.parametrize('index', range(len(lmic_cases.segment_originals())))
def test_decodes_files_of_version_5(index):
  case = lmic_cases.cases(3)[index]
  assert lmic_frames.frame_of(case.data) is lmic_frames.COMPACT
  assert independent_decoder.decode(case.data, None) == case.original


def test_refuses_every_damaged_byte_of_a_file_of_version_5():
  data = lmic_cases.cases(3)[1].data
  damaged = [data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] for at in range(len(data))]
  for each in [*damaged, data[:-1], data + b'x', b'']:
    with pytest.raises(ValueError, match=r'\w'):
      independent_decoder.decode(each, None)
