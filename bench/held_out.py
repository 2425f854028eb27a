"""Held-out files for benchmarks: a few of each domain."""

from collections import defaultdict
from pathlib import Path

from language_modeling_is_compression.data.paths import domain_of, get_valid_paths


def files_by_domain(audio_dir: Path, count: int) -> dict[str, list[Path]]:
  """At most `count` held-out files of each domain, spread over their sizes."""
  by_domain = defaultdict(list)
  for path in get_valid_paths(audio_dir):
    by_domain[domain_of(path.relative_to(audio_dir).as_posix())].append(path)
  ordered = {domain: sorted(paths, key=lambda path: path.stat().st_size) for domain, paths in by_domain.items()}
  return {domain: _spread(paths, count) for domain, paths in sorted(ordered.items())}


def _spread(paths: list[Path], count: int) -> list[Path]:
  return [paths[(2 * index + 1) * len(paths) // (2 * count)] for index in range(count)] if len(paths) > count else paths
