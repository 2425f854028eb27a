"""A decoder of `.lmic` files written from docs/FORMAT.md alone, which proves that the document suffices.

It takes nothing from the package, and says things as the document says them rather than fast: a few hundred to a few
thousand symbols per second. Segments are segments.py's, linear.py's and hybrid.py's.

Shapes: P places, V 256 bytes, E embedding_dim, H heads, D = E / H, W attention_window, L lags seen so far, at most W.
"""

import hashlib
import lzma
import math
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np

from reference_decoder import hybrid as networked
from reference_decoder import linear, segments
from reference_decoder.models import Layer, Matrix, ModelFile, Network, hybrid_integers, integers, max_query, require

INTERVAL_BITS = 24
INTERVAL_TOTAL = 1 << INTERVAL_BITS
NUM_BYTES = 256
# Of a span, by version: frames, and bytes of all channels.
MAX_SPAN = {1: (1 << 16, 1 << 22), 2: (1 << 22, 1 << 25), 3: (1 << 22, 1 << 25), 4: (1 << 22, 1 << 25)}
MAX_EFFORT = {1: 0, 2: 2, 3: 3, 4: 2}
# The model_id of version 3.
LINEAR = hashlib.sha256(b'lmic linear prediction 1').digest()
STORED, LZMA, MODEL = 0, 1, 2
NO_SAMPLES, INTEGERS, FLOATS = 0, 1, 2


# The file.


class Header(NamedTuple):
  """The header's fields; `raw` is all of it."""

  raw: bytes
  version: int
  sample_kind: int
  sample_bytes: int
  num_channels: int
  effort: int
  has_plain_head: bool
  sample_rate_hz: int
  chunk_frames: int
  piece_bytes: int
  head_bytes: int
  num_frames: int
  tail_bytes: int
  model_id: bytes
  check: bytes


class Shape(NamedTuple):
  """What a chunk's payload is: a piece of so many bytes (channels is 0), or so many frames of channels."""

  size: int
  channels: int


class Chunk(NamedTuple):
  method: int
  crc32: int
  body: bytes


class File(NamedTuple):
  """A container whose own checks are right; what is in its chunks is not yet looked at."""

  header: Header
  shapes: list[Shape]
  chunks: list[Chunk]
  sha256: bytes


def decode(data: bytes, model: ModelFile | None, hybrid: segments.Network | None = None) -> bytes:
  """The original file.

  model: None if no chunk is coded with one. hybrid: a network of segments that takes the place of the model's.
  Raises ValueError if anything in the file is not as the format says, or if it needs another model.
  """
  file = parse(data)
  network = None
  if file.header.version == 1 and any(chunk.method == MODEL for chunk in file.chunks):
    if model is None:
      raise ValueError('the file needs a model')
    network, identity = integers(model)
    require(identity == file.header.model_id, f'needs model {file.header.model_id.hex()}, got {identity.hex()}')
  if file.header.version in (2, 4) and hybrid is None and model is not None:
    hybrid, identity = hybrid_integers(model)
    require(identity == file.header.model_id, f'needs model {file.header.model_id.hex()}, got {identity.hex()}')
  payloads = []
  for index, (shape, chunk) in enumerate(zip(file.shapes, file.chunks, strict=True)):
    payload = _payload(chunk, shape, file.header, network, hybrid)
    require(zlib.crc32(payload) == chunk.crc32, f'chunk {index}: wrong CRC-32 of the payload')
    payloads.append(payload)
  original = _assembled(payloads, file.shapes, file.header)
  require(hashlib.sha256(original).digest() == file.sha256, 'wrong SHA-256 of the original file')
  return original


def parse(data: bytes) -> File:
  header = _parse_header(data[:100])
  shapes = _shapes(header, len(data))
  chunks, offset = [], 100
  for index, shape in enumerate(shapes):
    chunk = _parse_chunk(data, offset, index, shape, header)
    chunks.append(chunk)
    offset += 21 + len(chunk.body)
  sha256 = _parse_footer(data[offset:], header, [len(chunk.body) for chunk in chunks])
  return File(header, shapes, chunks, sha256)


def _parse_header(raw: bytes) -> Header:
  require(len(raw) == 100, 'no room for a header')
  require(raw[:8] == bytes.fromhex('8B4C4D49430D0A1A'), 'not an .lmic file')
  version, kind, sample_bytes, num_channels, effort, flags, rate, chunk_frames, piece_bytes = struct.unpack_from(
    '<HBBHBBIII', raw, 8
  )
  head_bytes, num_frames, tail_bytes = struct.unpack_from('<QQQ', raw, 28)
  require(version in MAX_SPAN, f'version {version}, expected 1 to 4')
  require(_blake2b(raw[:92]) == raw[92:], 'wrong check of the header')
  require(effort <= MAX_EFFORT[version] and flags <= (version > 1), 'reserved bits are set')
  require(version == 1 or (kind == INTEGERS and any(raw[52:84])), 'segments that are not integers of a model')
  require(version != 3 or raw[52:84] == LINEAR, 'another linear prediction')
  require(1 <= piece_bytes <= 1 << 20, f'pieces of {piece_bytes} bytes')
  if kind == NO_SAMPLES:
    zeros = (sample_bytes, num_channels, chunk_frames, num_frames, tail_bytes)
    require(not any(zeros), 'describes samples that it does not have')
  else:
    require(sample_bytes in {INTEGERS: (1, 2, 3, 4), FLOATS: (4, 8)}.get(kind, ()), 'unknown kind of samples')
    require(num_channels >= 1 and chunk_frames >= 1, 'samples without channels or spans without frames')
    most_frames, most_bytes = MAX_SPAN[version]
    short = chunk_frames <= most_frames and chunk_frames * num_channels * sample_bytes <= most_bytes
    require(short, 'spans are too long')
  header = Header(
    raw=raw,
    version=version,
    sample_kind=kind,
    sample_bytes=sample_bytes,
    num_channels=num_channels,
    effort=effort,
    has_plain_head=flags == 1,
    sample_rate_hz=rate,
    chunk_frames=chunk_frames,
    piece_bytes=piece_bytes,
    head_bytes=head_bytes,
    num_frames=num_frames,
    tail_bytes=tail_bytes,
    model_id=raw[52:84],
    check=raw[92:],
  )
  if header.has_plain_head:
    require(head_bytes == (68 if _is_extended(header) else 44), 'no plain head is of that length')
    require(num_channels * sample_bytes <= 65535, 'frames are too wide for a plain head')
  return header


def _is_extended(header: Header) -> bool:
  return header.num_channels >= 3 or header.sample_bytes >= 3


def _plain_head(header: Header) -> bytes:
  most, extended = 2**32 - 1, _is_extended(header)
  width = header.num_channels * header.sample_bytes
  riff_bytes, data_bytes = header.head_bytes - 8 + header.num_frames * width, header.num_frames * width
  head = b'RIFF' + struct.pack('<I', min(riff_bytes, most)) + b'WAVEfmt '
  head += struct.pack('<IHH', 40 if extended else 16, 65534 if extended else 1, header.num_channels)
  head += struct.pack('<II', header.sample_rate_hz, min(header.sample_rate_hz * width, most))
  head += struct.pack('<HH', width, 8 * header.sample_bytes)
  if extended:
    speakers = {1: 4, 2: 3}.get(header.num_channels, 0)
    head += struct.pack('<HHIH', 22, 8 * header.sample_bytes, speakers, 1)
    head += bytes.fromhex('00 00 00 00 10 00 80 00 00 AA 00 38 9B 71')
  return head + b'data' + struct.pack('<I', min(data_bytes, most))


def _shapes(header: Header, file_bytes: int) -> list[Shape]:
  """Of all chunks in order. Nothing is listed before it is known that the file is long enough to hold it."""
  around = (0 if header.has_plain_head else header.head_bytes, header.tail_bytes)
  num_pieces = [-(-num_bytes // header.piece_bytes) for num_bytes in around]
  per_span = header.num_channels if header.version == 1 else 1
  num_spans = -(-header.num_frames // header.chunk_frames) if header.num_frames else 0
  num_chunks = sum(num_pieces) + num_spans * per_span
  require(num_chunks < 1 << 32 and 21 * num_chunks <= file_bytes, f'{num_chunks} chunks in {file_bytes} bytes')
  spans = _cut(header.num_frames, header.chunk_frames) if num_spans else []
  head, tail = ([Shape(count, 0) for count in _cut(num_bytes, header.piece_bytes)] for num_bytes in around)
  channels = [Shape(frames, header.num_channels // per_span) for frames in spans for _ in range(per_span)]
  return [*head, *channels, *tail]


def _cut(total: int, size: int) -> list[int]:
  return [min(size, total - start) for start in range(0, total, size)]


def _parse_chunk(data: bytes, offset: int, index: int, shape: Shape, header: Header) -> Chunk:
  fixed = data[offset : offset + 21]
  require(len(fixed) == 21, f'chunk {index}: the file ends within it')
  number, method, body_bytes, crc32 = struct.unpack_from('<IBII', fixed)
  body = data[offset + 21 : offset + 21 + body_bytes]
  require(len(body) == body_bytes, f'chunk {index}: the file ends within it')
  require(_blake2b(fixed[:13] + body, header.check) == fixed[13:], f'chunk {index}: wrong check')
  require(number == index, f'chunk {index}: says that it is number {number}')
  require(body_bytes <= _payload_bytes(shape, header), f'chunk {index}: body is longer than its payload')
  require(method in (STORED, LZMA, MODEL), f'chunk {index}: unknown method {method}')
  allowed = method != MODEL or (shape.channels > 0 and header.sample_kind == INTEGERS)
  require(allowed, f'chunk {index}: coded with a model, but not integers')
  return Chunk(method, crc32, body)


def _parse_footer(footer: bytes, header: Header, body_sizes: list[int]) -> bytes:
  """Returns the SHA-256 of the original file. footer: all that is after the last chunk."""
  table = struct.pack(f'<{len(body_sizes)}I', *body_sizes)
  start = b'LMICtabl' + header.raw + table
  require(len(footer) == len(start) + 56, 'the footer is too long or too short')
  require(footer.startswith(start), 'the footer does not agree with the header or the chunks')
  require(struct.unpack('<Q', footer[-24:-16])[0] == len(footer), "wrong footer's size")
  require(_blake2b(footer[:-16], header.check) == footer[-16:-8], 'wrong check of the footer')
  require(footer[-8:] == b'LMICend\n', 'does not end as it should')
  return footer[len(start) : len(start) + 32]


def _blake2b(data: bytes, key: bytes = b'') -> bytes:
  return hashlib.blake2b(data, digest_size=8, key=key).digest()


def _payload_bytes(shape: Shape, header: Header) -> int:
  return shape.size * shape.channels * header.sample_bytes if shape.channels else shape.size


def _payload(
  chunk: Chunk,
  shape: Shape,
  header: Header,
  network: 'Network | None',
  hybrid: segments.Network | None,
) -> bytes:
  if chunk.method == MODEL and header.version > 1:
    return _decode_segment(chunk.body, shape, header, hybrid)
  if chunk.method == MODEL:
    assert network is not None
    return _decode_planes(chunk.body, shape.size, header.sample_bytes, network)
  payload = chunk.body if chunk.method == STORED else _decompress(chunk.body, _payload_bytes(shape, header))
  require(len(payload) == _payload_bytes(shape, header), 'a payload is too long or too short')
  return payload


def _decompress(body: bytes, num_bytes: int) -> bytes:
  decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{'id': lzma.FILTER_LZMA2, 'dict_size': 1 << 22}])
  try:
    payload = decompressor.decompress(body, num_bytes + 1)
  except lzma.LZMAError as error:
    raise ValueError(f'not an LZMA2 stream: {error}') from error
  require(decompressor.eof and not decompressor.unused_data, 'an LZMA2 stream does not end where its body ends')
  return payload


def _assembled(payloads: list[bytes], shapes: list[Shape], header: Header) -> bytes:
  parts, channels = [_plain_head(header)] if header.has_plain_head else [], []
  for payload, shape in zip(payloads, shapes, strict=True):
    if not shape.channels:
      parts.append(payload)
      continue
    size = len(payload) // shape.channels
    channels += [_samples(payload[start : start + size], header) for start in range(0, len(payload), size)]
    if len(channels) == header.num_channels:
      parts.append(np.stack(channels, axis=1).tobytes())
      channels = []
  return b''.join(parts)


def _samples(payload: bytes, header: Header) -> np.ndarray:
  """Bytes [N, S] of a channel's samples as they stand in a WAV file."""
  planes = np.frombuffer(payload, np.uint8).reshape(header.sample_bytes, -1).copy()
  if header.sample_kind == INTEGERS and header.sample_bytes > 1:
    planes[0] ^= 0x80
  return planes[::-1].T


# A body coded with a model.


def _decode_segment(body: bytes, shape: Shape, header: Header, hybrid: segments.Network | None) -> bytes:
  segment = segments.Segment(
    num_frames=shape.size,
    num_channels=header.num_channels,
    sample_bytes=header.sample_bytes,
    sample_rate_hz=header.sample_rate_hz,
    effort=header.effort,
  )
  if header.version == 3:
    frames = linear.decode(body, segment)
  elif hybrid is None:
    raise ValueError('the file needs a hybrid network')
  elif header.version == 2:
    frames = segments.decode(body, hybrid, segment)
  else:
    frames = networked.decode(body, hybrid, segment)
  half = 1 << (8 * header.sample_bytes - 1)
  channels = []
  for samples in zip(*frames, strict=True):
    rows = [(half + sample).to_bytes(header.sample_bytes, 'big') for sample in samples]
    channels.append(bytes(byte for plane in zip(*rows, strict=True) for byte in plane))
  return b''.join(channels)


def _decode_planes(body: bytes, num_samples: int, sample_bytes: int, network: Network) -> bytes:
  reader = EntropyDecoder(body)
  context = Context(network)
  places = len(network.embedding)
  adaptive = [AdaptiveDistribution() for _ in range(places, sample_bytes)]
  planes = np.zeros((sample_bytes, num_samples), np.uint8)
  for sample in range(num_samples):
    for place in range(places):
      symbol = reader.symbol(context.sizes()) if place < sample_bytes else 0
      context.feed(symbol)
      if place < sample_bytes:
        planes[place, sample] = symbol
    for place, distribution in enumerate(adaptive, places):
      symbol = reader.symbol(distribution.sizes())
      distribution.add(symbol)
      planes[place, sample] = symbol
  reader.finish()
  return planes.tobytes()


class EntropyDecoder:
  def __init__(self, body: bytes):
    require(len(body) >= 8 and len(body) % 4 == 0, 'a coded body is not a u64 and words')
    (self._x,) = struct.unpack_from('<Q', body)
    self._words = iter(struct.unpack_from(f'<{len(body) // 4 - 2}I', body, 8))

  def symbol(self, sizes: np.ndarray) -> int:
    """sizes: [256], at least 1 each, in sum 2^24."""
    ends = np.cumsum(sizes)
    slot = self._x % INTERVAL_TOTAL
    symbol = int(np.searchsorted(ends, slot, 'right'))
    size = int(sizes[symbol])
    self._x = size * (self._x >> INTERVAL_BITS) + slot - (int(ends[symbol]) - size)
    if self._x < 1 << 32:
      word = next(self._words, None)
      require(word is not None, 'a coded body ends too early')
      self._x = (self._x << 32) + word
    return symbol

  def finish(self) -> None:
    require(self._x == 1 << 32 and next(self._words, None) is None, 'a coded body does not end as it should')


class AdaptiveDistribution:
  def __init__(self) -> None:
    self._counts = np.ones(NUM_BYTES, np.int64)

  def sizes(self) -> np.ndarray:
    sizes = 1 + self._counts * (INTERVAL_TOTAL - NUM_BYTES) // self._counts.sum()
    sizes[-1] += INTERVAL_TOTAL - sizes.sum()
    return sizes

  def add(self, symbol: int) -> None:
    self._counts[symbol] += 2
    if self._counts.sum() > 65536:
      self._counts = (self._counts + 1) >> 1


# The network.


class Context:
  """The network after some tokens, at first none: the sizes of the next one's intervals, until it is fed."""

  def __init__(self, network: Network):
    self._network = network
    places, _, width = network.embedding.shape
    self._dimensions = (network.num_heads, width // network.num_heads)
    # Of each layer, [L, H, D], lag 0 first.
    self._keys = [np.zeros((0, *self._dimensions), np.int64) for _ in network.layers]
    self._values = list(self._keys)
    self._time = 0
    self._stream = self._run(128 if places == 1 else 0)

  def feed(self, token: int) -> None:
    self._time += 1
    self._stream = self._run(token)

  def sizes(self) -> np.ndarray:
    """int64 [V]."""
    network = self._network
    logits = _limit(_product(_norm(self._stream), network.output), 2**26 - 1) + network.output_bias
    masses = _power(logits.max() - logits, 30)
    reciprocal = ((INTERVAL_TOTAL - NUM_BYTES) << 38) // masses.sum()
    sizes = 1 + ((masses * reciprocal) >> 38)
    sizes[np.argmax(logits)] += INTERVAL_TOTAL - sizes.sum()
    return sizes

  def _run(self, token: int) -> np.ndarray:
    """The stream [E] after all layers, at a time when `token` is the one before."""
    embedding = self._network.embedding
    x = embedding[(self._time - 1) % len(embedding), token]
    for index, layer in enumerate(self._network.layers):
      mixed = self._attention(index, layer, _norm(x))
      x = _limit(x + _product(mixed, layer.attention_output), 2**25 - 1)
      u = _limit(_product(_norm(x), layer.feed_forward_in), 32767)
      z = np.minimum(_round(np.maximum(u, 0) ** 2, 15), 32767)
      x = _limit(x + _product(z, layer.feed_forward_out), 2**25 - 1)
    return x

  def _attention(self, index: int, layer: Layer, a: np.ndarray) -> np.ndarray:
    heads, depth = self._dimensions
    most = max_query(depth)
    queries = _limit(_product(a, layer.queries), most).reshape(heads, depth)
    keys = self._remember(self._keys, index, _limit(_product(a, layer.keys), most))
    values = self._remember(self._values, index, _limit(_product(a, layer.values), 32767))
    scores = _limit(_round((queries * keys).sum(axis=2), layer.score_shift), 2**26 - 1)  # [L, H]
    scores += layer.lag_bias.T[: len(scores)]
    masses = _power(scores.max(axis=0) - scores, 15)
    weights = np.minimum(_round(masses * (2**45 // masses.sum(axis=0)), 30), 32767)
    return _limit(_round((weights[:, :, None] * values).sum(axis=0), 15), 32767).reshape(-1)

  def _remember(self, memory: list[np.ndarray], index: int, vector: np.ndarray) -> np.ndarray:
    """Puts a vector [E] in front of a layer's memory, which forgets what is beyond the window; [L, H, D]."""
    window = self._network.layers[index].lag_bias.shape[1]
    memory[index] = np.concatenate([vector.reshape(1, *self._dimensions), memory[index][: window - 1]])
    return memory[index]


def cdfs(network: Network, tokens: Any) -> list[list[int]]:
  """Sizes of the next token's intervals at every position: [T][V] for T tokens, which begin a chunk."""
  context = Context(network)
  sizes = []
  for token in tokens:
    sizes.append(context.sizes().tolist())
    context.feed(int(token))
  return sizes


def _exp2_table() -> np.ndarray:
  s = 1 << 127
  for _ in range(10):
    s = math.isqrt(s << 128)
  table, p = [], 1 << 128
  for _ in range(1024):
    table.append((p + (1 << 112)) >> 113)
    p = (p * s) >> 128
  return np.array(table, np.int64)


_EXP2 = _exp2_table()


def _power(d: np.ndarray, n: int) -> np.ndarray:
  return (_EXP2[d % 1024] << (n - 15)) >> np.minimum(d >> 10, 31)


def _round(x: np.ndarray, n: int) -> np.ndarray:
  return (x + (1 << (n - 1))) >> n if n > 0 else x << -n


def _limit(x: np.ndarray, m: int) -> np.ndarray:
  return np.minimum(np.maximum(x, -m), m)  # np.clip takes thrice the time for so few numbers.


def _product(x: np.ndarray, matrix: Matrix) -> np.ndarray:
  return _round(x @ matrix.weights, matrix.shift)


def _norm(x: np.ndarray) -> np.ndarray:
  width = len(x)
  root = math.isqrt(int((x * x).sum()) + 268 * width)
  reciprocal = (math.isqrt(width << 44) << 20) // root
  return _limit(_round(x * reciprocal, 31), 32767)
