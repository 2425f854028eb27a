"""Our rows for gzip, lzma and FLAC beside what the published reference's own code counts on the same chunks.

  python bench/compare_with_reference.py --reference CHECKOUT [--audio_dir DIR] [--num_chunks 100] [--pydub FOLDER]

CHECKOUT is a checkout of google-deepmind/language_modeling_is_compression. Its compressors/compressor.py, flac.py and
png.py, constants.py and `evaluate_compressor_chunked` of compress.py run as they stand, with the real pydub (`pip
install pydub`; --pydub names the folder if it was installed with `--target`) and ffmpeg. What they only import is
replaced by empty modules: absl's flags, the data loaders, utils, and the language model with its network.

Its FLAC takes the loader's unsigned bytes for signed ones, so that silence jumps between the ends of the scale: that
row says what its code counts, and `flac -8` what FLAC does.

Chunks are 2,048 top bytes of the first channel, as its data loader makes them, without a shorter tail. Printed are the
bytes of all chunks, and with the header counted once. The exit code is 1 unless all are equal to the byte.
"""

import argparse
import importlib
import itertools
import json
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = 'language_modeling_is_compression'
_CHUNK_BYTES = 2048
_NAMES = {'gzip': 'gzip', 'lzma': 'lzma', 'flac': 'ffmpeg-flac'}  # The reference's name: ours.
_TIME_LIMIT_SECONDS = 60


def main() -> int:
  parser = argparse.ArgumentParser(description='Compares compressed sizes with those of the published reference.')
  parser.add_argument('--reference', required=True, type=Path)
  parser.add_argument('--audio_dir', type=Path, default=_ROOT / 'examples' / 'audio')
  parser.add_argument('--num_chunks', type=int, default=100)
  parser.add_argument('--pydub', type=Path, help='folder that pydub was installed in')
  parser.add_argument('--contender', choices=('reference', 'ours'), help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.contender:
    chunks = list(itertools.islice(_chunks(arguments.audio_dir), arguments.num_chunks))
    if not chunks:
      sys.exit(f'{arguments.audio_dir}: expected WAV files with {_CHUNK_BYTES} frames or more, found none')
    print(json.dumps(_ours(chunks) if arguments.contender == 'ours' else _reference(chunks, arguments)))
    return 0
  reference, ours = (_measured(contender) for contender in ('reference', 'ours'))
  print(f'{reference["num_chunks"]} chunks of {_CHUNK_BYTES} bytes\n')
  print(f'{"":<6}{"":<14}{"reference":>12}{"ours":>12}')
  for name, header in itertools.product(_NAMES, ('every header', 'one header')):
    figures = reference[name][header], ours[name][header]
    print(f'{name:<6}{header:<14}{figures[0]:>12,}{figures[1]:>12,}{"" if figures[0] == figures[1] else "  NOT EQUAL"}')
  return 0 if reference == ours else 1


def _measured(contender: str) -> dict[str, Any]:
  """In a process of its own, since the two packages have the same name."""
  command = [sys.executable, __file__, *sys.argv[1:], '--contender', contender]
  done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
  if done.returncode:
    sys.exit(done.returncode)
  return json.loads(done.stdout.splitlines()[-1])


def _chunks(folder: Path) -> Iterator[bytes]:
  from language_modeling_is_compression.audio.frames import read_pcm_frames
  from language_modeling_is_compression.audio.parsing import read_pcm_info

  for path in sorted(folder.rglob('*.wav')):
    info = read_pcm_info(path)
    samples = read_pcm_frames(info, 0, info.num_frames)[:, 0] >> (info.resolution_bits - 8)
    data = (samples + 128).astype(np.uint8).tobytes()
    for start in range(0, len(data) - _CHUNK_BYTES + 1, _CHUNK_BYTES):
      yield data[start : start + _CHUNK_BYTES]


def _ours(chunks: list[bytes]) -> dict[str, Any]:
  from language_modeling_is_compression.evaluation.compressors.compressor import Missing, Pcm, find_compressors

  pcm = Pcm(chunks=chunks, sample_bytes=1, sample_rate_hz=16_000)
  results: dict[str, Any] = {'num_chunks': len(chunks)}
  found = find_compressors(list(_NAMES.values()), (), time_limit_seconds=_TIME_LIMIT_SECONDS)
  for name, compressor in zip(_NAMES, found, strict=True):
    if isinstance(compressor, Missing):
      sys.exit(f'{compressor.name}: {compressor.reason}')
    outcome = compressor.chunked(pcm)
    once = outcome.compressed_bytes - (len(chunks) - 1) * outcome.header_bytes
    results[name] = {'every header': outcome.compressed_bytes, 'one header': once}
  return results


def _reference(chunks: list[bytes], arguments: argparse.Namespace) -> dict[str, Any]:
  compress, compressor = _import_reference(arguments.reference.resolve(), arguments.pydub)
  raw_bytes = sum(map(len, chunks))
  results: dict[str, Any] = {'num_chunks': len(chunks)}
  for name in _NAMES:
    results[name] = {}
    for label, once in (('every header', False), ('one header', True)):
      rate, _ = compress.evaluate_compressor_chunked(
        compress_fn=compressor.COMPRESS_FN_DICT[name],
        get_data_generator_fn=lambda: iter(chunks),
        num_chunks=len(chunks),
        count_header_only_once=once,
        use_tqdm=False,
      )
      results[name][label] = round(rate * raw_bytes)  # It returns the quotient of two integers.
  return results


def _import_reference(checkout: Path, pydub: Path | None) -> tuple[Any, Any]:
  """The reference's compress and compressors.compressor modules."""
  for name in [name for name in sys.modules if name.partition('.')[0] == _PACKAGE]:
    del sys.modules[name]
  if pydub:
    sys.path.append(str(pydub.resolve()))
  package = _stub(_PACKAGE, __path__=[str(checkout)])
  flag = types.SimpleNamespace(value=None)
  flags = _stub('absl.flags', DEFINE_enum=lambda *_: flag, DEFINE_integer=lambda *_: flag)
  _stub('absl', app=_stub('absl.app'), flags=flags, logging=_stub('absl.logging'))
  package.data_loaders = _stub(f'{_PACKAGE}.data_loaders', GET_DATA_GENERATOR_FN_DICT={})
  package.utils = _stub(f'{_PACKAGE}.utils')
  compressors = _stub(f'{_PACKAGE}.compressors', __path__=[str(checkout / 'compressors')])
  compressors.language_model = _stub(f'{_PACKAGE}.compressors.language_model', compress=None)
  try:
    compressor = importlib.import_module(f'{_PACKAGE}.compressors.compressor')
    return importlib.import_module(f'{_PACKAGE}.compress'), compressor
  except ImportError as error:
    sys.exit(f'{error}: the reference needs pydub and pillow, and its checkout at {checkout}')


def _stub(name: str, **attributes: Any) -> Any:
  module = types.ModuleType(name)
  vars(module).update(attributes)
  sys.modules[name] = module
  return module


if __name__ == '__main__':
  sys.exit(main())
