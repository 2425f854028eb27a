"""Any bytes and any WAV through the codec, and what it says of files that were damaged at random."""

import lmic_cases
import segment_stand_in
from hypothesis import given, settings
from hypothesis import strategies as st
from wav_builder import EXTENSIBLE, IEEE_FLOAT, PCM, UNKNOWN_SIZE, build_wav

SIZES = st.none() | st.sampled_from([0, 1, 7, 2**31, UNKNOWN_SIZE]) | st.integers(0, 2**32 - 1)
CHUNKS = st.lists(
  st.tuples(st.sampled_from([b'LIST', b'fact', b'data', b'fmt ', b'abcd']), st.binary(max_size=20)), max_size=2
)
POSITIONS = st.integers(0, 2000)
EDITS = st.lists(st.tuples(POSITIONS, st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=3)
SEGMENTS = segment_stand_in.coder()
SHORT = segment_stand_in.level(25)
SEGMENTED = [
  (original, lmic_cases.compressed(original, SEGMENTS, SHORT))
  for name, original in lmic_cases.small_originals().items()
  if name in ('mono 16', 'stereo 24', 'mono 8')
]
examples = settings(max_examples=60, deadline=None)


def assert_comes_back(original: bytes) -> None:
  data = lmic_cases.compressed(original, lmic_cases.coder())
  assert lmic_cases.decompressed(data, lmic_cases.coder()) == original
  lmic_cases.check_reading(data, original, may_differ=False)


@examples
@given(st.binary(max_size=300), st.sampled_from([b'', b'RIFF\0\0\0\0WAVE', b'RF64\xff\xff\xff\xffWAVEds64']))
def test_any_bytes_come_back(contents, magic):
  assert_comes_back(magic + contents)


@examples
@given(
  tag=st.sampled_from([PCM, PCM, IEEE_FLOAT, EXTENSIBLE, 85]),
  channels=st.sampled_from([0, 1, 2, 3, 255]),
  bits=st.sampled_from([8, 16, 20, 24, 32, 64]) | st.integers(0, 65),
  extensible=st.booleans(),
  form=st.sampled_from([b'RIFF', b'RF64', b'RIFX']),
  riff_size=SIZES,
  data_size=SIZES,
  before=CHUNKS,
  after=CHUNKS,
  data_first=st.booleans(),
  pad=st.sampled_from([b'\0', b'X', b'']),
  rate_hz=st.sampled_from([0, 8000, 2**32 - 1]),
  trailer=st.binary(max_size=9),
  payload=st.binary(max_size=120),
)
def test_any_wav_comes_back(payload, **oddities):
  assert_comes_back(build_wav(payload, **oddities))


@examples
@given(st.integers(0, 5), EDITS, st.booleans())
def test_damage_is_found_or_harmless(case, edits, sealed):
  """Also where the checks were put right, so that the change gets as far as it can."""
  original, sound = lmic_cases.cases()[case]
  changed = bytearray(sound)
  for position, removed, inserted in edits:
    begin = position % (len(changed) + 1)
    changed[begin : begin + removed] = inserted
  data = lmic_cases.sealed(bytes(changed)) if sealed else bytes(changed)
  lmic_cases.check_reading(data, original, may_differ=sealed)


@examples
@given(st.integers(0, 5), POSITIONS, st.integers(1, 255))
def test_a_changed_byte_with_its_check_put_right(case, position, change):
  original, sound = lmic_cases.cases()[case]
  changed = bytearray(sound)
  changed[position % len(changed)] ^= change
  lmic_cases.check_reading(bytes(changed), original, may_differ=False)
  lmic_cases.check_reading(lmic_cases.sealed(bytes(changed)), original, may_differ=True)


@examples
@given(
  num_frames=st.integers(1, 70),
  channels=st.integers(1, 6),
  sample_bytes=st.integers(1, 4),
  segment_frames=st.integers(1, 80),
  effort=st.integers(0, 2),
  rate_hz=st.sampled_from([0, 1, 8000, 2**32 - 1]),
  pattern=st.binary(min_size=1, max_size=50),
  trailer=st.binary(max_size=9),
)
def test_any_samples_come_back_in_segments(
  num_frames, channels, sample_bytes, segment_frames, effort, rate_hz, pattern, trailer
):
  size = num_frames * channels * sample_bytes
  payload = (pattern * size)[:size]
  original = build_wav(payload, channels=channels, bits=8 * sample_bytes, rate_hz=rate_hz, trailer=trailer)
  data = lmic_cases.compressed(original, SEGMENTS, segment_stand_in.level(segment_frames, effort))
  assert lmic_cases.decompressed(data, SEGMENTS) == original


@examples
@given(st.integers(0, 2), EDITS, st.booleans())
def test_damage_to_segments_is_found_or_harmless(case, edits, sealed):
  original, sound = SEGMENTED[case]
  changed = bytearray(sound)
  for position, removed, inserted in edits:
    begin = position % (len(changed) + 1)
    changed[begin : begin + removed] = inserted
  data = lmic_cases.sealed(bytes(changed)) if sealed else bytes(changed)
  lmic_cases.check_reading(data, original, may_differ=sealed, by=SEGMENTS)
