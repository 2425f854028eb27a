"""Figures of an evaluation, and how to read each of them: for the report, and for wandb."""

from collections.abc import Sequence

from language_modeling_is_compression.evaluation.report.file_plots import (
  FileBits,
  bits_against_reference,
  hardest_and_easiest,
  waveform_over_bits,
)
from language_modeling_is_compression.evaluation.report.markup import Picture
from language_modeling_is_compression.evaluation.report.plots import (
  Looks,
  bits_by_position,
  named_in,
  rate_against_speed,
  rates_by_domain,
)
from language_modeling_is_compression.evaluation.report.results import Results
from language_modeling_is_compression.evaluation.report.style import looks
from language_modeling_is_compression.evaluation.statistics.measurements import CHUNKED, WHOLE, Measurement
from language_modeling_is_compression.evaluation.statistics.summary import ALL, DOMAIN, Summary, counted_bytes

PROTOCOL_NAMES = {WHOLE: 'whole files', CHUNKED: 'independent chunks'}


def pictures(results: Results, *, reference: str | None, count_headers: str) -> list[Picture]:
  """Every figure that there are numbers for.

  reference: the compressor that models are compared with file by file, or None. count_headers: as for `summarize`.
  """
  shown = looks(results.compressors)
  models = [info.name for info in results.compressors if info.is_model]
  found = []
  for protocol in PROTOCOL_NAMES:
    found += _rate_pictures(protocol, [each for each in results.summaries if each.protocol == protocol], shown)
  if any(measurement.by_position for measurement in results.measurements):
    found.append(
      Picture(
        name='bits-by-position',
        title='Bits per sample by position inside a chunk',
        reading='How context pays: each step is the mean over all chunks of what the samples from there to the next '
        'mark cost; at the left a model knows nothing of the chunk yet.',
        figure=bits_by_position(results.measurements, shown),
      )
    )
  for protocol in PROTOCOL_NAMES:
    bits = file_bits([each for each in results.measurements if each.protocol == protocol], count_headers)
    found += _file_pictures(protocol, bits, models, reference, shown)
  for index, trace in enumerate((trace for trace in results.traces if trace.seconds), 1):
    found.append(
      Picture(
        name=f'trace-{index}',
        title=f'Where the bits go: {trace.file}',
        reading='Above, the waveform; below, at the same time, what its samples cost in bits.',
        figure=waveform_over_bits(trace, shown),
      )
    )
  return found


def file_bits(measurements: Sequence[Measurement], count_headers: str) -> FileBits:
  """Bits per sample of every file that there are bytes of.

  count_headers: ONCE (a file's chunks have one together) or EVERY.
  """
  found: dict[str, dict[str, float]] = {}
  for each in measurements:
    if each.error is None and each.num_samples and each.compressed_bytes is not None:
      found.setdefault(each.compressor, {})[each.file] = 8 * counted_bytes([each], count_headers) / each.num_samples
  return found


def _rate_pictures(protocol: str, summaries: Sequence[Summary], shown: Looks) -> list[Picture]:
  found = []
  pooled = [each for each in summaries if each.scope == ALL]
  several = len({each.domain for each in summaries if each.scope == DOMAIN}) > 1
  if any(each.compression_rate is not None for each in pooled):
    found.append(
      Picture(
        name=f'rates-{protocol}',
        title=f'Rates{" by domain" if several else ""}, {PROTOCOL_NAMES[protocol]}',
        reading='Further left is smaller; bars are 95% intervals over files, and a filled mark is a model.',
        # A single domain is all the files.
        figure=rates_by_domain(summaries if several else pooled, shown),
      )
    )
  if any(each.encode_speed or each.decode_speed for each in pooled):
    found.append(
      Picture(
        name=f'speed-{protocol}',
        title=f'Rate against speed, {PROTOCOL_NAMES[protocol]}',
        reading='All files together; lower is smaller and further right is faster. Nothing measured here is both '
        'smaller and faster than a mark on the dashed line, the Pareto front.',
        figure=rate_against_speed(pooled, shown),
      )
    )
  return found


def _file_pictures(
  protocol: str, bits: FileBits, models: Sequence[str], reference: str | None, shown: Looks
) -> list[Picture]:
  """The reference may not be there, nor any model."""
  models = [name for name in models if name in bits and name != reference]
  names = models or named_in(shown, bits)[:1]
  found = []
  if reference is not None and reference in bits:
    names = [*models, reference]
    if models:
      found.append(
        Picture(
          name=f'files-{protocol}',
          title=f'Each file against {reference}, {PROTOCOL_NAMES[protocol]}',
          reading=f'One mark is one file; below the diagonal the model took fewer bits than {reference}.',
          figure=bits_against_reference(bits, models, reference, shown),
        )
      )
  if names:
    found.append(
      Picture(
        name=f'extremes-{protocol}',
        title=f'Hardest and easiest files, {PROTOCOL_NAMES[protocol]}',
        reading=f'Sorted by what they cost {names[0]}; further left is smaller.',
        figure=hardest_and_easiest(bits, names, shown),
      )
    )
  return found
