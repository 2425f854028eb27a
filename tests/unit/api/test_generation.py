"""`generate`: what comes out for what goes in, and what is refused."""

import re
from typing import Any

import numpy as np
import pytest
from support.generation_cases import RATE_HZ, byte_model, hybrid_model
from support.hybrid_cases import tone
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

import language_modeling_is_compression as lmic
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.network.checkpoint import save_model

SIXTEEN = DataConfig(use_16bit=True, chunk_size=16)
STEREO = DataConfig(use_16bit=True, channels='stereo', stereo_blocking_n=16, chunk_size=32)


def write_wav(path, samples, *, bits=16, rate_hz=RATE_HZ, **more):
  path.write_bytes(build_wav(pcm_bytes(samples, bits), channels=samples.shape[1], bits=bits, rate_hz=rate_hz, **more))
  return path


@pytest.mark.parametrize(
  ('model', 'asked', 'dtype', 'shape'),
  [
    (byte_model(SIXTEEN), {}, np.int16, (1, 160, 1)),
    (byte_model(DataConfig(chunk_size=16)), {'num_sequences': 3}, np.uint8, (3, 160, 1)),
    (byte_model(DataConfig(bit_depth=24, chunk_size=16)), {}, np.int32, (1, 160, 1)),
    (byte_model(STEREO), {}, np.int16, (1, 160, 2)),
    (byte_model(STEREO), {'num_channels': 3}, np.int16, (1, 160, 3)),
    (byte_model(SIXTEEN), {'sample_rate': 16_000}, np.int16, (1, 320, 1)),
    (hybrid_model(), {}, np.int16, (1, 320, 1)),  # It does not say a rate, so 16 kHz are assumed.
    (hybrid_model(), {'num_channels': 2, 'bit_depth': 8, 'sample_rate': 1000}, np.uint8, (1, 20, 2)),
  ],
)
def test_format_without_a_seed(model, asked, dtype, shape):
  with lmic.generate(model, duration=0.02, **asked) as generation:
    found = generation.read()
    assert (found.dtype, found.shape) == (dtype, shape)
    assert (generation.num_frames, generation.num_channels) == shape[1:]
    assert generation.bit_depth == {np.uint8: 8, np.int16: 16, np.int32: 24}[dtype]
    assert generation.sample_rate_hz == round(shape[1] / 0.02)


@pytest.mark.parametrize('bits', [8, 16, 24])
@pytest.mark.parametrize('channels', [1, 2])
def test_format_is_the_seeds(tmp_path, bits, channels):
  seed = tone(300, channels=channels) << 8 >> (24 - bits)
  path = write_wav(tmp_path / 'seed.wav', seed, bits=bits, rate_hz=22_050)
  with lmic.generate(hybrid_model(), duration=0.01, seed_audio=path) as generation:
    pcm = generation.pcm
    assert (pcm.sample_bytes, pcm.num_channels, pcm.sample_rate_hz) == (bits // 8, channels, 22_050)
    known = generation.seed_samples.astype(np.int64) - (128 if bits == 8 else 0)
    np.testing.assert_array_equal(known, seed)
    assert generation.read().shape == (1, 220, channels)


def test_a_seed_of_two_channels_is_mixed_down_for_a_model_of_one(tmp_path):
  seed = tone(300, channels=2)
  path = write_wav(tmp_path / 'seed.wav', seed)
  mixed = write_wav(tmp_path / 'mixed.wav', (seed.sum(axis=1, keepdims=True) * 2 + 2) // 4)
  model = byte_model(SIXTEEN)
  first, second = (lmic.generate(model, duration=0.01, seed_audio=each) for each in (path, mixed))
  with first, second:
    np.testing.assert_array_equal(first.seed_samples, second.seed_samples)
    np.testing.assert_array_equal(first.read(), second.read())


def test_part_of_a_seed(tmp_path):
  seed = tone(800)
  path = write_wav(tmp_path / 'seed.wav', seed)
  part: dict[str, Any] = {'seed_offset': 0.01, 'seed_duration': 0.025}
  model = hybrid_model()
  with (
    lmic.generate(model, duration=0.01, seed_audio=path, **part) as by_path,
    lmic.generate(model, duration=0.01, seed_audio=seed.astype(np.int16), sample_rate=RATE_HZ, **part) as by_array,
    lmic.generate(model, duration=0.01, seed_audio=seed[80:280].astype(np.int16), sample_rate=RATE_HZ) as whole,
  ):
    np.testing.assert_array_equal(by_path.seed_samples, seed[80:280])
    found = by_path.read()
    np.testing.assert_array_equal(found, by_array.read())
    np.testing.assert_array_equal(found, whole.read())


def test_blocks_come_as_they_are_drawn_and_progress_is_told():
  told: list[tuple[int, int]] = []
  seed = tone(1500).astype(np.int16)
  with lmic.generate(
    hybrid_model(),
    duration=0.3,
    seed_audio=seed,
    sample_rate=RATE_HZ,
    progress=lambda done, total: told.append((done, total)),
  ) as generation:
    assert not told
    blocks = iter(generation)
    first = next(blocks)
    assert told[-1] == (1500 + first.shape[1], 3900) and first.shape[1] < 2400
    rest = generation.read()
  assert told[-1] == (3900, 3900) and first.shape[1] + rest.shape[1] == 2400
  assert generation.read().shape == (1, 0, 1)


def test_the_same_arguments_give_the_same_samples_and_others_do_not(tmp_path):
  save_model(tmp_path / 'model.npz', byte_model(SIXTEEN))

  def samples(**arguments) -> bytes:
    with lmic.generate(tmp_path / 'model.npz', duration=0.02, **arguments) as generation:
      return generation.read().tobytes()

  plain = samples()
  assert plain == samples(seed=0, temperature=0.95, top_p=0.999, threads=1) == samples(temperature=[0.95])
  others = [samples(seed=1), samples(seed=1 << 63), samples(temperature=0), samples(top_p=0.5), samples(temperature=2)]
  assert len({plain, *others}) == 6
  assert samples(num_sequences=2, temperature=[0.95, 0.5])[: len(plain)] == plain
  numbers = {'seed': np.int64(0), 'top_p': np.float64(0.999), 'temperature': np.array([0.95]), 'threads': np.int8(1)}
  assert samples(**numbers) == plain


def test_work_is_ended_by_closing_and_by_cancelling():
  cancellation = lmic.Cancellation()
  with lmic.generate(byte_model(SIXTEEN), duration=10, cancellation=cancellation) as generation:
    next(iter(generation))
    cancellation.cancel()
    for _ in range(2):  # Not as if there were nothing left.
      with pytest.raises(lmic.CancelledError):
        generation.read()


@pytest.mark.parametrize(
  ('asked', 'message'),
  [
    ({'duration': 0}, 'duration: expected at least 0.000125 s, one sample at 8000 Hz, got 0'),
    ({'duration': -1.0}, 'duration: expected seconds, from 0 to 1,000,000, got -1.0'),
    ({'duration': float('nan')}, 'duration: expected seconds, from 0 to 1,000,000, got nan'),
    ({'duration': float('inf')}, 'duration: expected seconds, from 0 to 1,000,000, got inf'),
    ({'temperature': -0.1}, 'temperature: expected a number from 0 to 65536, got -0.1'),
    ({'temperature': float('nan')}, 'temperature: expected a number from 0 to 65536, got nan'),
    ({'temperature': [1, 1]}, 'temperature: expected one, or one for each of 1 sequences, got 2'),
    ({'temperature': []}, 'temperature: expected one, or one for each of 1 sequences, got 0'),
    ({'temperature': 10**400}, 'temperature: expected a number from 0 to 65536, got 1'),
    ({'temperature': True}, 'temperature: expected a number from 0 to 65536, got True'),
    ({'duration': 1e300}, 'duration: expected seconds, from 0 to 1,000,000, got 1e+300'),
    ({'duration': 10**400}, 'duration: expected seconds, from 0 to 1,000,000, got 1'),
    ({'seed': True}, 'seed: expected an integer from 0'),
    ({'seed_audio': '-'}, 'seed_audio: expected a file, got standard input: save it first'),
    ({'top_p': 0}, 'top_p: expected a number above 0 and at most 1, got 0'),
    ({'top_p': 1.5}, 'top_p: expected a number above 0 and at most 1, got 1.5'),
    ({'top_p': float('nan')}, 'top_p: expected a number above 0 and at most 1, got nan'),
    ({'seed': -1}, 'seed: expected an integer from 0 to 18446744073709551615, got -1'),
    ({'seed': 1 << 64}, 'seed: expected an integer from 0'),
    ({'num_sequences': 0}, 'num_sequences: expected an integer from 1 to 256, got 0'),
    ({'num_sequences': 257}, 'num_sequences: expected an integer from 1 to 256, got 257'),
    ({'sample_rate': 0}, 'sample_rate: expected an integer from 1 to'),
    ({'threads': 0}, 'threads: expected an integer of 1 or more, got 0'),
    ({'bit_depth': 12}, 'bit_depth: expected 8, 16, 24 or 32, got 12'),
    ({'bit_depth': 8}, 'the model generates 16 bits, not 8'),
    ({'num_channels': 2}, 'the model generates one channel, not 2'),
    ({'seed_offset': 1}, 'there is no seed audio'),
    ({'seed_audio': tone(9).astype(np.int16)}, 'sample_rate: name it'),
  ],
)
def test_what_is_refused(asked, message):
  with pytest.raises((lmic.InputError, lmic.ConfigError), match='^(.*: )?' + re.escape(message)):
    lmic.generate(byte_model(SIXTEEN), **asked)


@pytest.mark.parametrize(
  ('wav', 'asked', 'message'),
  [
    ({}, {'sample_rate': 16_000}, 'expected 16000 Hz, as is wanted, got 8000'),
    ({'rate_hz': 16_000}, {}, 'expected 8000 Hz, as the model was trained on, got 16000'),
    ({'bits': 8}, {}, 'expected 16 bits a sample, as they are to be generated, got 8'),
    ({'bits': 24}, {}, 'expected 16 bits a sample, as they are to be generated, got 24'),
    ({'rate_hz': (1 << 32) - 1}, {}, 'expected a sample rate of at most 16777216 Hz, got 4294967295'),
    ({'rate_hz': 0}, {}, 'it does not say its sample rate'),
    ({'samples': tone(0)}, {}, 'expected sound to go on with, got no samples'),
    ({}, {'seed_offset': 0.1}, 'seed_offset: expected less than the 0.100 s of'),
    ({}, {'seed_offset': -1}, 'seed_offset: expected seconds, from 0 to 1,000,000, got -1'),
    ({}, {'seed_duration': 0}, 'seed_duration: expected at least'),
  ],
)
def test_seeds_that_are_refused(tmp_path, wav, asked, message):
  samples = {'samples': tone(800), **wav}.pop('samples')
  path = write_wav(tmp_path / 'seed.wav', samples, **{key: value for key, value in wav.items() if key != 'samples'})
  with pytest.raises((lmic.InputError, lmic.ConfigError), match=re.escape(message)):
    lmic.generate(byte_model(SIXTEEN), seed_audio=path, **asked)


def test_seeds_of_another_kind_are_refused(tmp_path):
  path = tmp_path / 'seed.wav'
  for data, message in (
    (b'no sound', 'not a file of samples'),
    (build_wav(bytes(64), bits=32, tag=IEEE_FLOAT), 'got floats'),
  ):
    path.write_bytes(data)
    with pytest.raises(lmic.InputError, match=message):
      lmic.generate(byte_model(SIXTEEN), seed_audio=path)
  with pytest.raises(lmic.InputError, match='cannot be'):
    lmic.generate(byte_model(SIXTEEN), seed_audio=tmp_path / 'nothing.wav')
  write_wav(path, tone(100, channels=3))
  with pytest.raises(lmic.ConfigError, match='as many channels as are wanted, 2, got 3'):
    lmic.generate(byte_model(STEREO), seed_audio=path, num_channels=2)


def test_a_rate_that_the_user_names_goes_before_that_of_training(tmp_path):
  path = write_wav(tmp_path / 'seed.wav', tone(100), rate_hz=16_000)
  with lmic.generate(byte_model(SIXTEEN), seed_audio=path, sample_rate=16_000, duration=0.001) as generation:
    assert generation.read().shape == (1, 16, 1)
  silent = ByteModel(params=byte_model(SIXTEEN).params, spec=byte_model(SIXTEEN).spec, provenance={})
  with lmic.generate(silent, seed_audio=path, duration=0.001) as generation:
    assert generation.sample_rate_hz == 16_000
