"""Loggers: places that a run's metrics are written to, behind one interface. tracking.py chooses among them."""

import csv
import io
import json
import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from language_modeling_is_compression.audio.pcm import raw_from_integers, wav_integers
from language_modeling_is_compression.format.surroundings import wav_envelope
from language_modeling_is_compression.system.files import GrowingFile, replacing

_CSV_TITLE = 'step,name,value'
_AT_THE_END = 'held_out/'


class Logger(Protocol):
  """A place that metrics are written to. Every method may raise; `Tracker` then goes on without it.

  path: of its own file or folder, None if it has none. identity: what it calls the run, for model files; None if it has
  no name for it.
  """

  path: Path | None
  identity: Mapping[str, str] | None

  def log(self, step: int, figures: Mapping[str, float]) -> None:
    """Records figures of a step, counted from 1. The same step may come again with other figures."""
    ...

  def log_table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Takes a table of texts and numbers, where it keeps such."""
    ...

  def log_audio(self, step: int, name: str, samples: np.ndarray, sample_rate_hz: int) -> None:
    """Takes sound, where it keeps such: float32 [N, C], at least -1 and less than 1.

    Loggers of plugins need not have this.
    """
    ...

  def rename(self, path: Path) -> None:
    """Gives its file or folder another name. Raises OSError; then it keeps its own."""
    ...

  def save_artifact(self, model_path: Path, metadata: Mapping[str, Any]) -> None:
    """Takes the model file, where it keeps such."""
    ...

  def close(self, exit_code: int) -> None: ...


class _FileLogger:
  """What loggers that write lines have in common. Raises OSError if the file cannot be written.

  keep_to_step: of a run that goes on, whose records up to this step stay in front; None for a new file.
  """

  identity: Mapping[str, str] | None = None

  def __init__(self, path: Path, keep_to_step: int | None = None):
    self.path: Path | None = path
    if keep_to_step is not None and path.exists():
      self._drop_later_records(path, keep_to_step)
    self._file = GrowingFile(path, append=keep_to_step is not None)

  def _drop_later_records(self, path: Path, last_step: int) -> None:
    """Removes the records of steps that are done again, and a line that was cut off. Raises OSError."""
    lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
    with replacing(path) as file:
      file.write(''.join(f'{line}\n' for line in lines if self._step_of(line) <= last_step).encode())

  def _step_of(self, line: str) -> float:
    """The step of a line; infinite for one that was cut off, and for what is measured at the end of a run."""
    raise NotImplementedError

  def log_table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Does nothing: tables have files of their own."""

  def log_audio(self, step: int, name: str, samples: np.ndarray, sample_rate_hz: int) -> None:
    """Does nothing: sounds have files of their own."""

  def rename(self, path: Path) -> None:
    self._file.rename(path)
    self.path = path

  def save_artifact(self, model_path: Path, metadata: Mapping[str, Any]) -> None:
    """Does nothing: the model file stands beside this one."""

  def close(self, exit_code: int) -> None:
    self._file.close()


class JsonLinesLogger(_FileLogger):
  """One JSON object a line. What is not finite becomes null, since JSON has no word for it."""

  def _step_of(self, line: str) -> float:
    try:
      record = json.loads(line)
      return math.inf if any(name.startswith(_AT_THE_END) for name in record) else float(record['step'])
    except (ValueError, TypeError, KeyError):
      return math.inf

  def log(self, step: int, figures: Mapping[str, float]) -> None:
    finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    self._file.write(json.dumps({'step': step, **finite}))


class CsvLogger(_FileLogger):
  """One figure a line: step, name, value.

  Figures have lines and not columns, since some appear only later (valid/*), and a row that is written stays as it is.
  """

  def __init__(self, path: Path, keep_to_step: int | None = None):
    super().__init__(path, keep_to_step)
    try:
      if not path.stat().st_size:
        self._file.write(_CSV_TITLE)
    except OSError:
      self._file.close()
      raise

  def _step_of(self, line: str) -> float:
    if line == _CSV_TITLE:
      return -math.inf
    fields = next(csv.reader([line]), [])
    whole = len(fields) == 3 and fields[0].isdigit() and not fields[1].startswith(_AT_THE_END)
    return float(fields[0]) if whole else math.inf

  def log(self, step: int, figures: Mapping[str, float]) -> None:
    if not figures:
      return
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows((step, name, value) for name, value in figures.items())
    self._file.write(text.getvalue().removesuffix('\n'))


class TensorBoardLogger:
  """A folder of event files.

  Of tensorboardX it takes the format alone: SummaryWriter hands events to a thread, and waits for ever once a full disk
  has ended that thread.

  keep_to_step: not None for a run that goes on, whose event files stay; readers take the later value of a step.
  """

  identity: Mapping[str, str] | None = None

  def __init__(self, path: Path, keep_to_step: int | None = None):
    self.path: Path | None = path
    if keep_to_step is None and path.exists():
      shutil.rmtree(path)  # Curves of two runs in a folder would be drawn as one.
    path.mkdir(exist_ok=True)
    self._num_files = 0
    self._records = self._opened(path)

  def log(self, step: int, figures: Mapping[str, float]) -> None:
    from tensorboardX.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
    _write_event(self._records, step=step, summary=Summary(value=values))

  def log_table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Does nothing: tables have files of their own."""

  def log_audio(self, step: int, name: str, samples: np.ndarray, sample_rate_hz: int) -> None:
    from tensorboardX.proto.summary_pb2 import Summary

    audio = Summary.Audio(
      sample_rate=sample_rate_hz,
      num_channels=samples.shape[1],
      length_frames=len(samples),
      encoded_audio_string=wav_of(samples, sample_rate_hz),
      content_type='audio/wav',
    )
    _write_event(self._records, step=step, summary=Summary(value=[Summary.Value(tag=name, audio=audio)]))

  def rename(self, path: Path) -> None:
    assert self.path is not None
    self._records.close()  # Windows renames no folder with an open file.
    try:
      os.replace(self.path, path)
      self.path = path
    finally:
      self._records = self._opened(self.path)  # TensorBoard reads all files of a folder, in the order of their names.

  def save_artifact(self, model_path: Path, metadata: Mapping[str, Any]) -> None:
    """Does nothing: event files hold figures."""

  def close(self, exit_code: int) -> None:
    self._records.close()

  def _opened(self, folder: Path) -> Any:
    from tensorboardX import RecordWriter

    records = RecordWriter(str(folder / f'events.out.tfevents.{int(time.time())}.{self._num_files}'))
    self._num_files += 1
    _write_event(records, file_version='brain.Event:2')  # What readers look for first.
    return records


def wav_of(samples: np.ndarray, sample_rate_hz: int) -> bytes:
  """A WAV file of 16 bits, which every browser plays. samples: as `Logger.log_audio` gets them."""
  integers = np.clip(np.floor(samples * 32768.0), -32768, 32767).astype(np.int32)
  pcm = wav_integers(sample_bytes=2, num_channels=samples.shape[1], sample_rate_hz=sample_rate_hz)
  around = wav_envelope(pcm, len(samples))
  return around.head + raw_from_integers(integers, pcm).tobytes() + around.tail


def _write_event(records: Any, **contents: Any) -> None:
  from tensorboardX.proto.event_pb2 import Event

  records.write(Event(wall_time=time.time(), **contents).SerializeToString())
  records.flush()
