"""The table of levels: all that it names exists and may stand in a file."""

from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.config.defaults import MAX_EFFORT, MAX_EFFORT_NUMBER, MAX_PRESET
from language_modeling_is_compression.format.layout import SegmentLayout
from language_modeling_is_compression.linear import presets
from language_modeling_is_compression.prediction import state
from language_modeling_is_compression.quantized.loading import LINEAR, PACKAGED


def test_every_level_can_be_written():
  assert list(LEVELS) == list(range(1, 10)) and DEFAULT_LEVEL in LEVELS
  for level in LEVELS.values():
    assert 1 <= level.segments.frames <= SegmentLayout.max_span_frames
    assert level.segments.effort in presets.EFFORT_NUMBERS and 0 <= level.segments.preset <= MAX_PRESET
    assert level.model in (*PACKAGED, LINEAR)


def test_settings_and_headers_know_as_many_efforts_as_there_are():
  assert len(state.EFFORTS) == len(presets.EFFORT_NUMBERS) == MAX_EFFORT + 1
  assert len(presets.EFFORTS) == MAX_EFFORT_NUMBER + 1
  assert [presets.effort_of(number) for number in range(5)] == [0, 1, 2, 1, 2]


def test_a_higher_level_never_works_less():
  efforts = [presets.effort_of(level.segments.effort) for level in LEVELS.values()]
  work = [(level.model != LINEAR, level.segments.preset) for level in LEVELS.values()]
  assert work == sorted(work)
  assert efforts == sorted(efforts)  # Of a model that is named, whatever the level.
