"""Every figure of a summary, and of a comparison, on numbers computed by hand."""

import dataclasses
import random
from typing import cast

import pytest
from support.evaluation_cases import compressor, failed, measured

from language_modeling_is_compression.errors import ResultsError
from language_modeling_is_compression.evaluation.statistics.measurements import CHUNKED, WHOLE, Fallback
from language_modeling_is_compression.evaluation.statistics.summary import (
  ALL,
  DOMAIN,
  EVERY,
  MEAN,
  ONCE,
  best_first,
  compare,
  summarize,
)

FLAC, MODEL = compressor('flac'), compressor('model', parameters_bytes=600)
# Domain a: 250 of 1000 bytes. Domain b: 1500 of 2000. All: 1750 of 3000. Mean: (0.25 + 0.75) / 2.
THREE = [measured('flac', 'a/1', 400, 50), measured('flac', 'a/2', 600, 200), measured('flac', 'b/3', 2000, 1500)]


def summaries_of(measurements, compressors=(FLAC, MODEL), count_headers=ONCE, seed=0):
  """By compressor and scope or domain, of one protocol."""
  found = summarize(compressors, measurements, count_headers=count_headers, seed=seed)
  keyed = {(each.compressor, each.domain or each.scope): each for each in found}
  assert len(keyed) == len(found)
  return keyed


def compared(measurements, compressors=(FLAC, MODEL), count_headers=ONCE):
  return compare(compressors, measurements, count_headers=count_headers, seed=0)


def test_rates_of_domains_of_all_files_and_of_their_mean():
  found = summaries_of(THREE)
  assert [key[1] for key in found] == [ALL, MEAN, 'a', 'b']
  assert {key[1]: each.compression_rate for key, each in found.items()} == {
    ALL: 1750 / 3000,
    MEAN: 0.5,
    'a': 0.25,
    'b': 0.75,
  }
  assert found['flac', 'a'].scope == DOMAIN and found['flac', ALL].domain == ''


def test_what_follows_from_a_rate():
  found = summaries_of(THREE)['flac', 'a']
  assert (found.num_files, found.num_failed, found.raw_bytes, found.compressed_bytes) == (2, 0, 1000, 250)
  assert (found.compression_ratio, found.bits_per_byte) == (4, 2)
  # 16-bit samples: 250 bytes are 2000 bits of 500 samples.
  assert (found.num_samples, found.bits_per_sample) == (500, 4)


def test_a_mean_over_domains_of_other_depths():
  """2 bits per sample of 8 bits, 12 of 24 bits: rates 1/4 and 1/2."""
  depths = [
    measured('flac', 'a/1', 1000, 250, num_samples=1000),
    measured('flac', 'b/1', 30_000, 15_000, num_samples=10_000),
  ]
  found = summaries_of(depths)
  assert found['flac', MEAN].bits_per_sample == (2 + 12) / 2
  assert found['flac', ALL].bits_per_sample == 8 * 15_250 / 11_000
  assert found['flac', MEAN].bits_per_byte == 8 * 0.375
  assert found['flac', MEAN].compression_ratio == 1 / 0.375


def test_speeds_are_seconds_of_sound_by_seconds_of_work():
  measurements = [
    measured('flac', 'a/1', 2000, 1, audio_seconds=10.0, encode_seconds=2.0, decode_seconds=1.0),
    measured('flac', 'a/2', 2000, 1, audio_seconds=30.0, encode_seconds=2.0, decode_seconds=1.0),
    measured('flac', 'b/3', 2000, 1, audio_seconds=10.0, encode_seconds=5.0, decode_seconds=10.0),
  ]
  found = summaries_of(measurements)
  assert (found['flac', 'a'].encode_speed, found['flac', 'a'].decode_speed) == (10, 20)
  assert (found['flac', ALL].encode_speed, found['flac', ALL].decode_speed) == (50 / 9, 50 / 12)
  # A second takes 0.1 s in one and 0.5 s in the other.
  assert found['flac', MEAN].encode_speed == pytest.approx(1 / 0.3)


def test_no_speed_without_time():
  found = summaries_of([measured('flac', 'a/1', 2000, 1, encode_seconds=0.0, decode_seconds=0.0)])['flac', ALL]
  assert (found.encode_speed, found.decode_speed) == (None, None)


def test_code_length_and_what_the_coder_adds():
  """3200 and 4800 bits are 1000 bytes; the coder writes 1010."""
  measurements = [
    measured('model', 'a/1', 1000, 405, code_length_bits=3200.0),
    measured('model', 'a/2', 1500, 605, code_length_bits=4800.0),
  ]
  found = summaries_of(measurements)['model', ALL]
  assert (found.compression_rate, found.code_length_rate) == (1010 / 2500, 0.4)
  assert found.coder_overhead == pytest.approx(0.01)


@pytest.mark.parametrize('bits', [[None, None], [3200.0, None]])
def test_code_length_of_all_files_or_none(bits):
  measurements = [measured('model', f'a/{each}', 1000, 405, code_length_bits=each) for each in bits[:1]]
  measurements.append(measured('model', 'a/last', 1000, 405, code_length_bits=bits[1]))
  found = summaries_of(measurements)['model', ALL]
  assert (found.code_length_rate, found.coder_overhead) == (None, None)


# What fell back.


def fell_back(
  file: str, raw_bytes: int, chunks: tuple[int, int], fallback_bytes: int, sizes: tuple[int, int], **fields
):
  """chunks: that fell back, of all. sizes: of the model alone, and of lmic."""
  fallback = Fallback(
    sound_chunks=chunks[1], fallback_chunks=chunks[0], fallback_bytes=fallback_bytes, lmic_bytes=sizes[1]
  )
  return measured('model', file, raw_bytes, sizes[0], fallback=fallback, **fields)


def test_shares_of_chunks_and_bytes_that_fell_back_and_what_lmic_reaches():
  found = summaries_of(
    [
      fell_back('a/1', 400, (1, 2), 100, (300, 200)),
      fell_back('a/2', 600, (0, 2), 0, (300, 300)),
      fell_back('b/3', 1000, (4, 4), 1000, (900, 100)),
    ]
  )

  def shares(scope):
    one = found['model', scope]
    return one.compression_rate, one.fallback_chunk_share, one.fallback_byte_share, one.lmic_rate

  assert shares('a') == (0.6, 0.25, 0.1, 0.5)
  assert shares(ALL) == (0.75, 5 / 8, 0.55, 0.3)
  assert shares(MEAN) == (0.75, (0.25 + 1) / 2, 0.55, 0.3)
  assert summaries_of(THREE)['flac', ALL].fallback_chunk_share is None
  assert summaries_of(THREE)['flac', ALL].lmic_rate is None


def test_headers_of_lmic_count_as_those_of_the_model():
  fields = {'protocol': CHUNKED, 'num_chunks': 5, 'header_bytes': 10}
  found = summaries_of([fell_back('a/1', 1000, (1, 5), 200, (540, 440), **fields)])['model', ALL]
  assert (found.compressed_bytes, found.lmic_rate) == (500, 0.4)


def test_shares_of_all_files_or_none():
  found = summaries_of([fell_back('a/1', 400, (1, 2), 100, (300, 200)), measured('model', 'a/2', 400, 100)])
  one = found['model', ALL]
  assert (one.fallback_chunk_share, one.fallback_byte_share, one.lmic_rate) == (None, None, None)


# Models without bytes.


def test_a_model_without_bytes_has_a_code_length_and_nothing_else():
  unsized = [
    measured('model', each.file, each.raw_bytes, None, code_length_bits=4.0 * each.raw_bytes, encode_seconds=0.0)
    for each in THREE
  ]
  found = summaries_of([*THREE, *unsized])
  for scope in (ALL, MEAN, 'a'):
    one = found['model', scope]
    assert one.code_length_rate == 0.5 and one.num_files == (2 if scope == 'a' else 3)
    nothing = [one.compressed_bytes, one.compression_rate, one.interval, one.compression_ratio, one.bits_per_byte]
    nothing += [one.bits_per_sample, one.coder_overhead, one.encode_speed, one.adjusted_rate, one.lmic_rate]
    assert nothing == [None] * 10
  assert compared([*THREE, *unsized]) == []
  # Others are as without it.
  assert found['flac', ALL] == summaries_of(THREE)['flac', ALL]


def test_the_order_is_by_rate_or_code_length():
  infos = [compressor(name) for name in ('none', 'last', 'tokens', 'first')]
  measurements = [
    failed('none', 'a/1'),
    measured('last', 'a/1', 1000, 600),
    measured('tokens', 'a/1', 1000, None, code_length_bits=4000.0),
    measured('first', 'a/1', 1000, 400, code_length_bits=7000.0),
  ]
  summaries = summarize(infos, measurements, count_headers=ONCE, seed=0)
  assert [each.compressor for each in best_first(summaries)] == ['first', 'tokens', 'last', 'none']


def test_the_models_size_counts_once_in_each_scope():
  found = summaries_of([dataclasses.replace(each, compressor='model') for each in THREE])
  assert found['model', 'a'].adjusted_rate == (250 + 600) / 1000
  assert found['model', 'b'].adjusted_rate == pytest.approx((1500 + 600) / 2000)
  assert found['model', ALL].adjusted_rate == pytest.approx((1750 + 600) / 3000)
  assert found['model', MEAN].adjusted_rate == 0.5 + 600 / 3000
  assert summaries_of(THREE)['flac', ALL].adjusted_rate == 1750 / 3000


# Headers.

CHUNKS = [
  measured('flac', 'a/1', 1000, 500, protocol=CHUNKED, num_chunks=3, header_bytes=10),
  measured('flac', 'a/2', 1000, 600, protocol=CHUNKED, num_chunks=4, header_bytes=10),
  measured('flac', 'b/3', 1000, 700, protocol=CHUNKED, num_chunks=1, header_bytes=10),
]


def test_headers_count_once_in_each_scope():
  """As the reference: the sizes, less the header times (the number of chunks - 1)."""
  found = summaries_of(CHUNKS)
  assert found['flac', 'a'].compressed_bytes == 1100 - 6 * 10
  assert found['flac', 'b'].compressed_bytes == 700
  assert found['flac', ALL].compressed_bytes == 1800 - 7 * 10
  assert found['flac', ALL].compression_rate == 1730 / 3000
  assert found['flac', ALL].bits_per_sample == pytest.approx(8 * 1730 / 1500)
  assert found['flac', MEAN].compression_rate == pytest.approx((0.52 + 0.7) / 2)


def test_headers_count_every_time():
  found = summaries_of(CHUNKS, count_headers=EVERY)
  assert found['flac', ALL].compressed_bytes == 1800
  assert found['flac', ALL].compression_rate == 0.6


def test_the_header_that_counts_is_the_longest():
  longer = [*CHUNKS[:2], dataclasses.replace(CHUNKS[2], header_bytes=12)]
  assert summaries_of(longer)['flac', ALL].compressed_bytes == 1800 - 7 * 10 - 12 + 12


def test_headers_of_an_interval_count_once_too():
  """All files alike: whatever is drawn comes to the same, so the interval has no width, and holds the rate."""
  alike = [dataclasses.replace(CHUNKS[0], file=f'a/{index}') for index in range(5)]
  found = summaries_of(alike)['flac', ALL]
  assert found.compression_rate == (5 * 470 + 10) / 5000
  assert found.interval.low == found.interval.high == found.compression_rate


def test_protocols_are_apart():
  found = summarize([FLAC], [*CHUNKS, *THREE], count_headers=ONCE, seed=0)
  assert [(each.protocol, each.raw_bytes) for each in found if each.scope == ALL] == [(CHUNKED, 3000), (WHOLE, 3000)]


# Intervals.


def test_intervals_hold_the_rate_and_lie_between_the_files():
  found = summaries_of(THREE)['flac', ALL]
  assert 50 / 400 <= found.interval.low < found.compression_rate < found.interval.high <= 1500 / 2000


def test_one_file_has_no_interval():
  found = summaries_of(THREE)
  assert found['flac', 'b'].interval is None
  assert found['flac', MEAN].interval is None


def test_a_mean_is_resampled_within_domains():
  """Within domains files are alike, so the mean is certain; which domains are drawn is not, so the pooled rate is."""
  alike = [
    measured('flac', f'{domain}/{index}', 1000, size) for domain, size in (('a', 300), ('b', 900)) for index in range(9)
  ]
  found = summaries_of(alike)
  assert found['flac', MEAN].interval.low == found['flac', MEAN].interval.high == pytest.approx(0.6)
  assert found['flac', ALL].interval.high - found['flac', ALL].interval.low > 0.1


def test_only_domain_is_the_same_as_all():
  found = summaries_of(THREE[:2])
  same = {'scope': '', 'domain': ''}
  assert len({dataclasses.replace(each, **same) for each in found.values()}) == 1


def test_order_and_other_compressors_change_nothing():
  rng = random.Random(0)
  measurements = [
    measured(name, f'{domain}/{index}', 1000, rng.randrange(300, 600), audio_seconds=rng.random())
    for name in ('flac', 'model')
    for domain in 'ab'
    for index in range(20)
  ]
  found = summaries_of(measurements)
  rng.shuffle(measurements)
  assert summaries_of(measurements) == found
  alone = summaries_of([each for each in measurements if each.compressor == 'flac'], [FLAC])
  assert alone == {key: each for key, each in found.items() if key[0] == 'flac'}
  other_seed = summaries_of(measurements, seed=1)
  assert other_seed['flac', ALL].interval != found['flac', ALL].interval


# Failures.


def test_rates_are_of_the_files_that_were_done():
  found = summaries_of([*THREE, failed('flac', 'a/4'), failed('flac', 'c/5')])
  assert (found['flac', ALL].num_files, found['flac', ALL].num_failed) == (3, 2)
  assert found['flac', ALL].compression_rate == 1750 / 3000
  assert (found['flac', 'a'].num_files, found['flac', 'a'].num_failed) == (2, 1)


def test_a_domain_without_a_result_has_no_rate_and_neither_has_the_mean():
  found = summaries_of([*THREE, failed('flac', 'c/5')])
  for scope in ('c', MEAN):
    one = found['flac', scope]
    figures = [one.compression_rate, one.interval, one.compression_ratio, one.bits_per_byte, one.bits_per_sample]
    assert [*figures, one.encode_speed, one.decode_speed, one.adjusted_rate] == [None] * 8
  assert (found['flac', 'c'].num_files, found['flac', 'c'].num_failed) == (0, 1)


def test_there_is_no_row_for_what_was_not_tried():
  found = summaries_of([*THREE, measured('model', 'a/1', 400, 20)])
  assert [key[1] for key in found if key[0] == 'model'] == [ALL, MEAN, 'a']
  assert found['model', MEAN].compression_rate is None


def test_the_same_file_twice_is_a_bug():
  with pytest.raises(ValueError, match='a/1: measured twice with flac'):
    summaries_of([*THREE, THREE[0]])


@pytest.mark.parametrize('other', [{'raw_bytes': 800}, {'num_samples': 400}])
def test_compressors_that_did_not_get_the_same_bytes_are_not_compared(other):
  strange = dataclasses.replace(measured('model', 'a/1', 400, 20), **other)
  message = (
    rf'^a/1, whole: model was given {strange.num_samples} samples in {strange.raw_bytes} bytes, flac 200 in 400: '
  )
  with pytest.raises(ResultsError, match=message):
    summaries_of([*THREE, strange])
  with pytest.raises(ResultsError, match=message):
    compared([*THREE, strange])


# Pairs.


def test_pairs_are_compared_on_the_files_that_both_did():
  measurements = [
    *[measured('flac', f'a/{index}', 1000, 500) for index in range(4)],
    *[measured('model', f'a/{index}', 1000, size) for index, size in enumerate([400, 500, 600, 300])],
    measured('flac', 'b/5', 1000, 10),
    failed('model', 'b/5'),
  ]
  [found] = compared(measurements)
  assert (found.protocol, found.first, found.second, found.num_files) == (WHOLE, 'flac', 'model', 4)
  assert (found.first_rate, found.second_rate) == (0.5, 0.45)
  assert found.difference == pytest.approx(0.05)
  assert (found.first_wins, found.second_wins) == (1, 2)
  assert found.interval.low < 0 < found.interval.high and found.differs is False


def test_a_difference_that_is_one():
  measurements = [measured('flac', f'a/{index}', 1000, 300 + 40 * index) for index in range(10)]
  measurements += [
    dataclasses.replace(each, compressor='model', compressed_bytes=cast(int, each.compressed_bytes) - 5 - index)
    for index, each in enumerate(measurements)
  ]
  [found] = compared(measurements)
  assert found.differs is True and 0.005 <= found.interval.low < 0.0095 < found.interval.high <= 0.014
  [reverse] = compared(measurements, (MODEL, FLAC))
  assert (reverse.first, reverse.difference, reverse.first_wins) == ('model', -found.difference, 10)


def test_a_pair_on_one_file_is_not_decided():
  [found] = compared([measured('flac', 'a/1', 1000, 500), measured('model', 'a/1', 1000, 400)])
  assert (found.interval, found.differs, found.second_wins) == (None, None, 1)


def test_every_pair_once_per_protocol_and_none_without_a_common_file():
  others = [compressor(name) for name in 'xyz']
  measurements = [measured(name, 'a/1', 1000, 500) for name in 'xy'] + [measured('z', 'a/2', 1000, 500)]
  measurements += [measured(name, 'a/1', 1000, 500, protocol=CHUNKED) for name in 'xyz']
  assert [(each.protocol, each.first + each.second) for each in compared(measurements, others)] == [
    (CHUNKED, 'xy'),
    (CHUNKED, 'xz'),
    (CHUNKED, 'yz'),
    (WHOLE, 'xy'),
  ]


@pytest.mark.parametrize(('count_headers', 'flac_wins'), [(ONCE, 2), (EVERY, 0)])
def test_headers_decide_who_wins(count_headers, flac_wins):
  """flac writes 500 bytes of two files in three and four chunks; 20 or 30 of them are headers that count once."""
  measurements = [
    *CHUNKS[:2],
    *(
      measured('model', each.file, 1000, cast(int, each.compressed_bytes) - 15, protocol=CHUNKED) for each in CHUNKS[:2]
    ),
  ]
  [found] = compared(measurements, count_headers=count_headers)
  assert (found.first_wins, found.second_wins) == (flac_wins, 2 - flac_wins)
  assert found.first_rate == (1100 - 60 * (count_headers == ONCE)) / 2000
