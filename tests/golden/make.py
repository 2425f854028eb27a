"""Makes the golden files of version 1 of the format, once: PYTHONPATH=.:tests python tests/golden/make.py.

It overwrites nothing. Files of a released version stay as they are for ever; another version is another folder.
"""

import sys
from pathlib import Path

import numpy as np
from support import fixed_files, lmic_cases, lmic_frames
from support.wav_builder import build_wav

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.quantize import quantize_byte_model

FOLDER = Path(__file__).parent / 'v1'
NUM_FRAMES = 150


def main() -> None:
  files = _files()
  FOLDER.mkdir(exist_ok=True)
  if any(FOLDER.iterdir()):
    sys.exit(f'{FOLDER} has files already; golden files are never made anew')
  for use_16bit in (False, True):
    save_model(FOLDER / f'{_model_name(use_16bit)}.npz', _model(use_16bit))
  for name, data in files.items():
    (FOLDER / name.replace(',', '').replace(' ', '_')).write_bytes(data)


def _files() -> dict[str, bytes]:
  files = {}
  originals = {**lmic_cases.small_originals(), **{f'drawn {bits}': _drawn(bits) for bits in (8, 16, 24)}}
  for name, original in originals.items():
    files[f'{name}.original'] = original
    for use_16bit in (False, True):
      coder = ChunkCoder(ByteCoder(CpuPredictor(quantize_byte_model(_model(use_16bit)))))
      files[f'{name}.{_model_name(use_16bit)}.lmic'] = fixed_files.compressed(original, coder)
  for name, data in _broken(files['drawn 16.model-16.lmic'], files['drawn 16.original']).items():
    files[f'broken {name}.lmic'] = data
  return files


def _model_name(use_16bit: bool) -> str:
  return 'model-16' if use_16bit else 'model-8'


def _model(use_16bit: bool) -> ByteModel:
  """A tiny one that likes some bytes much better than others, so that it codes what is drawn from it best."""
  model = lmic_cases.tiny_model(use_16bit=use_16bit)
  bias = np.zeros(256, np.float32)
  bias[[0, 1, 2, 3, 60, 61, 124, 125, 127, 128, 200, 255]] = 1.0
  top = {**model.params['~'], 'output_bias': bias}
  return ByteModel(params={**model.params, '~': top}, spec=model.spec, provenance={})


def _drawn(bits: int) -> bytes:
  """A stereo WAV of samples drawn from the model that knows them best."""
  channels = [_drawn_samples(bits // 8, np.random.default_rng(bits + channel)) for channel in range(2)]
  payload = np.stack(channels, axis=1).tobytes()
  return build_wav(payload, channels=2, bits=bits, before=[(b'LIST', b'golden')], trailer=b'end')


def _drawn_samples(sample_bytes: int, rng: np.random.Generator) -> np.ndarray:
  """Uint8 [N, S], as they stand in a WAV file."""
  predictor = CpuPredictor(quantize_byte_model(_model(sample_bytes > 1)))
  lanes = predictor.lanes(1)
  planes = rng.geometric(0.3, (NUM_FRAMES, sample_bytes)).astype(np.uint8)
  for sample in planes:
    for place in range(predictor.places):
      sample[place] = np.searchsorted(lanes.cdfs(1)[0], rng.integers(1 << 24), 'right') - 1
      lanes.push(sample[place : place + 1].astype(np.int64))
  if sample_bytes > 1:
    planes[:, 0] ^= 0x80
  return planes[:, ::-1]


def _broken(sound: bytes, original: bytes) -> dict[str, bytes]:
  def flipped(position: int, data: bytes = sound) -> bytes:
    position %= len(data)
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]

  middle = len(sound) // 2
  record = 100 + 21 + int.from_bytes(sound[105:109], 'little')  # Of the chunk after the header's.
  return {
    'flipped bit in the header': flipped(30),
    'flipped bit in a record': flipped(record + 9),
    'flipped bit in a body': flipped(record + 60),
    'flipped bit in a body, its check put right': lmic_frames.sealed(flipped(record + 60)),
    'flipped bit in the hash, its check put right': lmic_frames.sealed(flipped(-30)),
    'flipped bit at the end': flipped(-1),
    'cut in the middle': sound[:middle],
    'cut in the header': sound[:50],
    'bytes inserted': sound[:middle] + b'inserted' + sound[middle:],
    'bytes appended': sound + b'appended',
    'another version': lmic_frames.sealed(flipped(9)),
    'contradicting header': lmic_frames.sealed(sound[:11] + b'\x09' + sound[12:]),
    'the original': original,
    'empty': b'',
  }


if __name__ == '__main__':
  main()
