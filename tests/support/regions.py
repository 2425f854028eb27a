"""Places of samples in files, for tests."""

from language_modeling_is_compression.audio.info import MAX_FRAME_BYTES, MAX_REGIONS, PcmInfo
from language_modeling_is_compression.audio.pcm import WIDTHS, SampleKind


def spans_of(info: PcmInfo) -> list[tuple[int, int]]:
  """Offset and bytes of each region."""
  return [(region.offset, region.num_frames * info.frame_bytes) for region in info.regions]


def span_of(info: PcmInfo) -> tuple[int, int]:
  """Offset and bytes of the only region."""
  [span] = spans_of(info)
  return span


def payload_of(info: PcmInfo) -> bytes:
  """Bytes of all frames."""
  data = info.path.read_bytes()
  return b''.join(data[offset : offset + num_bytes] for offset, num_bytes in spans_of(info))


def assert_well_formed(info: PcmInfo, file_bytes: int) -> None:
  """What holds of every file that is recognised, whatever is in it."""
  assert info.file_bytes == file_bytes
  assert info.pcm.kind != SampleKind.NONE and info.pcm.sample_bytes in WIDTHS[info.pcm.kind]
  assert 1 <= info.num_channels <= 0xFFFF and info.frame_bytes <= MAX_FRAME_BYTES
  assert 0 <= info.sample_rate_hz <= 0xFFFFFFFF
  assert not (info.pcm.is_big_endian and info.sample_bytes == 1)
  assert 1 <= len(info.regions) <= MAX_REGIONS
  assert len(info.regions) == 1 or all(region.num_frames for region in info.regions)
  end = 0
  for offset, num_bytes in spans_of(info):
    assert end <= offset
    end = offset + num_bytes
  assert end <= file_bytes
