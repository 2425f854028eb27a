"""Size against speed: lmic's levels and other codecs, on the same files in one run.

  python bench/pareto.py AUDIO_DIR [--files 1] [--levels 1,3,5,6,9] [--programs flac,wavpack,mac,als,sac]
      [--program 'NAME=ENCODE {in} {out} :: DECODE {in} {out}'] [--rounds 3] [--cores 1] [--limit 300]
      [--picture OUT.svg] [--csv OUT]

Some held-out files of each domain, whole. Each codec encodes and decodes all of them, one process a file, on so many
cores; by turns, so that what else the machine does meets all of them alike. What is decoded is compared. Times are
CPU seconds of the process and all that it starts, and seconds on the clock, less what the same codec takes for a file
of 16 samples (its start-up); medians over the rounds. Speed is samples per second. Programs that are not installed are
left out, and said. So are domains in which a codec fails, takes longer than the limit for a file, or gives back other
samples: means and speeds are of the domains that all codecs took, so that they compare; the columns show all. Marks on
the dashed line are those that no other codec beats in both size and decoding time.
"""

import argparse
import contextlib
import math
import os
import resource
import shlex
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from held_out import files_by_domain
from matplotlib import transforms

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.reading import read_frames
from language_modeling_is_compression.errors import AudioFormatError, BaselineError
from language_modeling_is_compression.evaluation.compressors.programs import (
  PROGRAMS,
  Program,
  parse_custom,
  run_program,
)
from language_modeling_is_compression.evaluation.report.plots import pareto_front
from language_modeling_is_compression.evaluation.report.style import FAINT, GREY, figure_settings, new_figure, svg

_START = 'the file for start-up'  # Stands where a domain does.
_START_FRAMES = 16  # ffmpeg's TTA encoder aborts at one.
_LMIC = f'{shlex.quote(sys.executable)} -m language_modeling_is_compression'
_MORE = {
  'flac-0': Program(
    name='flac -0',
    encode='flac -0 --silent --no-padding --no-seektable -f {in} -o {out}.flac',
    decode='flac -d --silent -f {in} -o {out}',
  ),
  'wavpack-default': Program(
    name='wavpack', encode='wavpack -q -y {in} -o {out}.wv', decode='wvunpack -q -y {in} -o {out}'
  ),
  'mac-2000': Program(name='mac -c2000', encode='mac {in} {out}.ape -c2000', decode='mac {in} {out} -d'),
  'mac-4000': Program(name='mac -c4000', encode='mac {in} {out}.ape -c4000', decode='mac {in} {out} -d'),
  'als': Program(name='als -z3', encode='mp4alsRM23 -b -p -z3 {in} {out}.als', decode='mp4alsRM23 -x {in} {out}'),
}


@dataclass
class Codec:
  """What is measured of a codec.

  sizes: bytes by file. cpu, wall: seconds of 'encode' or 'decode' of a domain's files, a value for each round.
  failed: why there are none, by domain.
  """

  program: Program
  is_ours: bool
  sizes: dict[Path, int] = field(default_factory=dict)
  cpu: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
  wall: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
  failed: dict[str, str] = field(default_factory=dict)

  def seconds(self, what: str, clock: str, domains: Mapping[str, Sequence[Path]]) -> float:
    """Median seconds of 'encode' or 'decode' of domains' files, less as many starts; clock: 'cpu' or 'wall'."""
    spent = getattr(self, clock)
    rounds = [sum(times) for times in zip(*(spent[what, domain] for domain in domains), strict=True)]
    starts = statistics.median(spent[what, _START]) * sum(map(len, domains.values()))
    return max(1e-6, statistics.median(rounds) - starts)


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures size against speed.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--files', type=int, default=1, help='of each domain, spread over their sizes')
  parser.add_argument('--levels', default='1,3,5,6,9')
  parser.add_argument('--programs', default=','.join([*PROGRAMS, *_MORE]))
  parser.add_argument('--program', action='append', default=[], help='NAME=ENCODE :: DECODE')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--cores', type=int, default=1)
  parser.add_argument('--limit', type=float, default=300, help='seconds on the clock for a file')
  parser.add_argument('--picture', type=Path)
  parser.add_argument('--csv', type=Path)
  arguments = parser.parse_args()
  domains = files_by_domain(arguments.audio_dir, arguments.files)
  codecs = _codecs(arguments)
  with contextlib.suppress(AttributeError):  # Where a system has no such call, all cores are used.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
  with tempfile.TemporaryDirectory() as folder:
    # By numbers, since files of several folders may have the same name.
    links = {}
    for number, path in enumerate(path for paths in domains.values() for path in paths):
      links[path] = Path(folder, f'{number}.wav')
      links[path].symlink_to(path.resolve())
    start = Path(folder, 'start.wav')
    start.write_bytes(
      wav_header(encoding='int', sample_bytes=2, num_channels=1, sample_rate_hz=16_000, num_frames=_START_FRAMES)
      + b'\1\0' * _START_FRAMES
    )
    for codec in codecs:
      _round(codec, _START, {start: start}, arguments.limit)  # Compiles, and fills the caches of files.
      codec.cpu.clear()
      codec.wall.clear()
    codecs = [codec for codec in codecs if not codec.failed]
    for _ in range(arguments.rounds):
      for codec in codecs:
        _round(codec, _START, {start: start}, arguments.limit)
        for domain, paths in domains.items():
          if domain not in codec.failed:
            _round(codec, domain, {path: links[path] for path in paths}, arguments.limit)
  common = _common(codecs, domains)
  if not common:
    raise SystemExit('no domain that every codec took: leave out one of them (--programs)')
  if left_out := sorted(set(domains) - set(common)):
    print(f'means and speeds are without {", ".join(left_out)}, which not every codec took')
  rows = _rows(codecs, domains)
  _print(rows, list(domains), arguments)
  if arguments.csv:
    lines = [','.join(map(str, row.values())) for row in rows]
    arguments.csv.write_text('\n'.join([','.join(rows[0]), *lines, '']))
  if arguments.picture:
    arguments.picture.write_text(_picture(rows))
  return 0


def _codecs(arguments: argparse.Namespace) -> list[Codec]:
  levels = [
    Program(
      name=f'lmic -{level}',
      encode=f'{_LMIC} compress --level {level} --no-verify -q -f -T {arguments.cores} {{in}} -o {{out}}.lmic',
      decode=f'{_LMIC} decompress -q -f -T {arguments.cores} {{in}} -o {{out}}',
    )
    for level in arguments.levels.split(',')
  ]
  known = {**PROGRAMS, **_MORE}
  if unknown := set(arguments.programs.split(',')) - {'', *known}:
    raise SystemExit(f'--programs: expected some of {", ".join(known)}, got {", ".join(sorted(unknown))}')
  wanted = [known[name] for name in arguments.programs.split(',') if name] + [
    parse_custom(text) for text in arguments.program
  ]
  codecs = [Codec(program, is_ours=True) for program in levels]
  for program in wanted:
    if missing := program.missing():
      print(f'{program.name}: left out, {missing} is not installed')
    else:
      codecs.append(Codec(program, is_ours=False))
  return codecs


def _round(codec: Codec, domain: str, files: Mapping[Path, Path], limit: float) -> None:
  """Encodes and decodes a domain's files once, and compares them. Raises BaselineError if one of our levels fails."""
  spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
  for path, link in files.items():
    try:
      coded_bytes, times = _there_and_back(codec.program, link, limit)
    except (AudioFormatError, BaselineError, OSError) as error:
      if codec.is_ours:
        raise
      print(f'{codec.program.name}: left out of {domain}: {path}: {error}')
      codec.failed[domain] = str(error)
      return
    codec.sizes[path] = coded_bytes
    for what, seconds in times.items():
      spent[what] = [sum(pair) for pair in zip(spent[what], seconds, strict=True)]
  for what, (cpu, wall) in spent.items():
    codec.cpu[what, domain].append(cpu)
    codec.wall[what, domain].append(wall)


def _there_and_back(program: Program, link: Path, limit: float) -> tuple[int, dict[str, tuple[float, float]]]:
  """Bytes of a WAV file's code; CPU seconds and seconds on the clock of 'encode' and 'decode'.

  Raises BaselineError if the program fails, exceeds the limit, or gives back other samples.
  """
  assert program.decode is not None, 'what cannot be decoded has no decoding time'
  original = read_pcm_info(link)
  with tempfile.TemporaryDirectory(dir=link.parent) as folder:
    coded, back = Path(folder, f'coded{program.suffix}'), Path(folder, 'back.wav')
    pcm = f'pcm_s{8 * original.sample_bytes}le'.replace('s8le', 'u8')
    times = {}
    for what, template, source, target in (
      ('encode', program.encode, link, coded),
      ('decode', program.decode, coded, back),
    ):
      places = {'{in}': str(source), '{out}': str(target), '{pcm}': pcm}
      before = resource.getrusage(resource.RUSAGE_CHILDREN)
      wall = run_program(template, places, time_limit_seconds=limit)
      after = resource.getrusage(resource.RUSAGE_CHILDREN)
      times[what] = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)
    decoded = read_pcm_info(back)
    if not np.array_equal(read_frames(original, 0, original.num_frames), read_frames(decoded, 0, decoded.num_frames)):
      raise BaselineError('other samples came back')
    return coded.stat().st_size, times


def _common(codecs: Iterable[Codec], domains: Mapping[str, Sequence[Path]]) -> dict[str, Sequence[Path]]:
  """The domains that every codec took."""
  failed = {domain for codec in codecs for domain in codec.failed}
  return {domain: paths for domain, paths in domains.items() if domain not in failed}


def _rows(codecs: Sequence[Codec], domains: Mapping[str, Sequence[Path]]) -> list[dict[str, str | float]]:
  """A row for each codec, the smallest first: bits per sample, by domain and in their mean, and samples a second.

  Mean and speeds are of the domains that every codec took; nan: a domain that this one did not.
  """
  infos = {path: read_pcm_info(path) for paths in domains.values() for path in paths}
  samples = {path: info.num_frames * info.num_channels for path, info in infos.items()}
  common = _common(codecs, domains)
  total = sum(samples[path] for paths in common.values() for path in paths)
  rows: list[dict[str, str | float]] = []
  for codec in codecs:
    speeds = {
      f'{what}_{clock}': total / codec.seconds(what, clock, common)
      for what in ('encode', 'decode')
      for clock in ('cpu', 'wall')
    }
    rates = {
      domain: math.nan
      if domain in codec.failed
      else 8 * sum(codec.sizes[path] for path in paths) / sum(samples[path] for path in paths)
      for domain, paths in domains.items()
    }
    rows.append(
      {
        'codec': codec.program.name,
        'bits_per_sample': statistics.fmean(rates[domain] for domain in common),
        **speeds,
        'start_cpu': statistics.median(codec.cpu['decode', _START]),
        **rates,
      }
    )
  return sorted(rows, key=lambda row: float(row['bits_per_sample']))


def _print(rows: Sequence[dict[str, str | float]], domains: Sequence[str], arguments: argparse.Namespace) -> None:
  print(f'samples a second, start-up aside; {arguments.cores} core(s), medians of {arguments.rounds} rounds')
  print(
    f'{"codec":<18} {"bits/sample":>11} {"encode CPU":>11} {"decode CPU":>11} {"decode":>11} {"start, s":>8}  '
    + ' '.join(f'{domain[:13]:>13}' for domain in domains)
  )
  for row in rows:
    print(
      f'{row["codec"]:<18} {row["bits_per_sample"]:>11.4f} {row["encode_cpu"]:>11,.0f} {row["decode_cpu"]:>11,.0f} '
      f'{row["decode_wall"]:>11,.0f} {row["start_cpu"]:>8.2f}  '
      + ' '.join(f'{row[domain]:>13.4f}'.replace('nan', '  -') for domain in domains)
    )


def _picture(rows: Sequence[dict[str, str | float]]) -> str:
  """Bits per sample over samples decoded per CPU second, both on logarithmic axes, as SVG."""
  points = {str(row['codec']): (float(row['decode_cpu']), float(row['bits_per_sample'])) for row in rows}
  with figure_settings():
    figure = new_figure(4.0)
    axes = figure.subplots()
    for name, (speed, bits) in points.items():
      ours = name.startswith('lmic')
      axes.plot([speed], [bits], color='#d55e00' if ours else '#0072b2', marker='o' if ours else 's', linestyle='none')
    front = pareto_front(list(points.values()))
    axes.plot([x for x, _ in front], [y for _, y in front], color=GREY, linestyle=(0, (3, 2)), drawstyle='steps-post')
    axes.set(xscale='log', yscale='log', xlabel='samples decoded per CPU second', ylabel='bits per sample')
    axes.margins(x=0.15)
    axes.grid(color=FAINT, which='both')
    axes.xaxis.set_major_formatter('{x:,.0f}')
    axes.yaxis.set_major_formatter('{x:g}')
    axes.yaxis.set_minor_formatter('{x:g}')
    _name_points(axes, points)
  return svg(figure, 'pareto')


def _name_points(axes: Any, points: dict[str, tuple[float, float]]) -> None:
  """Writes each point's name beside it, at the first place where it covers neither a mark nor another name."""
  figure = axes.figure
  figure.canvas.draw()  # Axes have their place from now on.
  marks = [axes.transData.transform(point) for point in points.values()]
  taken = [transforms.Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in marks]
  places = [('left', 6, 4), ('right', -6, -8), ('left', 6, -8), ('right', -6, 4), ('center', 0, 8), ('center', 0, -13)]
  for name, point in points.items():
    found = None
    for align, right, up in places if not name.startswith('lmic') else places[1:] + places[:1]:
      if found:
        found.remove()
      found = axes.annotate(
        name, point, textcoords='offset points', xytext=(right, up), ha=align, fontsize=7, annotation_clip=False
      )
      box = found.get_window_extent(figure.canvas.get_renderer())
      if not any(box.overlaps(other) for other in taken):
        break
    taken.append(box)


if __name__ == '__main__':
  if not shutil.which('flac'):
    print('flac is not installed: the table has fewer rows')
  sys.exit(main())
