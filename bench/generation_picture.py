"""Picture of docs/GENERATION.md: spectrograms of a sound, and of what models make of its beginning.

  python bench/generation_picture.py SOUND.wav OUT.png [--models bytes default] [--seconds 1.5]

Each model goes on with the first seconds of SOUND.wav, at the default temperature.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import language_modeling_is_compression as lmic
from language_modeling_is_compression.audio.pcm import raw_from_integers, wav_integers
from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.evaluation.look.sound import DYNAMIC_RANGE, spectrogram
from language_modeling_is_compression.evaluation.report.style import figure_settings, new_figure
from language_modeling_is_compression.format.surroundings import wav_envelope

_DPI = 140  # Of a page that is read on screens.


def main() -> int:
  parser = argparse.ArgumentParser(description='Draws a sound and its continuations.')
  parser.add_argument('sound', type=Path)
  parser.add_argument('out', type=Path)
  parser.add_argument('--models', nargs='+', default=['bytes', 'default'])
  parser.add_argument('--seconds', type=float, default=1.5)
  arguments = parser.parse_args()
  seconds = arguments.seconds
  info = read_info(arguments.sound)
  rate = info.sample_rate_hz
  count = round(seconds * rate)
  original = read_frames(info, 0, min(info.num_frames, 2 * count))
  sounds = {'the recording itself': original}
  for model in arguments.models:
    with lmic.generate(model, duration=seconds, seed_audio=arguments.sound, seed_duration=seconds) as generation:
      sounds[f'{seconds:g} s of it, and what model "{model}" makes of them'] = np.concatenate(
        [generation.seed_samples, generation.read()[0]]
      )
  with figure_settings():
    figure = new_figure(1.5 * len(sounds) + 0.3)
    for axes, (title, samples) in zip(figure.subplots(len(sounds), sharex=True), sounds.items(), strict=True):
      image = axes.imshow(
        _spectrogram(samples, rate, info.sample_bytes),
        aspect='auto',
        origin='lower',
        cmap='cividis',
        extent=(0, len(samples) / rate, 0, rate / 2000),
        vmin=-DYNAMIC_RANGE,
      )
      axes.axvline(seconds, color='#ffffff', linestyle='--')
      axes.set_title(title)
      axes.set_ylabel('kHz')
    axes.set_xlabel('time, seconds; seed, to the left of the line, and continuation')
    figure.colorbar(image, ax=figure.axes, label='dB below the loudest', pad=0.01)
    figure.savefig(arguments.out, dpi=_DPI, metadata={'Software': None})
  return 0


def _spectrogram(samples: np.ndarray, rate: int, sample_bytes: int) -> np.ndarray:
  """Power in decibels below the loudest, [rows, columns], of signed samples [N, C]."""
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, 'sound.wav')
    pcm = wav_integers(sample_bytes=sample_bytes, num_channels=samples.shape[1], sample_rate_hz=rate)
    around = wav_envelope(pcm, len(samples))
    path.write_bytes(around.head + raw_from_integers(samples.astype(np.int32), pcm).tobytes() + around.tail)
    return spectrogram(read_info(path))


if __name__ == '__main__':
  raise SystemExit(main())
