"""Small models that generate, and requests to them."""

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat, wav_integers
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.entropy.sampling import Sampler
from language_modeling_is_compression.generation.generator import Generator, Request, make_generator
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.hybrid import build_hybrid
from language_modeling_is_compression.network.hybrid_model import HybridModel, HybridSpec
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.system.cancellation import Cancellation
from support.tiny_models import HYBRID, MODEL, hybrid_params, random_params

RATE_HZ = 8000


def byte_model(data: DataConfig, seed: int = 0) -> ByteModel:
  """A random model of tokens whose distributions are far from uniform."""
  return ByteModel(
    params=_arrays(random_params(build_transformer(MODEL, data), seed)),
    spec=ByteSpec(network=MODEL, data=data),
    provenance={'sample_rate_hz': RATE_HZ},
  )


def hybrid_model(seed: int = 0) -> HybridModel:
  return HybridModel(
    params=_arrays(hybrid_params(build_hybrid(HYBRID), seed)), spec=HybridSpec(network=HYBRID), provenance={'effort': 0}
  )


def pcm_of(sample_bytes: int = 2, num_channels: int = 1) -> PcmFormat:
  return wav_integers(sample_bytes=sample_bytes, num_channels=num_channels, sample_rate_hz=RATE_HZ)


def request(
  pcm: PcmFormat,
  *,
  num_frames: int,
  num_sequences: int = 1,
  seed: np.ndarray | None = None,
  temperature: float = 1.0,
  top_p: float = 1.0,
  number: int = 1,
  num_threads: int = 1,
) -> Request:
  """seed: int32 [N, C], of the depth in pcm. number: of the random numbers."""
  return Request(
    seed=np.zeros((0, pcm.num_channels), np.int32) if seed is None else seed,
    seed_bits=8 * pcm.sample_bytes,
    pcm=pcm,
    num_frames=num_frames,
    num_sequences=num_sequences,
    sampler=Sampler(number, [temperature] * num_sequences, top_p),
    num_threads=num_threads,
  )


def generated(model: Model, wanted: Request, *, block: int = 1 << 20) -> np.ndarray:
  """All frames of all sequences, drawn in blocks: int32 [S, N, C]."""
  generator: Generator = make_generator(model, wanted)
  try:
    generator.follow_seed(lambda frames: None, Cancellation())
    starts = range(0, wanted.num_frames, block)
    return np.concatenate(
      [generator.draw(min(block, wanted.num_frames - start), Cancellation()) for start in starts], axis=1
    )
  finally:
    generator.close()


def _arrays(params) -> dict[str, dict[str, np.ndarray]]:
  return {module: {name: np.asarray(array) for name, array in arrays.items()} for module, arrays in params.items()}
