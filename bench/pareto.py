"""Size against speed: lmic's levels and other codecs, on the same files in one run.

  python bench/pareto.py AUDIO_DIR [--files 1] [--levels 1,3,5,6,9] [--programs flac,wavpack,mac,ofr,sac]
      [--program 'NAME=ENCODE {in} {out} :: DECODE {in} {out}'] [--rounds 3] [--cores 1] [--picture OUT.svg] [--csv OUT]

Some held-out files of each domain, whole. Each codec encodes and decodes all of them, one process a file, on so many
cores; by turns, so that what else the machine does meets all of them alike. What is decoded is compared. Times are
CPU seconds of the process and all that it starts, and seconds on the clock, less what the same codec takes for a file
of one sample (its start-up); medians over the rounds. Speed is samples per second. Programs that are not installed are
left out, and said. Marks on the dashed line are those that no other codec beats in both size and decoding time.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from held_out import files_by_domain

from language_modeling_is_compression.audio.reading import read_frames
from language_modeling_is_compression.audio.wav import read_wav_info, wav_header
from language_modeling_is_compression.evaluation.compressors.programs import PROGRAMS, Program, parse_custom
from language_modeling_is_compression.evaluation.report.plots import pareto_front
from language_modeling_is_compression.evaluation.report.style import FAINT, GREY, figure_settings, new_figure, svg

_LMIC = f'{shlex.quote(sys.executable)} -m language_modeling_is_compression'
_FASTER = {
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
}


@dataclass
class Codec:
  """What is measured of a codec: sizes by file, and seconds by round of each of its kinds of run."""

  program: Program
  is_ours: bool
  sizes: dict[Path, int] = field(default_factory=dict)
  cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
  wall: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

  def seconds(self, what: str, clock: str) -> float:
    """Median seconds of 'encode' or 'decode' of all files, less as many starts; clock: 'cpu' or 'wall'."""
    spent = getattr(self, clock)
    started = statistics.median(spent[f'{what} of one sample']) * len(self.sizes)
    return max(1e-6, statistics.median(spent[what]) - started)


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures size against speed.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--files', type=int, default=1, help='of each domain, spread over their sizes')
  parser.add_argument('--levels', default='1,3,5,6,9')
  parser.add_argument('--programs', default=','.join([*PROGRAMS, *_FASTER]))
  parser.add_argument('--program', action='append', default=[], help='NAME=ENCODE :: DECODE')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--cores', type=int, default=1)
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
    one = Path(folder, 'one.wav')
    one.write_bytes(
      wav_header(encoding='int', sample_bytes=2, num_channels=1, sample_rate_hz=16_000, num_frames=1) + b'\1\0'
    )
    for codec in codecs:
      _round(codec, {one: one}, Path(folder), '')  # Compiles, and fills the caches of files.
    for _ in range(arguments.rounds):
      for codec in codecs:
        _round(codec, {one: one}, Path(folder), ' of one sample')
        _round(codec, links, Path(folder), '')
    for codec in codecs:
      del codec.sizes[one]
      for spent in (codec.cpu, codec.wall):
        for what in ('encode', 'decode'):
          del spent[what][0]  # Of the first round, which was for nothing.
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
  known = {**PROGRAMS, **_FASTER}
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


def _round(codec: Codec, files: dict[Path, Path], folder: Path, mark: str) -> None:
  """Encodes and decodes files once, and compares them. Raises RuntimeError if they differ or a program fails."""
  program = codec.program
  assert program.decode is not None, 'what cannot be decoded has no decoding time'
  spent = {'encode': [0.0, 0.0], 'decode': [0.0, 0.0]}
  for path, link in files.items():
    coded, back = folder / f'coded{program.suffix}', folder / 'back.wav'
    pcm = f'pcm_s{8 * read_wav_info(link).sample_bytes}le'.replace('s8le', 'u8')
    for what, template, source, target in (
      ('encode', program.encode, link, folder / 'coded'),
      ('decode', program.decode, coded, back),
    ):
      command = [
        word.replace('{in}', str(source)).replace('{out}', str(target)).replace('{pcm}', pcm)
        for word in shlex.split(template)
      ]
      for index, seconds in enumerate(_timed(command)):
        spent[what][index] += seconds
    codec.sizes[path] = coded.stat().st_size
    original, decoded = read_wav_info(link), read_wav_info(back)
    if (read_frames(original, 0, original.num_frames) != read_frames(decoded, 0, decoded.num_frames)).any():
      raise RuntimeError(f'{program.name}: {path} came back another one')
    coded.unlink()
    back.unlink()
  for what, (cpu, wall) in spent.items():
    codec.cpu[what + mark].append(cpu)
    codec.wall[what + mark].append(wall)


def _timed(command: Sequence[str]) -> tuple[float, float]:
  """CPU seconds and seconds on the clock of a command."""
  started = time.perf_counter()
  process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
  assert process.stderr is not None
  said = process.stderr.read()
  _, status, used = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  process.stderr.close()
  if process.returncode:
    raise RuntimeError(f'{shlex.join(command)}: exit code {process.returncode}: {said.decode(errors="replace")[-300:]}')
  return used.ru_utime + used.ru_stime, time.perf_counter() - started


def _rows(codecs: Sequence[Codec], domains: dict[str, list[Path]]) -> list[dict[str, str | float]]:
  """A row for each codec, the smallest first: bits per sample, by domain and in their mean, and samples a second."""
  infos = {path: read_wav_info(path) for paths in domains.values() for path in paths}
  samples = {path: info.num_frames * info.num_channels for path, info in infos.items()}
  total = sum(samples.values())
  rows: list[dict[str, str | float]] = []
  for codec in codecs:
    speeds = {
      f'{what}_{clock}': total / codec.seconds(what, clock)
      for what in ('encode', 'decode')
      for clock in ('cpu', 'wall')
    }
    rates = {
      domain: 8 * sum(codec.sizes[path] for path in paths) / sum(samples[path] for path in paths)
      for domain, paths in domains.items()
    }
    rows.append(
      {
        'codec': codec.program.name,
        'bits_per_sample': sum(rates.values()) / len(rates),
        **speeds,
        'start_cpu': statistics.median(codec.cpu['decode of one sample']),
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
      + ' '.join(f'{row[domain]:>13.4f}' for domain in domains)
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
      axes.annotate(name, (speed, bits), textcoords='offset points', xytext=(5, 4), fontsize=7)
    front = pareto_front(list(points.values()))
    axes.plot([x for x, _ in front], [y for _, y in front], color=GREY, linestyle=(0, (3, 2)), drawstyle='steps-post')
    axes.set(xscale='log', yscale='log', xlabel='samples decoded per CPU second', ylabel='bits per sample')
    axes.margins(x=0.15)
    axes.grid(color=FAINT, which='both')
    axes.xaxis.set_major_formatter('{x:,.0f}')
    axes.yaxis.set_major_formatter('{x:g}')
    axes.yaxis.set_minor_formatter('{x:g}')
  return svg(figure, 'pareto')


if __name__ == '__main__':
  if not shutil.which('flac'):
    print('flac is not installed: the table has fewer rows')
  sys.exit(main())
