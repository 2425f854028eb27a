"""A spectrogram has a tone where it is, in time and in frequency."""

import numpy as np
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.evaluation.look.sound import DYNAMIC_RANGE, spectrogram


def info_of(folder, samples: np.ndarray, rate_hz: int = 16_000) -> PcmInfo:
  samples = np.asarray(samples).round().astype(np.int64).reshape(len(samples), -1)
  (folder / 'a.wav').write_bytes(build_wav(pcm_bytes(samples, 16), channels=samples.shape[1], rate_hz=rate_hz))
  return read_pcm_info(folder / 'a.wav')


def test_a_tone_that_begins_in_the_middle(tmp_path):
  times = np.arange(32_000)
  tone = 9000 * np.sin(2 * np.pi * 3000 / 16_000 * times) * (times >= 16_000)
  levels = spectrogram(info_of(tmp_path, np.stack([tone, 0 * tone], axis=1)))
  rows, columns = levels.shape
  assert levels.max() == 0 and levels.min() == -DYNAMIC_RANGE
  sounding = levels[:, columns // 2 + 3 : -3]
  assert (np.abs(sounding.argmax(axis=0) / rows * 8000 - 3000) < 80).all()
  assert (levels[:, : columns // 2 - 3] == -DYNAMIC_RANGE).all()


def test_what_is_twice_as_loud_is_6_decibels_above(tmp_path):
  times = np.arange(32_000)
  tone = np.sin(2 * np.pi * 1000 / 16_000 * times) * np.where(times < 16_000, 4000, 8000)
  peaks = spectrogram(info_of(tmp_path, tone)).max(axis=0)
  assert abs(peaks[10:-10][: len(peaks) // 3].mean() + 6.02) < 0.1 and abs(peaks[-len(peaks) // 3 : -10].mean()) < 0.1


def test_silence_and_very_little(tmp_path):
  assert (spectrogram(info_of(tmp_path, np.full(5000, 77))) == -DYNAMIC_RANGE).all()
  assert spectrogram(info_of(tmp_path, np.array([5]))).shape[1] == 1
  assert spectrogram(info_of(tmp_path, np.array([5, -5, 6]), rate_hz=1)).size > 0
  assert np.isfinite(spectrogram(info_of(tmp_path, np.arange(40_000) % 9, rate_hz=384_000))).all()
