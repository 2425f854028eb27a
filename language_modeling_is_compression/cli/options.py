"""Options of the lmic command, as its functions take them; the parser builds them from a command line."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Selection:
  """Files that are named, all below folders, and those that lists name."""

  files: tuple[str, ...]
  folders: tuple[str, ...] = ()
  lists: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Work:
  """Options of work on files.

  lanes: chunks in work at a time, None for as many as keep the threads busy. threads: None for one on each core.
  quiet: print errors only. verbose: print more.
  """

  model: str | None
  device: str
  lanes: int | None
  threads: int | None
  quiet: bool
  verbose: bool
  no_progress: bool


@dataclass(frozen=True, kw_only=True)
class Destination:
  """Options of outputs.

  output: a file, an existing folder, a stream or STANDARD; None for files beside the sources. flat, mirror: a folder
  that takes all outputs, or a copy of the sources' tree; at most one of the three is given.
  force: overwrite. remove: remove each source once its output is sound.
  """

  output: str | None
  flat: str | None
  mirror: str | None
  force: bool
  remove: bool


@dataclass(frozen=True, kw_only=True)
class Compress:
  """Options of `lmic compress`.

  level: None for the default one, which byte models take too. raw, decode: as `Compressor.compress` has them.
  """

  selection: Selection
  work: Work
  destination: Destination
  level: int | None
  verify: bool
  raw: str | None
  decode: bool


@dataclass(frozen=True, kw_only=True)
class Decompress:
  """Options of `lmic decompress`. start, end: seconds of a part; both None for all. salvage: write what is sound."""

  selection: Selection
  work: Work
  destination: Destination
  start: float | None
  end: float | None
  salvage: bool

  @property
  def wants_part(self) -> bool:
    return self.start is not None or self.end is not None


@dataclass(frozen=True, kw_only=True)
class Test:
  """Options of `lmic test`."""

  selection: Selection
  work: Work


@dataclass(frozen=True, kw_only=True)
class Info:
  """Options of `lmic info`."""

  selection: Selection
  json: bool


@dataclass(frozen=True, kw_only=True)
class Generate:
  """Options of `lmic generate`, as `api.generation.generate` has them.

  output: a file, a stream or STANDARD. include_seed: write the seed audio before what goes on with it.
  """

  model: str
  output: str
  duration: float
  sample_rate: int | None
  num_channels: int | None
  bit_depth: int | None
  num_sequences: int
  temperatures: tuple[float, ...]
  top_p: float
  seed: int
  seed_audio: str | None
  seed_offset: float
  seed_duration: float | None
  include_seed: bool
  threads: int | None
  force: bool
  quiet: bool
  no_progress: bool


@dataclass(frozen=True, kw_only=True)
class Look:
  """Options of `lmic look`.

  models: none for the one that wrote the file, or the default one. output: a file, STANDARD, or None for FILE.html
  beside FILE. start, end: seconds of a part. threads: None for one on each core.
  """

  file: str
  models: tuple[str, ...]
  output: str | None
  force: bool
  start: float | None
  end: float | None
  threads: int | None
  quiet: bool
  no_progress: bool


Options = Compress | Decompress | Test | Info | Generate | Look
