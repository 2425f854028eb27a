"""Sound that models generate: the same samples on every machine, whatever the compiler does.

The hashes are of the little-endian samples of all sequences, int32 [S, N, C]. They change with a release that says so.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from support.generation_cases import generated, pcm_of, request

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.network.checkpoint import load_model

FOLDER = Path(__file__).parent
# Models, and the files that they go on with.
MODELS = {
  'bytes, 8 bits': ('v1/model-8.npz', 'v1/mono_8.original'),
  'bytes, 16 bits': ('v1/model-16.npz', 'v1/mono_16.original'),
  'hybrid, 8 bits': ('v2/model.npz', 'v2/mono_8.original'),
  'hybrid, stereo': ('v2/model.npz', 'v2/stereo_16.original'),
  'hybrid, 24 bits': ('v2/model.npz', 'v2/stereo_24.original'),
  'version 4, 8 bits': ('v4/model.npz', 'v2/mono_8.original'),
  'version 4, stereo': ('v4/model.npz', 'v2/stereo_16.original'),
  'version 4, 24 bits': ('v4/model.npz', 'v2/stereo_24.original'),
}
HASHES = {
  ('bytes, 8 bits', 1.0, 1.0): 'be89f01c7be51ef6ccc81a5ec228ca9408dc18e71b5f1870b90611c6a888d93a',
  ('bytes, 8 bits', 0.8, 0.95): '2bb792cd1fe17fa4e0bdbd127e032dd186f137ff340d40d38a38620218a61f08',
  ('bytes, 8 bits', 0.0, 1.0): 'aab4b1ca40c1a51dc2fc8fe384d3f7ca4ad90fd9b3eebc9229e71c9f37b8b703',
  ('bytes, 16 bits', 1.0, 1.0): '55a88be1e1be3a75749b5e33dd6e1d64c91c50df772eb86b4ee159153a4a717b',
  ('bytes, 16 bits', 0.8, 0.95): 'ecd4f48af4a59a553d9318d239369fb74226186e1f76da3bd6841cf19cc2f65d',
  ('bytes, 16 bits', 0.0, 1.0): '602a6a0c9247261a35582bcd049857c7c96bf967f7a666511b2b5d2246241bd7',
  ('hybrid, 8 bits', 1.0, 1.0): '51ea9074ca2282dc782e74259721d5959bd457408872873f52a06e08bc46a4eb',
  ('hybrid, 8 bits', 0.8, 0.95): 'b863228f39c6494132a34196e567afbaf4fed1f9ddfb74f8d2631d0f9e2be5da',
  ('hybrid, 8 bits', 0.0, 1.0): '915eabddf3e653f5e24bbd2ffa3b630cc97bb30cbd7b2ab65384ddca3f143aef',
  ('hybrid, stereo', 1.0, 1.0): '48b80d5401cd6e020edb188fa391ebc3661efd6a6f82944ea74512c54e6db75d',
  ('hybrid, stereo', 0.8, 0.95): 'cce47f9c211f88c18dc9bac2179129c8e55f5b0864b150ecf5dc81b79cd1d34b',
  ('hybrid, stereo', 0.0, 1.0): '6a807843e0daf3b6303652aa54c15f6f8a7010e6f42f70c3c15f93dcbf088726',
  ('hybrid, 24 bits', 1.0, 1.0): 'e1fa8b76505f5215f22887d3b4d5f3650f5849b6449d2d75f50e8038997b3936',
  ('hybrid, 24 bits', 0.8, 0.95): 'd0cdb12faa7bdf50935ea5392ff5dd6eb296b16f7dcb192ef5f59b0ed396488c',
  ('hybrid, 24 bits', 0.0, 1.0): '3ad4f765a4c8072875d3dd70fa40798f76e9abd94e858bf3ada41c4aaf303c4b',
  ('version 4, 8 bits', 1.0, 1.0): '30dd68dad753a2f2c14357a732bc04c9e73d039216cbaaf242ece80a48b9999c',
  ('version 4, 8 bits', 0.8, 0.95): '4cb05c3d49d2af9b5c4791874ea2953cb863fc4830f8f929b84c9ea4cc7969af',
  ('version 4, 8 bits', 0.0, 1.0): '2b5ecc2acfcd8a76be2a2cb908a241c97b64cf4c1b0e263afba295288ed9a7bf',
  ('version 4, stereo', 1.0, 1.0): '40daa1f20aec912f796f727bdac07bb3166af30f394a985ce02c1baa3884a338',
  ('version 4, stereo', 0.8, 0.95): 'f33ba7f6f16658275b5ab37739f07221a30990d68c08c320e02c11d77d63303e',
  ('version 4, stereo', 0.0, 1.0): '9b903dfb6a6ee0a09bf046816109a89130fd46808621a77bf639a55988258deb',
  ('version 4, 24 bits', 1.0, 1.0): '8a1e8abd18bc08af1fe2fba30251cde817c8e316a9545e1fb6eab91b07ce1ddb',
  ('version 4, 24 bits', 0.8, 0.95): 'abc67f3afc4642935aed5e7677078adf6938824c43aedec960ca7741a851d7a4',
  ('version 4, 24 bits', 0.0, 1.0): '0b055c482169e4a05c0766daee917eee79af3a84fc74c31612b258b19e0d7e73',
}


def _samples(kind: str, temperature: float, top_p: float) -> np.ndarray:
  model, seed = MODELS[kind]
  info = read_pcm_info(FOLDER / seed)
  wanted = request(
    pcm_of(info.sample_bytes, info.num_channels),
    num_frames=400,
    num_sequences=2,
    seed=read_pcm_frames(info, 0, info.num_frames),
    temperature=temperature,
    top_p=top_p,
    number=3,
    num_threads=2,
  )
  return generated(load_model(FOLDER / model), wanted)


# What draws of hybrid models of version 2 does not change any more, and takes a quarter of a minute to compile.
@pytest.mark.parametrize(
  ('kind', 'temperature', 'top_p'),
  [pytest.param(*case, marks=[pytest.mark.slow] * case[0].startswith('hybrid')) for case in HASHES],
)
def test_the_same_samples_everywhere(kind, temperature, top_p):
  found = _samples(kind, temperature, top_p).astype('<i4').tobytes()
  assert hashlib.sha256(found).hexdigest() == HASHES[kind, temperature, top_p]


if __name__ == '__main__':
  for kind in MODELS:
    for temperature, top_p in ((1.0, 1.0), (0.8, 0.95), (0.0, 1.0)):
      found = _samples(kind, temperature, top_p).astype('<i4').tobytes()
      print(f'  {(kind, temperature, top_p)!r}: {hashlib.sha256(found).hexdigest()!r},')
