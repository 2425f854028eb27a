"""`lmic generate` in this process: the files that it writes, and what it refuses."""

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from support.generation_cases import byte_model
from support.hybrid_cases import tone
from support.wav_builder import build_wav, pcm_bytes

import language_modeling_is_compression as lmic
from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.cli import generate
from language_modeling_is_compression.cli import main as lmic_main
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.network.checkpoint import save_model


def read_wav(path: Path) -> tuple[int, np.ndarray]:
  """Rate, and samples [N] of the first channel."""
  info = read_pcm_info(path)
  return info.sample_rate_hz, read_pcm_frames(info, 0, info.num_frames)[:, 0]


@pytest.fixture
def run(tmp_path, monkeypatch, capsysbinary):
  """Runs `lmic generate` in a folder with model.npz and seed.wav; gives its code, standard output and error."""
  monkeypatch.chdir(tmp_path)
  save_model(tmp_path / 'model.npz', byte_model(DataConfig(use_16bit=True, chunk_size=16)))
  (tmp_path / 'seed.wav').write_bytes(build_wav(pcm_bytes(tone(400), 16), rate_hz=8000))

  def run(line: str) -> tuple[int, bytes, str]:
    try:
      code = lmic_main.main(['generate', '-m', 'model.npz', *line.split()])
    except SystemExit as end:
      code = int(str(end.code))
    captured = capsysbinary.readouterr()
    return code, captured.out, captured.err.decode()

  return run


def test_a_file_and_what_is_said_of_it(run, tmp_path):
  code, out, err = run('-o out.wav --duration 0.1')
  assert (code, out) == (0, b'') and err.endswith('out.wav: 0.10 s, 8000 Hz, 16 bits, 1 channel, temperature 0.95\n')
  rate, samples = read_wav(tmp_path / 'out.wav')
  with lmic.generate('model.npz', duration=0.1) as generation:
    np.testing.assert_array_equal(samples, generation.read()[0, :, 0])
  assert rate == 8000
  assert sorted(os.listdir(tmp_path)) == ['model.npz', 'out.wav', 'seed.wav']


def test_sequences_of_their_own_temperatures_behind_a_seed(run, tmp_path):
  code, _, err = run(
    '-o out.wav --duration 0.1 --num_sequences 3 --temperature 0 0.5 1 --seed_audio seed.wav --seed_offset 0.01 '
    '--seed_duration 0.02 --include_seed --seed 3 --top_p 0.9 -T 1'
  )
  assert (
    code == 0 and 'out_3.wav: 0.10 s behind 0.02 s of the seed, 8000 Hz, 16 bits, 1 channel, temperature 1\n' in err
  )
  with lmic.generate(
    'model.npz',
    duration=0.1,
    num_sequences=3,
    temperature=[0, 0.5, 1],
    seed_audio=tone(400)[80:240].astype(np.int16),
    sample_rate=8000,
    seed=3,
    top_p=0.9,
  ) as generation:
    expected = generation.read()
  for number in range(3):
    _, samples = read_wav(tmp_path / f'out_{number + 1}.wav')
    np.testing.assert_array_equal(samples[:160], tone(400)[80:240, 0])
    np.testing.assert_array_equal(samples[160:], expected[number, :, 0])


@pytest.mark.parametrize(('bits', 'channels'), [(8, 1), (16, 2), (24, 2), (24, 1)])
def test_every_depth_is_valid_pcm(run, tmp_path, bits, channels):
  soundfile = pytest.importorskip('soundfile')
  assert run(f'-m default -o out.wav --duration 0.0101 --bit_depth {bits} --num_channels {channels} -q') == (0, b'', '')
  with soundfile.SoundFile(tmp_path / 'out.wav') as sound:
    kind = 'PCM_U8' if bits == 8 else f'PCM_{bits}'
    assert (sound.subtype, sound.channels, sound.frames, sound.samplerate) == (kind, channels, 445, 44_100)


def test_standard_output(run, tmp_path):
  assert run('-o out.wav --duration 0.1')[0] == 0
  code, out, err = run('-o - --duration 0.1')
  assert code == 0 and out == (tmp_path / 'out.wav').read_bytes() and 'standard output: 0.10 s' in err
  assert run('-o - --num_sequences 2')[0] == 2


def test_files_that_exist_stay(run, tmp_path):
  (tmp_path / 'out_2.wav').write_bytes(b'mine')
  code, _, err = run('-o out.wav --duration 0.1 --num_sequences 2')
  assert code == 2 and 'out_2.wav exists; use -f to overwrite it' in err
  assert (tmp_path / 'out_2.wav').read_bytes() == b'mine' and not (tmp_path / 'out_1.wav').exists()
  assert run('-o out.wav --duration 0.1 --num_sequences 2 -f')[0] == 0
  assert read_wav(tmp_path / 'out_2.wav')[1].shape == (800,)


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('-o out.wav --duration 0', 'duration: expected at least'),
    ('-o out.wav --temperature -1', 'temperature: expected a number from 0 to 65536, got -1.0'),
    ('-o out.wav --temperature nan', 'temperature: expected'),
    ('-o out.wav --top_p 1.01', 'top_p: expected a number above 0 and at most 1, got 1.01'),
    ('-o out.wav --num_sequences 0', "--num_sequences: expected an integer from 1 to 256, got '0'"),
    ('-o out.wav --num_sequences 10000000', '--num_sequences: expected an integer from 1 to 256'),
    ('-o out.wav --duration 1e308', 'duration: expected seconds, from 0 to 1,000,000, got 1e+308'),
    ('-o model.npz -f --seed_audio nothing.wav', 'nothing.wav: cannot be read'),
    ('-o out.wav --seed_audio seed.wav --seed_offset 0.05', 'seed_offset: expected less than the 0.050 s of seed.wav'),
    ('-o out.wav --seed_audio seed.wav --sample_rate 44100', 'seed audio: expected 44100 Hz'),
    ('-o out.wav --seed_audio nothing.wav', 'nothing.wav: '),
    ('-o out.wav --seed_audio model.npz', 'model.npz: not a file of samples'),
    ('-o seed.wav --seed_audio seed.wav -f', 'seed.wav is the seed audio itself; name another output'),
    ('-o nowhere/out.wav', 'nowhere: there is no such folder'),
    ('-o .', '.: expected the name of a WAV file to write, got a folder'),
    ('-o out.wav more.wav', 'unrecognized arguments: more.wav'),
    ('-o out.wav -- more.wav', 'generate takes no files, got more.wav'),
    ('', 'the following arguments are required: -o/--output'),
  ],
)
def test_what_is_refused(run, tmp_path, line, message):
  code, out, err = run(line)
  assert (code, out) == (2, b'') and message in err and err.count('\n') == 1
  assert sorted(os.listdir(tmp_path)) == ['model.npz', 'seed.wav']


def test_an_odd_number_of_bytes_is_padded(run, tmp_path):
  """As RIFF asks for: the size of the data without the pad byte, that of the file with it."""
  assert run('-m default -o out.wav --duration 0.0101 --bit_depth 8 --sample_rate 10000 -q')[0] == 0
  data = (tmp_path / 'out.wav').read_bytes()
  assert len(data) == 44 + 101 + 1 and data[-1] == 0
  assert int.from_bytes(data[4:8], 'little') == len(data) - 8 and int.from_bytes(data[40:44], 'little') == 101


def test_an_interruption_between_two_outputs(run, tmp_path, monkeypatch):
  """One of them is a block ahead, which is cut off again."""
  write, count = generate._Output.write, 0

  def interrupted(output, samples):
    nonlocal count
    count += 1
    if count == 6:  # After the seed of each, and a block, the second output's next one.
      raise KeyboardInterrupt
    write(output, samples)

  monkeypatch.setattr(generate._Output, 'write', interrupted)
  code, _, err = run('-o out.wav --duration 1 --num_sequences 2')
  assert code == 130 and 'interrupted; 0.13 s of 1 s' in err
  for number in (1, 2):
    path = tmp_path / f'out_{number}.wav'
    assert path.stat().st_size == 44 + 2 * 1024 and len(read_wav(path)[1]) == 1024


def test_an_interruption_keeps_what_is_there(run, tmp_path, monkeypatch):
  """Ctrl-C, as it comes between two blocks; tests/e2e/test_generate.py sends a signal."""
  blocks = lmic.Generation._generate

  def interrupted(generation):
    for number, block in enumerate(blocks(generation)):
      if number == 2:
        raise KeyboardInterrupt
      yield block

  assert run('-o whole.wav --duration 1 --seed_audio seed.wav --include_seed')[0] == 0
  threads = threading.active_count()
  monkeypatch.setattr(lmic.Generation, '_generate', interrupted)
  code, _, err = run('-o out.wav --duration 1 --seed_audio seed.wav --include_seed')
  assert code == 130 and 'interrupted; 0.26 s of 1 s were generated, and are kept' in err
  _, samples = read_wav(tmp_path / 'out.wav')
  np.testing.assert_array_equal(samples, read_wav(tmp_path / 'whole.wav')[1][: len(samples)])
  assert len(samples) == 400 + 2048
  assert threading.active_count() <= threads and sys.exc_info()[0] is None
