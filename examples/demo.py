"""Trains a small model on examples/audio, compares it with other compressors, then compresses a real file.

Run it as `python examples/demo.py` from the root of the repository, or as `make demo`. Everything it prints is measured
while it runs.
"""

import math
import sys
from pathlib import Path

import numpy as np

import data_paths
import train_audio
from language_modeling_is_compression import Model, cli, load_model
from language_modeling_is_compression.audio.wav import WavInfo, read_wav_info
from language_modeling_is_compression.config import DataConfig
from language_modeling_is_compression.data.chunks import Chunks, read_tokens, whole_stream
from language_modeling_is_compression.evaluation.compressors import Compressor, Missing, Pcm, find_compressors

_ROOT = Path(__file__).resolve().parents[1]
_AUDIO = _ROOT / 'examples' / 'audio'
_TIME_LIMIT_SECONDS = 60


def main() -> int:
  """Returns the exit code of the training, 0 if all went well."""
  output_dir = _ROOT / 'demo'
  print(f'Training on {_AUDIO / "train"}; Ctrl-C stops it and keeps what it has learnt.', file=sys.stderr)
  flags = [
    '--config',
    str(_ROOT / 'configs' / 'demo.toml'),
    '--audio_dir',
    str(_AUDIO),
    '--output_dir',
    str(output_dir),
  ]
  code = train_audio.main(flags)
  if code not in (0, 130):
    return code
  model = load_model(output_dir / 'demo.npz')
  infos = [read_wav_info(path) for path in data_paths.get_valid_paths(_AUDIO)]
  _print_table(model, infos)
  return _round_trip(infos[0].path, output_dir) or code


def _round_trip(path: Path, output_dir: Path) -> int:
  """Compresses a file with the model in the package, decompresses it, and compares. Returns 0 if nothing is lost."""
  packed, unpacked = output_dir / f'{path.name}.lmic', output_dir / 'restored.wav'
  print('\nNow a whole file, with the model that comes with the package (it has not heard it either):\n', flush=True)
  for command in (['compress', str(path), '-o', str(packed)], ['decompress', str(packed), '-o', str(unpacked)]):
    shown = [Path(word).name if '/' in word else word for word in command]
    print(f'$ lmic {" ".join(shown)}', flush=True)
    if code := cli.main([*command, '-f']):
      return code
  same = unpacked.read_bytes() == path.read_bytes()
  print(f'$ cmp {path.name} {unpacked.name}: {"the same, bit for bit" if same else "NOT THE SAME"}')
  info = read_wav_info(path)
  pcm = _whole_file(info, DataConfig(use_16bit=True, tokenization='sample'))
  for flac in _compressors('flac'):
    print(f'For comparison, {flac.info.name}: {flac.chunked(pcm).compressed_bytes:,} bytes')
  return 0 if same else 1


def _print_table(model: Model, infos: list[WavInfo]) -> None:
  config = model.data_config
  files = [_whole_file(info, config) for info in infos]
  num_samples = sum(info.num_frames for info in infos)
  model_bits = sum(_code_length_bits(model, info) for info in infos)
  rows = [(f'this model, {model.num_parameters:,} parameters *', model_bits)]
  for compressor in _compressors('gzip', 'xz', 'flac'):
    rows.append((compressor.info.name, 8 * sum(compressor.chunked(pcm).compressed_bytes for pcm in files)))
  print(f'\n{len(files)} held-out files, {num_samples:,} samples of {config.sample_bits} bits\n')
  print(f'{"":<44}{"bits per sample":>16}{"compression rate":>18}')
  for name, bits in sorted(rows, key=lambda row: row[1]):
    print(f'{name:<44}{bits / num_samples:>16.3f}{bits / num_samples / config.sample_bits:>18.1%}')
  print('\nCompression rate is compressed / raw size of the samples, lower is better; the model itself is not counted.')
  print('* Code length of the held-out samples, which an entropy coder reaches to within a fraction of a percent.')
  print('  The others: size of the output, file by file, decoded and compared.')


def _whole_file(info: WavInfo, config: DataConfig) -> Pcm:
  """All samples of a file, one per frame, as one chunk."""
  tokens = read_tokens(info, 0, info.num_frames, config)
  # Wider samples than bytes are signed in files.
  samples = tokens if tokens.itemsize == 1 else tokens ^ (1 << (config.sample_bits - 1))
  return Pcm(chunks=[samples.tobytes()], sample_bytes=tokens.itemsize, sample_rate_hz=info.sample_rate_hz)


def _compressors(*names: str) -> list[Compressor]:
  found = find_compressors(names, (), time_limit_seconds=_TIME_LIMIT_SECONDS)
  return [compressor for compressor in found if not isinstance(compressor, Missing)]


def _code_length_bits(model: Model, info: WavInfo) -> float:
  """Sum of -log2 p of a file's samples."""
  nats = 0.0
  chunks = Chunks([whole_stream(info, model.data_config)], model.data_config)
  for index in range(len(chunks)):
    tokens = chunks[index]
    padded = np.pad(tokens, (0, chunks.max_tokens - len(tokens)))  # One shape, one compilation.
    log_probs = model.log_probs(padded[None])[0, : len(tokens)]
    nats -= float(np.take_along_axis(log_probs, tokens[:, None].astype(int), axis=1).sum(dtype=np.float64))
  return nats / math.log(2)


if __name__ == '__main__':
  sys.exit(main())
