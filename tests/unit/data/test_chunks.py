"""Chunks against whole files tokenized at once by the rules of `audio.tokens`."""

from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.flac_files import write_flac
from support.wav_builder import build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.reading import read_info
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.data.chunks import Chunks, Stream, read_tokens, split_stream, whole_stream
from language_modeling_is_compression.data.tokens import (
  bytes_from_samples,
  interleave_blocks,
  mix_down,
  mu_law,
  reduce_depth,
)
from language_modeling_is_compression.errors import AudioFormatError

KINDS = [
  {},
  {'tokenization': 'sample'},
  {'quantization': 'mu-law'},
  {'use_16bit': True},
  {'use_16bit': True, 'tokenization': 'sample'},
  {'bit_depth': 24},
]
LAYOUTS = [{'channels': 'mono'}, {'channels': 'stereo', 'stereo_blocking_n': 3}]
# Frames, channels and bits of files: none, one, whole chunks of 4, tails, and a channel count that no block fits.
FILES = [(0, 1, 16), (1, 2, 16), (8, 1, 8), (11, 2, 24), (0, 2, 16), (9, 3, 16)]


def write_wav(path, num_frames: int, num_channels: int, bits: int):
  samples = random_samples(num_frames, num_channels, bits, seed=num_frames)
  path.write_bytes(build_wav(pcm_bytes(samples, bits), channels=num_channels, bits=bits))
  return samples


def tokens_of(samples: np.ndarray, bits: int, config: DataConfig) -> np.ndarray:
  """Tokens of a whole file that is in memory."""
  line = mix_down(samples) if config.channels == 'mono' else interleave_blocks(samples, config.stereo_blocking_n)
  if config.quantization == 'mu-law':
    return mu_law(line, bits)
  unsigned = reduce_depth(line, bits, config.sample_bits)
  return unsigned if config.tokenization == 'sample' else bytes_from_samples(unsigned, config.tokens_per_sample)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """(header, samples, bits) of each of FILES."""
  folder = tmp_path_factory.mktemp('wavs')
  made = []
  for index, (num_frames, num_channels, bits) in enumerate(FILES):
    samples = write_wav(folder / f'{index}.wav', num_frames, num_channels, bits)
    made.append((read_pcm_info(folder / f'{index}.wav'), samples, bits))
  return made


@pytest.mark.parametrize('layout', LAYOUTS, ids=str)
@pytest.mark.parametrize('kind', KINDS, ids=str)
def test_chunks_hold_every_sample_once_and_in_order(files, kind, layout):
  config = DataConfig(chunk_size=4, **kind, **layout)
  streams = [whole_stream(info, config) for info, _, _ in files]
  chunks = Chunks(streams, config)
  expected = [tokens_of(samples, bits, config) for _, samples, bits in files]
  chunk_tokens = 4 * config.tokens_per_sample
  pieces = [whole[at : at + chunk_tokens] for whole in expected for at in range(0, len(whole), chunk_tokens)]
  assert len(chunks) == chunks.num_available == len(pieces)
  for index, piece in enumerate(pieces):
    np.testing.assert_array_equal(chunks[index], piece)
    assert chunks[index].dtype == (np.uint16 if config.vocab_size > 256 else np.uint8)
  assert chunks.num_streams == 4
  assert chunks.num_samples * config.tokens_per_sample == sum(map(len, expected))
  assert chunks.max_tokens == max(map(len, pieces))


@pytest.mark.parametrize('layout', LAYOUTS, ids=str)
def test_chunks_of_flac_are_those_of_wav(tmp_path, layout):
  config = DataConfig(chunk_size=100, use_16bit=True, **layout)
  samples = write_wav(tmp_path / 'a.wav', 950, 2, 24)
  write_flac(tmp_path / 'a.flac', samples, 24)
  wav, flac = (Chunks([whole_stream(read_info(tmp_path / f'a.{kind}'), config)], config) for kind in ('wav', 'flac'))
  assert len(wav) == len(flac) > 9
  for index in reversed(range(len(wav))):
    np.testing.assert_array_equal(wav[index], flac[index])


def test_indices_outside_are_errors(files):
  config = DataConfig(chunk_size=4)
  chunks: Any = Chunks([whole_stream(files[3][0], config)], config)
  assert len(list(chunks)) == len(chunks) == 3
  for index in (-1, 3, 10**9):
    with pytest.raises(IndexError, match=rf'^chunk {index} of 3$'):
      chunks[index]


def test_no_chunks(files):
  config = DataConfig(chunk_size=4)
  for streams in ([], [whole_stream(files[0][0], config)]):
    chunks = Chunks(streams, config)
    assert (len(chunks), chunks.num_streams, chunks.num_samples, chunks.max_tokens) == (0, 0, 0, 0)
    with pytest.raises(IndexError):
      chunks[0]


def test_max_tokens_of_short_files(files):
  config = DataConfig(chunk_size=2048, use_16bit=True)
  assert Chunks([whole_stream(info, config) for info, _, _ in files], config).max_tokens == 22


@pytest.mark.parametrize('limit', [1, 2, 3, 6, 7, 10, 11])
def test_a_limit_spreads_evenly(files, limit):
  config = DataConfig(chunk_size=1)
  whole = [files[3][0]]
  unlimited: Any = Chunks([whole_stream(info, config) for info in whole], config)
  every = [chunk.tobytes() for chunk in unlimited]
  assert len(set(every)) == len(every) == 11, 'the test needs chunks that can be told apart'
  limited: Any = Chunks([whole_stream(info, config) for info in whole], config, limit)
  picked = [every.index(chunk.tobytes()) for chunk in limited]
  assert len(limited) == limit and picked[0] == 0
  gaps = np.diff([*picked, 11])
  assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1
  assert (limited.num_available, limited.num_samples) == (11, 11)


def test_a_limit_above_the_number_of_chunks(files):
  config = DataConfig(chunk_size=4)
  streams = [whole_stream(info, config) for info, _, _ in files]
  everything = Chunks(streams, config)
  assert len(Chunks(streams, config, 10**9)) == len(everything.limited(10**9)) == len(everything)
  assert len(everything.limited(2)) == 2
  assert len(everything.limited(2).limited(5)) == 2


@pytest.mark.parametrize(
  ('num_samples', 'fraction', 'train', 'valid'),
  [
    (10, 0.1, 9, 1),
    (10, 0.25, 8, 2),
    (3, 0.01, 2, 1),
    (2, 0.9, 1, 1),
    (10, 0.99, 1, 9),
    (1, 0.5, 1, 0),
    (0, 0.5, 0, 0),
  ],
)
def test_split_in_time(files, num_samples, fraction, train, valid):
  stream = Stream(info=files[3][0], first=1, last=1 + num_samples)
  early, late = split_stream(stream, fraction)
  assert (early.num_samples, late.num_samples) == (train, valid)
  assert (early.first, early.last, late.last) == (1, late.first, stream.last)


@pytest.mark.parametrize('layout', LAYOUTS, ids=str)
def test_the_parts_of_a_split_file_hold_its_samples(files, layout):
  config = DataConfig(chunk_size=4, use_16bit=True, **layout)
  info, samples, bits = files[3]
  parts = split_stream(whole_stream(info, config), 0.3)
  tokens = [np.concatenate(list(cast(Any, Chunks([part], config)))) for part in parts]
  np.testing.assert_array_equal(np.concatenate(tokens), tokens_of(samples, bits, config))
  assert len(tokens[1]) == 2 * round(0.3 * parts[1].last)


@pytest.mark.parametrize(('layout', 'first', 'skipped'), [(LAYOUTS[0], 4, 4), (LAYOUTS[1], 4, 6), (LAYOUTS[1], 6, 6)])
def test_the_beginning_of_a_file_may_be_skipped(files, layout, first, skipped):
  config = DataConfig(chunk_size=4, use_16bit=True, **layout)
  info, samples, bits = files[3]
  stream = whole_stream(info, config, 'd', first)
  tokens = np.concatenate(list(cast(Any, Chunks([stream], config))))
  np.testing.assert_array_equal(tokens, tokens_of(samples[skipped:], bits, config))
  # In blocks there may be no other whole one.
  assert whole_stream(info, config, 'd', 10).num_samples == (1 if layout is LAYOUTS[0] else 0)


def test_a_file_that_shrank_is_an_error(tmp_path):
  write_wav(tmp_path / 'a.wav', 100, 1, 16)
  config = DataConfig(chunk_size=50)
  chunks = Chunks([whole_stream(read_pcm_info(tmp_path / 'a.wav'), config)], config)
  (tmp_path / 'a.wav').write_bytes((tmp_path / 'a.wav').read_bytes()[:-2])
  assert len(chunks[0]) == 50
  with pytest.raises(AudioFormatError, match='became shorter'):
    chunks[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
  num_frames=st.integers(0, 30),
  num_channels=st.integers(1, 3),
  bits=st.sampled_from([8, 16, 24, 32]),
  kind=st.sampled_from(KINDS),
  layout=st.sampled_from(LAYOUTS),
  cuts=st.lists(st.integers(0, 90), max_size=4),
)
def test_spans_join_to_the_whole(tmp_path, num_frames, num_channels, bits, kind, layout, cuts):
  samples = write_wav(tmp_path / 'a.wav', num_frames, num_channels, bits)
  config = DataConfig(**kind, **layout)
  info = read_pcm_info(tmp_path / 'a.wav')
  length = whole_stream(info, config).num_samples
  bounds = sorted([0, length, *(min(cut, length) for cut in cuts)])
  spans = [read_tokens(info, start, stop, config) for start, stop in pairwise(bounds)]
  np.testing.assert_array_equal(np.concatenate(spans), tokens_of(samples, bits, config))


@pytest.mark.parametrize('limit', [None, 3])
def test_the_file_of_a_chunk(files, limit):
  config = DataConfig(chunk_size=4)
  chunks = Chunks([whole_stream(info, config) for info, _, _ in files], config, limit)
  assert [chunks.path(index).stem for index in range(len(chunks))] == (
    ['1', '2', '2', '3', '3', '3', '5', '5', '5'] if limit is None else ['1', '3', '5']
  )
  with pytest.raises(IndexError):
    chunks.path(len(chunks))
