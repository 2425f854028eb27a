"""A page of pictures of one sound under one model or two: what it costs, and what the models know of it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from language_modeling_is_compression.errors import InputError
from language_modeling_is_compression.evaluation.look import byte_plots, hybrid_plots, plots
from language_modeling_is_compression.evaluation.look.findings import Findings
from language_modeling_is_compression.evaluation.look.measure import measure
from language_modeling_is_compression.evaluation.look.sound import DYNAMIC_RANGE, spectrogram
from language_modeling_is_compression.evaluation.look.sources import Sound, opened_sound
from language_modeling_is_compression.evaluation.report.markup import (
  Picture,
  Table,
  figure_html,
  page_html,
  table_html,
  text_of,
)
from language_modeling_is_compression.evaluation.report.text import decimals, percent
from language_modeling_is_compression.kernels.compilation import require_compiler
from language_modeling_is_compression.quantized.loading import DEFAULT
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.text import printable

MAX_MODELS = 2
_MAX_NAME = 40  # Characters of a model's name, so that it fits above a figure.

Progress = Callable[[int, int], object]  # Told of bytes that are done, and of all.


def look(
  path: Path,
  models: Sequence[str] = (),
  *,
  start: float | None = None,
  end: float | None = None,
  threads: int | None = None,
  progress: Progress = lambda done, total: None,
  cancellation: Cancellation | None = None,
) -> str:
  """The page of a WAV, FLAC or .lmic file, or of a part of it, as HTML.

  models: names of packaged ones, or model files, two at most; without one the model that wrote the file, or the default
  one. start, end: seconds.
  Raises InputError for what there are no pictures of, CheckpointError, ModelMismatchError, FormatError, CancelledError.
  """
  require_compiler()
  cancellation = cancellation or Cancellation()
  if len(models) > MAX_MODELS or len(set(models)) < len(models):
    raise InputError(f'-m: expected up to {MAX_MODELS} different models, got {", ".join(models)}')
  with opened_sound(path, models=models, start=start, end=end, threads=threads, cancellation=cancellation) as sound:
    chosen = models or [sound.model or DEFAULT]
    total = len(chosen) * sound.info.num_frames * sound.info.frame_bytes
    done = 0

    def advance(count: int) -> None:
      nonlocal done
      done = min(done + count, total)
      progress(done, total)

    advance(0)
    findings = [
      measure(sound, model, name, rank=rank, threads=threads, progress=advance, cancellation=cancellation)
      for rank, (model, name) in enumerate(zip(chosen, _names(chosen), strict=True))
    ]
    return look_html(sound, spectrogram(sound.info), findings)


def look_html(sound: Sound, levels: np.ndarray, findings: Sequence[Findings]) -> str:
  """The page of findings about a sound. levels: its spectrogram."""
  title = Path(sound.name).name
  parts = [
    f'<h1>{text_of(title)}</h1>',
    f'<p class="soft">{text_of(_facts(sound))}</p>',
    table_html(_totals(findings)),
    *(figure_html(picture) for picture in pictures(sound, levels, findings)),
    *(f'<p class="soft">{text_of(note)}</p>' for note in _notes(findings)),
  ]
  return page_html(f'{title}: {" and ".join(each.model for each in findings)}', parts)


def _names(models: Sequence[str]) -> list[str]:
  """Names of models for people: those of their files where these are different."""
  short = [printable(Path(model).name.removesuffix('.npz'), _MAX_NAME) for model in models]
  return short if len(set(short)) == len(short) else [printable(model, _MAX_NAME) for model in models]


def _facts(sound: Sound) -> str:
  info = sound.info
  channels = {1: 'mono', 2: 'stereo'}.get(info.num_channels, f'{info.num_channels} channels')
  start = f' from {sound.start_seconds:.4g} s on' if sound.start_seconds else ''
  return f'{sound.seconds:.4g} s{start}, {channels}, {info.sample_rate_hz:,} Hz, {info.resolution_bits} bits'


def _totals(findings: Sequence[Findings]) -> Table:
  rows = [
    (
      each.model,
      'hybrid' if each.hybrid else 'bytes',
      decimals(each.bits_per_sample, 3),
      f'{each.model_bytes:,}',
      f'{each.file_bytes:,}',
      percent(each.file_bytes / each.original_bytes),
      f'{each.fallback_chunks:,} of {each.chunks:,}',
    )
    for each in findings
  ]
  headings = 'model|family|bits per sample|code, bytes|.lmic file, bytes|rate, %|chunks that fell back'
  return Table(
    title='In all',
    headings=headings.split('|'),
    rows=rows,
    note='Bits are what the samples take under the model, here and below; its code has some side information as well. '
    'The file is what lmic compress writes, a chunk without the model where that is smaller (it fell back); its rate '
    'is of the WAV file.',
    text_columns=2,
  )


def pictures(sound: Sound, levels: np.ndarray, findings: Sequence[Findings]) -> Iterator[Picture]:
  """All figures that there are findings for."""
  yield Picture(
    name='time',
    title='Where the bits go',
    reading=f'Above, the sound: brighter is louder, dark {DYNAMIC_RANGE:.0f} dB below the loudest. Below, at the same '
    'time, what a sample costs: where the line is high the sound is hard to predict.',
    figure=plots.sound_over_time(sound, levels, findings),
  )
  if len(findings) == MAX_MODELS:
    first, second = findings
    yield Picture(
      name='difference',
      title=f'{second.model} less {first.model}',
      reading=f'Above 0 {second.model} takes more bits than {first.model} at that time, below 0 fewer; the mean of all '
      'channels.',
      figure=plots.difference_over_time(sound, first, second),
    )
  yield Picture(
    name='calibration',
    title='Calibration',
    reading='Left: as many samples should lie in each part of the model’s distribution, all bars on the dashed line; a '
    'hump in the middle says that it is too wide, high ends that it is too narrow. Right: how far samples were from '
    'their prediction, on a logarithmic scale; where marks lie on the line, the model expected what came, and those at '
    'the ends are of all that is farther.',
    figure=plots.calibration(findings),
  )
  for family, some in (
    (_hybrid_pictures, [each for each in findings if each.hybrid]),
    (_byte_pictures, [each for each in findings if each.by_byte]),
  ):
    if some:
      # Where there is nothing to compare, a figure says which of the models it is of.
      yield from family(sound, some, f': {some[0].model}' if len(some) < len(findings) else '')


def _hybrid_pictures(sound: Sound, findings: Sequence[Findings], whose: str) -> Iterator[Picture]:
  yield Picture(
    name='weights',
    title=f'What is believed{whose}',
    reading='Above: how far the network is believed against the experts alone. Below: the weights of the experts’ '
    'shapes, stacked, by the samples over which they follow the error; those of few samples lead where the sound '
    'changes quickly. Means of all channels.',
    figure=hybrid_plots.weights_over_time(sound, findings),
  )
  if hybrid_plots.repeats(findings):
    yield Picture(
      name='repetition',
      title=f'What repeats{whose}',
      reading='A mark says that the sound was like itself so many seconds earlier, as the encoder has found; rows of '
      'marks are beats and loops. Below: the share of all mass that a copy of an earlier sample has, high where sound '
      'or silence repeats to the bit.',
      figure=hybrid_plots.repetition(sound, findings),
    )


def _byte_pictures(sound: Sound, findings: Sequence[Findings], whose: str) -> Iterator[Picture]:
  yield Picture(
    name='bytes',
    title=f'Bits by byte and by position{whose}',
    reading='Left: what each byte of a sample costs, of 8 bits; the last ones are close to noise, and the model does '
    'not see those that are counted. Right: what a sample costs by its position in a chunk of the file, at whose '
    'beginning nothing is known; the dotted line is the length of the chunks that the model was trained on.',
    figure=byte_plots.bits_by_place(findings),
  )
  yield Picture(
    name='embedding',
    title=f'The embedding of the bytes{whose}',
    reading='Each dot is a byte’s value, placed by the two directions in which the learned vectors differ most; '
    'neighbours on the line that the model sees as alike are close together.',
    figure=byte_plots.embeddings(findings),
  )
  yield Picture(
    name='attention',
    title=f'Attention by distance{whose}',
    reading='How each head spreads its attention over tokens (bytes) so far back, measured with the network in floats '
    'on parts of this sound that are evenly spread; a row adds up to 1.',
    figure=byte_plots.attention(findings),
  )


def _notes(findings: Sequence[Findings]) -> Iterator[str]:
  hybrids = [each for each in findings if each.hybrid]
  if hybrids and not hybrid_plots.repeats(hybrids):
    yield 'Nothing repeats: the encoder has found no lag at which the sound is like itself, and there are no copies.'
