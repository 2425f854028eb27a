"""Whether two WAV files are the same sound: however they are written, and not if one sample differs."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support import wav_builder

from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.evaluation.compressors import coders
from language_modeling_is_compression.evaluation.compressors.coders import same_sound

BITS = st.sampled_from([8, 16, 24, 32])


@st.composite
def sounds(draw) -> tuple[np.ndarray, int]:
  """Signed integers [N, C], and their bits."""
  bits, num_channels = draw(BITS), draw(st.integers(1, 3))
  return wav_builder.random_samples(draw(st.integers(1, 40)), num_channels, bits, seed=draw(st.integers(0, 99))), bits


def same(samples: np.ndarray, bits: int, others: np.ndarray, other_bits: int, **form) -> bool:
  with tempfile.TemporaryDirectory() as folder:
    paths = Path(folder, 'a.wav'), Path(folder, 'b.wav')
    for path, values, width, other_form in ((paths[0], samples, bits, {}), (paths[1], others, other_bits, form)):
      data = wav_builder.pcm_bytes(values.reshape(-1), width)
      path.write_bytes(wav_builder.build_wav(data, bits=width, channels=values.shape[1], **other_form))
    return same_sound(read_pcm_info(paths[0]), paths[1])


@given(sound=sounds(), other_bits=BITS, extensible=st.booleans(), block=st.integers(1, 50), data=st.data())
def test_only_the_same_fractions_of_full_scale_are_the_same_sound(sound, other_bits, extensible, block, data):
  samples, bits = sound
  coarsest = min(bits, other_bits)
  samples = samples >> (bits - coarsest) << (bits - coarsest)
  others = samples << (other_bits - coarsest) if bits == coarsest else samples >> (bits - other_bits)
  # Blocks of a few values, so that files have several.
  whole_block, coders._BLOCK_VALUES = coders._BLOCK_VALUES, block
  try:
    assert same(samples, bits, others, other_bits, extensible=extensible)
    others = others.copy()
    others.reshape(-1)[data.draw(st.integers(0, others.size - 1))] ^= 1 << data.draw(st.integers(0, other_bits - 2))
    assert not same(samples, bits, others, other_bits, extensible=extensible)
    assert not same(samples, bits, others[:-1], other_bits)
  finally:
    coders._BLOCK_VALUES = whole_block
