"""What sound costs at its beginning, and the same samples in the middle: python bench/starts.py AUDIO_DIR [--effort N].

Excerpts from anywhere in files of each domain, of the train folders unless `--valid`, coded twice: from their first
sample on, and with some seconds before them in the same segment. Bits per sample, mean of all channels, by position;
what the first 2,000 samples cost more; and bytes of a body beside the samples. Of codings 3 and 5, or with
`--hybrid` of the packaged model 4 and 5.
"""

import argparse
import itertools
import sys
from importlib import resources
from pathlib import Path

import numpy as np
from presets import Excerpt

from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.data.paths import domain_of, get_train_paths, get_valid_paths
from language_modeling_is_compression.format.layout import (
  HybridLayout,
  LinearLayout,
  StartedHybridLayout,
  StartedLinearLayout,
)
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.linear.groups import GroupCoder
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.network.hybrid_model import HybridModel
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.loading import DEFAULT, PACKAGED
from language_modeling_is_compression.quantized.quantize_hybrid import quantize_hybrid_model
from language_modeling_is_compression.system.cancellation import Cancellation

_FRAMES = 2048
_CLASSES = (0, 1, 2, 16, 64, 256, 1024, 2048)
_COMPARED = 2000
_TRIES = 50  # For each excerpt: some files are too short.


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures what beginnings cost.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--valid', action='store_true', help='held-out files instead of those of the train folders')
  parser.add_argument('--hybrid', action='store_true', help='the packaged hybrid model')
  parser.add_argument('--effort', type=int, default=1, help='or preset, without --hybrid')
  parser.add_argument('--excerpts', type=int, default=16, help='of each domain')
  parser.add_argument('--seconds', type=float, default=5.0, help='before each excerpt')
  arguments = parser.parse_args()
  by_domain = _excerpts(arguments)
  coders = _coders(is_hybrid=arguments.hybrid)
  names = [f'{low}-{high - 1}' for low, high in itertools.pairwise(_CLASSES)]
  print(f'{"":28}' + ''.join(f'{name:>12}' for name in names) + f'{"more":>9}{"beside":>9}')
  for domain, excerpts in by_domain.items():
    for version, coder in coders.items():
      found = [_costs(coder, excerpt) for excerpt in excerpts]
      cold, warm = (np.mean(costs, axis=0) for costs in ([each[0] for each in found], [each[1] for each in found]))
      columns = [
        f'{cold[low:high].mean():6.2f}/{warm[low:high].mean():5.2f}' for low, high in itertools.pairwise(_CLASSES)
      ]
      more = cold[:_COMPARED].sum() / warm[:_COMPARED].sum() - 1
      beside = np.mean([each[2] for each in found])
      print(f'{domain:16}{f"coding {version}":12}{"".join(columns)}{more:9.2%}{beside:9.1f}', flush=True)
  return 0


def _coders(*, is_hybrid: bool) -> dict[int, GroupCoder]:
  """Coders by their versions."""
  if not is_hybrid:
    return {layout.coding: LinearCoder(layout) for layout in (LinearLayout, StartedLinearLayout)}
  packaged = resources.files('language_modeling_is_compression.models') / PACKAGED[DEFAULT].file
  with resources.as_file(packaged) as path:
    model = load_model(path)
  assert isinstance(model, HybridModel)
  return {
    layout.coding: HybridCoder(quantize_hybrid_model(model), layout) for layout in (HybridLayout, StartedHybridLayout)
  }


def _excerpts(arguments: argparse.Namespace) -> dict[str, list[Excerpt]]:
  """Of each domain, the frames before them included."""
  rng = np.random.default_rng(0)
  paths: dict[str, list[Path]] = {}
  for path in get_valid_paths(arguments.audio_dir) if arguments.valid else get_train_paths(arguments.audio_dir):
    paths.setdefault(domain_of(path.relative_to(arguments.audio_dir).as_posix()), []).append(path)
  found: dict[str, list[Excerpt]] = {domain: [] for domain in sorted(paths)}
  for domain, excerpts in found.items():
    for _ in range(_TRIES * arguments.excerpts):
      info = read_info(paths[domain][rng.integers(len(paths[domain]))])
      count = round(arguments.seconds * info.sample_rate_hz) + _FRAMES
      if info.num_frames < count:
        continue
      start = int(rng.integers(info.num_frames - count + 1))
      samples = read_frames(info, start, start + count).astype(np.int32)
      if (samples[-_FRAMES:] == samples[-_FRAMES]).all():
        continue
      shape = SegmentShape(
        num_frames=count,
        num_channels=info.num_channels,
        sample_bytes=-(-info.resolution_bits // 8),
        sample_rate_hz=info.sample_rate_hz,
        effort=arguments.effort,
      )
      excerpts.append(Excerpt(domain, samples, shape))
      if len(excerpts) == arguments.excerpts:
        break
  return {domain: excerpts for domain, excerpts in found.items() if excerpts}


def _costs(coder: GroupCoder, excerpt: Excerpt) -> tuple[np.ndarray, np.ndarray, float]:
  """Bits of each frame, from the first sample on, and in the middle; bytes of a channel beside the samples."""
  _, warm = _coded(coder, excerpt.samples, excerpt.shape)
  body, cold = _coded(coder, excerpt.samples[-_FRAMES:], excerpt.shape)
  beside = (len(body) - cold.sum() / 8) / excerpt.shape.num_channels
  return cold.mean(axis=1), warm[-_FRAMES:].mean(axis=1), beside


def _coded(coder: GroupCoder, samples: np.ndarray, shape: SegmentShape) -> tuple[bytes, np.ndarray]:
  """The body, and code lengths, float64 [N, C]."""
  shape = SegmentShape(**{**vars(shape), 'num_frames': len(samples)})
  [encoded] = coder.encode([Segment(samples=samples, shape=shape)], Cancellation())
  assert encoded is not None
  return encoded.body, encoded.sample_bits()


if __name__ == '__main__':
  sys.exit(main())
