"""Trains a small model on examples/audio, compares it with other compressors, then compresses a real file.

Run it as `python examples/demo.py` from the root of the repository, or as `make demo`. Everything it prints is measured
while it runs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.cli import main as lmic_main
from language_modeling_is_compression.cli import train
from language_modeling_is_compression.data.paths import get_valid_paths
from language_modeling_is_compression.evaluation.compressors.compressor import Compressor, Missing, find_compressors
from language_modeling_is_compression.evaluation.compressors.models import ModelCompressor
from language_modeling_is_compression.quantized.loading import DEFAULT

_ROOT = Path(__file__).resolve().parents[1]
_AUDIO = _ROOT / 'examples' / 'audio'
_TIME_LIMIT_SECONDS = 60


def main() -> int:
  """Returns the exit code of the training, 0 if all went well."""
  output_dir = _ROOT / 'demo'
  print(f'Training on {_AUDIO / "train"}; Ctrl-C stops it and saves the model.', file=sys.stderr)
  flags = [
    '--config',
    str(_ROOT / 'configs' / 'demo.toml'),
    '--audio_dir',
    str(_AUDIO),
    '--output_dir',
    str(output_dir),
  ]
  code = train.main(flags, prog='demo')
  if code not in (0, 130):
    return code
  files = get_valid_paths(_AUDIO)
  _print_table(output_dir / 'demo.npz', files)
  return _round_trip(files[0], output_dir) or code


def _print_table(model: Path, files: Sequence[Path]) -> None:
  """Whole files through every compressor: each is decoded and compared."""
  infos = [read_pcm_info(path) for path in files]
  samples = sum(info.num_frames * info.num_channels for info in infos)
  data_bytes = sum(info.num_frames * info.frame_bytes for info in infos)
  ours = [
    ModelCompressor(name, path, device='cpu', lanes=2)
    for name, path in (('this model', str(model)), ('the model in the package', DEFAULT))
  ]
  rows = [(compressor.info.name, _total_bytes(compressor, files)) for compressor in (*ours, *_others())]
  print(f'\n{len(files)} held-out files, {samples:,} samples of {data_bytes * 8 // samples} bits\n')
  print(f'{"":<28}{"bytes":>12}{"bits per sample":>18}{"compression rate":>18}')
  for name, size in sorted(rows, key=lambda row: row[1]):
    print(f'{name:<28}{size:>12,}{8 * size / samples:>18.3f}{size / data_bytes:>18.1%}')
  print(
    '\nCompression rate: all bytes of output over those of the samples; lower is better. Every file was decoded and'
  )
  print('compared. The models are not counted.')


def _others() -> list[Compressor]:
  names = ('gzip', 'xz', 'flac', 'wavpack')
  found = find_compressors(names, (), time_limit_seconds=_TIME_LIMIT_SECONDS)
  return [compressor for compressor in found if not isinstance(compressor, Missing)]


def _total_bytes(compressor: Compressor, files: Sequence[Path]) -> int:
  return sum(compressor.whole(path).compressed_bytes for path in files)


def _round_trip(path: Path, output_dir: Path) -> int:
  """Compresses a file with the model in the package, decompresses it, and compares. Returns 0 if nothing is lost."""
  packed, unpacked = output_dir / f'{path.name}.lmic', output_dir / 'restored.wav'
  print('\nNow one file by the commands, with the packaged model (held out from its training too):\n')
  for command in (['compress', str(path), '-o', str(packed)], ['decompress', str(packed), '-o', str(unpacked)]):
    shown = [Path(word).name if '/' in word else word for word in command]
    print(f'$ lmic {" ".join(shown)}', flush=True)
    if code := lmic_main.main([*command, '-f']):
      return code
  same = unpacked.read_bytes() == path.read_bytes()
  print(f'$ cmp {path.name} {unpacked.name}: {"the same, bit for bit" if same else "NOT THE SAME"}')
  return 0 if same else 1


if __name__ == '__main__':
  sys.exit(main())
