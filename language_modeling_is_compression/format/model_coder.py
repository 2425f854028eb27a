"""Model coders: the interface between the codec and a model of any family.

A coder turns payloads into the bodies of chunks and back, exactly and on every machine alike. byte_coder.py has the one
of byte models, segments.py the one of hybrid models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.format.division import Division, SegmentSettings
from language_modeling_is_compression.format.payloads import Payload, PayloadShape
from language_modeling_is_compression.system.cancellation import Cancellation

if TYPE_CHECKING:
  import numpy as np


class Encoded(NamedTuple):
  """A payload's code. sample_bits: computes what each sample costs, in bits, float64 [N, C]."""

  body: bytes
  sample_bits: Callable[[], np.ndarray]


class ModelCoder(Protocol):
  """A model as the codec sees it; any number of threads may use one at a time.

  identity: 32 bytes that stand for all that its codes depend on, beside the payload and its shape.
  sample_bits: bits of the samples that the model was trained on, or None if it takes all depths.
  has_levels: whether segment settings make a difference to `division`.
  """

  identity: bytes
  sample_bits: int | None
  has_levels: bool

  def division(self, pcm: PcmFormat, num_frames: int, segments: SegmentSettings) -> Division | None:
    """Division of so many frames; None if they are better coded as bytes: too many channels for their length."""

  def encode_batch_size(self, lanes: int) -> int:
    """Number of payloads that `encode` should be given at a time, of those that are in work together."""

  def decode_batches(self, shapes: Sequence[PayloadShape], lanes: int, num_threads: int) -> list[list[int]]:
    """Indices of payloads, in the batches that `decode` should be given, each by one thread."""

  def encode(self, payloads: Sequence[Payload], cancellation: Cancellation) -> list[Encoded | None]:
    """Codes payloads; None for those that the model does not code. Raises CancelledError."""

  def decode(
    self, bodies: Sequence[bytes], shapes: Sequence[PayloadShape], cancellation: Cancellation
  ) -> list[Payload | None]:
    """Payloads of a batch; None for a body that no encoder wrote. Raises CancelledError, nothing else."""
