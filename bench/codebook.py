"""Makes the codebook of filters that channels begin with: python bench/codebook.py AUDIO_DIR.

Blocks from anywhere in the files of each domain's train folder, as many of each domain. Their autocorrelations are
clustered as k-means does, with the distortion of Itakura: the logarithm of the power that a cluster's filter leaves of
a block, relative to what the block's own filter leaves. Prints the reflection coefficients as
prediction/codebook.py has them, and the mean distortion, in bits of a sample.

Shapes: B blocks, K clusters, O the order of filters.
"""

import argparse
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.data.paths import domain_of, get_train_paths
from language_modeling_is_compression.prediction.codebook import NUM_FILTERS, ORDER

_BLOCK = 512
_NOISE = 0.1  # Power of what rounding to whole numbers adds, about.
_LEAST_PEAK = 16  # What is quieter is no sound to learn from.
_FROM_BEGINNING = 0.2  # Share of blocks that are from the first samples of a file.
_ITERATIONS = 25
_RIDGE = 1e-5  # Relative, of a cluster's autocorrelation.
_UNITS = 1024  # Of reflection coefficients.


def main() -> int:
  parser = argparse.ArgumentParser(description='Makes the codebook of first filters.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--blocks', type=int, default=1500, help='of each domain')
  parser.add_argument('--tries', type=int, default=5, help='of which the best one is taken')
  arguments = parser.parse_args()
  blocks = _autocorrelations(arguments.audio_dir, arguments.blocks)
  found = [_clustered(blocks, np.random.default_rng(seed)) for seed in range(arguments.tries)]
  reflections, distortion = min(found, key=lambda each: each[1])
  table = np.clip(np.round(reflections * _UNITS), 1 - _UNITS, _UNITS - 1).astype(int)
  for row in sorted(table.tolist(), key=lambda row: (-row[0], row[1])):
    print(f'  ({", ".join(map(str, row))}),')
  print(f'distortion: {distortion:.4f} bits')
  return 0


def _autocorrelations(audio_dir: Path, count: int) -> np.ndarray:
  """Of each block, divided by the power that its own filter leaves: float64 [B, O + 1]."""
  rng = np.random.default_rng(5)
  paths: dict[str, list[Path]] = {}
  for path in get_train_paths(audio_dir):
    paths.setdefault(domain_of(path.relative_to(audio_dir).as_posix()), []).append(path)
  found = []
  for _, of_domain in sorted(paths.items()):
    left = count
    for _ in range(5 * count):
      info = read_info(of_domain[rng.integers(len(of_domain))])
      room = info.num_frames - _BLOCK
      if room < 10:
        continue
      start = int(rng.integers(room)) if rng.random() >= _FROM_BEGINNING else min(int(rng.integers(200)), room)
      samples = read_frames(info, start, start + _BLOCK)[:, 0].astype(np.float64)
      if np.abs(samples).max() < _LEAST_PEAK:
        continue
      windowed = samples * np.hanning(_BLOCK)
      products = [windowed[distance:] @ windowed[: _BLOCK - distance] for distance in range(ORDER + 1)]
      correlations = np.array(products) / _BLOCK
      correlations[0] += _NOISE
      found.append(correlations / _levinson(correlations)[1])
      left -= 1
      if left == 0:
        break
  return np.array(found)


def _clustered(blocks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
  """Reflection coefficients of the clusters, float64 [K, O], and the mean distortion."""
  centroids = blocks[rng.choice(len(blocks), NUM_FILTERS, replace=False)].copy()
  reflections, distortion = np.zeros((NUM_FILTERS, ORDER)), np.inf
  for _ in range(_ITERATIONS):
    left = np.zeros((len(blocks), NUM_FILTERS))
    for k, centroid in enumerate(centroids):
      centroid[0] *= 1.0 + _RIDGE
      filtering, _, reflections[k] = _levinson(centroid)
      own = np.array([filtering[: ORDER + 1 - distance] @ filtering[distance:] for distance in range(ORDER + 1)])
      own[1:] *= 2.0  # Both sides of what is symmetrical.
      left[:, k] = np.maximum(blocks @ own, 1e-9)
    distortions = 0.5 * np.log2(left)
    nearest, distortion = distortions.argmin(axis=1), float(distortions.min(axis=1).mean())
    for k in range(NUM_FILTERS):
      inside = nearest == k
      if inside.any():
        centroids[k] = (blocks[inside] / left[inside, k, np.newaxis]).mean(axis=0)
      else:  # An empty cluster begins anew at the block that has the worst one.
        centroids[k] = blocks[distortions.min(axis=1).argmax()]
  return reflections, distortion


def _levinson(correlations: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
  """The filter that leaves least, 1 and then negative coefficients, [O + 1]; the power that it leaves; reflections."""
  coefficients, power, reflections = np.zeros(ORDER), float(correlations[0]), np.zeros(ORDER)
  for order in range(ORDER):
    reflection = (correlations[order + 1] - coefficients[:order] @ correlations[order:0:-1]) / power
    coefficients[:order] -= reflection * coefficients[:order][::-1]
    coefficients[order] = reflections[order] = reflection
    power *= 1.0 - reflection * reflection
  return np.concatenate([[1.0], -coefficients]), power, reflections


if __name__ == '__main__':
  raise SystemExit(main())
