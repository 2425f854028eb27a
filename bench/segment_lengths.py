"""What it costs in bytes to cut a file into more segments: python bench/segment_lengths.py AUDIO_DIR [--levels 3,6].

One recording of each domain, joined from its held-out files of the commonest format and cut to `--seconds`, coded as
1, 2 and 4 segments of equal length: bytes of the .lmic file, what more segments add to one, and whether the codec would
halve it.
"""

import argparse
import dataclasses
import io
import itertools
import sys
from collections import Counter
from pathlib import Path

import numpy as np

_PARTS = (1, 2, 4)


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures what shorter segments cost.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--levels', default='3,6')
  parser.add_argument('--seconds', type=float, nargs='+', default=[10.0])
  arguments = parser.parse_args()
  from held_out import files_by_domain

  from language_modeling_is_compression.audio.info import PcmInfo
  from language_modeling_is_compression.audio.parsing import read_pcm_info
  from language_modeling_is_compression.codec.halving import may_be_halved

  columns = ''.join(f'{f"{parts} segments":>22}' for parts in _PARTS[1:])
  print(f'{"domain":<16} {"level":>5} {"frames":>9} {"1 segment":>11}{columns} halved')
  for domain, paths in files_by_domain(arguments.audio_dir, 1000).items():
    infos = [read_pcm_info(path) for path in paths]
    [(_, _, _, rate), _] = commonest = Counter(map(_format, infos)).most_common(1)[0]
    same: list[PcmInfo] = [info for info in infos if _format(info) == commonest[0]]
    for seconds, level in itertools.product(arguments.seconds, map(int, arguments.levels.split(','))):
      frames = _joined(same, round(seconds * rate))
      if len(frames) < 0.9 * seconds * rate:
        continue
      sizes = [_coded_bytes(same[0], frames, level, parts) for parts in _PARTS]
      more = ''.join(f'{size:>12,} ({size / sizes[0] - 1:+.2%})' for size in sizes[1:])
      print(f'{domain:<16} {level:>5} {len(frames):>9,} {sizes[0]:>11,}{more} {may_be_halved(frames)}', flush=True)
  return 0


def _format(info) -> tuple[str, int, int, int]:  # type: ignore[no-untyped-def]
  return info.encoding, info.sample_bytes, info.num_channels, info.sample_rate_hz


def _joined(infos, num_frames: int) -> np.ndarray:  # type: ignore[no-untyped-def]
  """The first frames of recordings one after the other, int32 [N, C], at most num_frames."""
  from language_modeling_is_compression.audio.frames import read_pcm_frames

  parts: list[np.ndarray] = []
  for info in infos:
    missing = num_frames - sum(map(len, parts))
    parts.append(read_pcm_frames(info, 0, min(missing, info.num_frames)))
  return np.concatenate(parts)


def _coded_bytes(info, frames: np.ndarray, level: int, parts: int) -> int:  # type: ignore[no-untyped-def]
  """Bytes of the .lmic file of so many segments."""
  from language_modeling_is_compression.audio.pcm import raw_from_integers, wav_integers
  from language_modeling_is_compression.codec import file_codec
  from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
  from language_modeling_is_compression.codec.levels import LEVELS
  from language_modeling_is_compression.format.surroundings import wav_envelope
  from language_modeling_is_compression.quantized.loading import load_coder

  pcm = wav_integers(sample_bytes=info.sample_bytes, num_channels=info.num_channels, sample_rate_hz=info.sample_rate_hz)
  around = wav_envelope(pcm, len(frames))
  source = io.BytesIO(around.head + raw_from_integers(frames, pcm).tobytes() + around.tail)
  settings = dataclasses.replace(LEVELS[level].segments, frames=-(-len(frames) // parts), halve_from=None)
  with ChunkCoder(load_coder(LEVELS[level].model, 'cpu')) as coder:
    compressed = file_codec.compress(source, io.BytesIO(), coder, segments=settings)
  assert compressed.header.num_spans == parts
  return compressed.num_bytes


if __name__ == '__main__':
  sys.exit(main())
