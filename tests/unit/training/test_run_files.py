"""No file of an earlier run is lost, whatever becomes of the one that takes its name."""

from pathlib import Path

import pytest

from language_modeling_is_compression.config.options import RunConfig
from language_modeling_is_compression.errors import CheckpointError, ConfigError
from language_modeling_is_compression.system.files import GrowingFile, replacing
from language_modeling_is_compression.training.run_files import RunFiles, claimed_files

NAMES = ('a.npz', 'a_metrics.jsonl', 'a_training.log')


def contents(folder: Path) -> dict[str, str]:
  return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def earlier_run(folder: Path, text: str = 'earlier') -> dict[str, str]:
  for name in NAMES:
    (folder / name).write_text(text)
  return contents(folder)


class Run:
  """What a run does with its files: it writes to all of them, and saves its model now and then."""

  def __init__(self, folder: Path, text: str = 'new'):
    self._text = text
    self.files = RunFiles(folder, 'a')
    self.open = [GrowingFile(self.files.metrics), GrowingFile(self.files.log)]
    self.files.when_renamed(metrics=self.open[0].rename, log=self.open[1].rename)
    self.write()

  def write(self) -> None:
    for file in self.open:
      file.write(self._text)

  def save(self) -> None:
    self.files.save(self._write_model)

  def _write_model(self, path: Path) -> None:
    with replacing(path) as file:
      file.write(self._text.encode())

  def end(self) -> None:
    for file in self.open:
      file.close()


@pytest.fixture(params=[True, False], ids=['links', 'no links'])
def links(request, monkeypatch) -> None:
  if not request.param:
    monkeypatch.setattr('os.link', lambda *_: exec('raise OSError(1, "no links here")'))


def test_without_an_earlier_run_files_have_their_names_at_once(tmp_path):
  run = Run(tmp_path)
  assert list(contents(tmp_path)) == ['a_metrics.jsonl', 'a_training.log']
  run.save()
  run.end()
  assert contents(tmp_path) == dict.fromkeys(NAMES, 'new\n') | {'a.npz': 'new'}


def test_nothing_is_set_aside_before_there_is_a_model(tmp_path):
  before = earlier_run(tmp_path)
  for _ in range(2):
    run = Run(tmp_path)
    run.end()
    unsaved = {'a_metrics.unsaved.jsonl': 'new\n', 'a_training.unsaved.log': 'new\n'}
    assert contents(tmp_path) == before | unsaved


def test_earlier_files_are_kept_under_numbers(tmp_path, links):
  earlier_run(tmp_path, 'first')
  for text in ('second', 'third'):
    run = Run(tmp_path, text)
    run.save()
    run.write()
    run.save()
    run.end()
  found = contents(tmp_path)
  assert found.pop('a.npz') == 'third'
  assert found.pop('a_metrics.jsonl') == found.pop('a_training.log') == 'third\nthird\n'
  assert found == {
    'a.1.npz': 'first',
    'a_metrics.1.jsonl': 'first',
    'a_training.1.log': 'first',
    'a.2.npz': 'second',
    'a_metrics.2.jsonl': 'second\nsecond\n',
    'a_training.2.log': 'second\nsecond\n',
  }


def test_a_number_that_any_file_has_is_taken(tmp_path):
  earlier_run(tmp_path)
  (tmp_path / 'a_training.1.log').write_text('a log without a model')
  run = Run(tmp_path)
  run.save()
  run.end()
  assert (tmp_path / 'a.2.npz').read_text() == (tmp_path / 'a_metrics.2.jsonl').read_text() == 'earlier'
  assert (tmp_path / 'a_training.1.log').read_text() == 'a log without a model'


def test_a_model_that_cannot_be_written_leaves_all_as_it_was(tmp_path, links):
  before = earlier_run(tmp_path)
  run = Run(tmp_path)

  def write(path: Path) -> None:
    assert path.read_text() == 'earlier', 'there was a moment without a model'
    raise CheckpointError('no room')

  for _ in range(2):
    with pytest.raises(CheckpointError, match='no room'):
      run.files.save(write)
  run.end()
  assert {name: text for name, text in contents(tmp_path).items() if 'unsaved' not in name} == before


def test_a_log_that_cannot_take_its_name_costs_no_model(tmp_path, caplog):
  earlier_run(tmp_path)
  run = Run(tmp_path)
  run.files.when_renamed(log=lambda path: exec('raise OSError(28, "No space left")'))
  run.save()
  run.end()
  assert (tmp_path / 'a.npz').read_text() == 'new' and (tmp_path / 'a_training.1.log').read_text() == 'earlier'
  assert [record.getMessage() for record in caplog.records if record.levelname == 'WARNING'] == [
    f'{tmp_path}/a_training.log: cannot take its name: No space left'
  ]


def test_a_second_run_is_refused(tmp_path):
  config = RunConfig(output_dir=str(tmp_path / 'out'), model_name='a')
  with claimed_files(config) as files:
    assert files.model == tmp_path / 'out/a.npz'
    with pytest.raises(ConfigError, match='another run is writing'), claimed_files(config):
      pass
  with claimed_files(config):
    pass
  assert list((tmp_path / 'out').iterdir()) == []


def settings_of(folder: Path) -> dict[str, str]:
  """The last line of each settings file."""
  return {path.name: path.read_text().splitlines()[-1] for path in sorted(folder.glob('*.toml'))}


def test_settings_are_kept_and_named_as_the_other_files(tmp_path):
  for text in ('first', 'second', 'third'):
    run = Run(tmp_path, text)
    run.files.write_settings(f'wandb_project = "{text}"\n')
    run.save()
    run.end()
  assert {name: text.split('"')[1] for name, text in settings_of(tmp_path).items()} == {
    'a.toml': 'third',
    'a.1.toml': 'first',
    'a.2.toml': 'second',
  }


def test_settings_of_a_run_without_a_model_are_marked(tmp_path):
  earlier_run(tmp_path)
  for text in ('x = 1', 'x = 2'):
    run = Run(tmp_path)
    run.files.write_settings(text)
    run.end()
    assert settings_of(tmp_path) == {'a.unsaved.toml': text}
  assert not (tmp_path / 'a.toml').exists()


def test_what_a_user_wrote_stays_where_it_is(tmp_path):
  (tmp_path / 'a.toml').write_text('seed = 1')
  for text in ('x = 1', 'x = 2'):
    run = Run(tmp_path)
    run.files.write_settings(text)
    run.save()
    run.end()
  assert settings_of(tmp_path) == {'a.toml': 'seed = 1', 'a_settings.toml': 'x = 2', 'a_settings.1.toml': 'x = 1'}


def test_settings_that_cannot_be_written_cost_no_run(tmp_path, caplog):
  files = RunFiles(tmp_path / 'gone', 'a')
  files.write_settings('x = 1')
  assert [record.getMessage() for record in caplog.records] == [
    f'{tmp_path}/gone/a.toml: cannot be written: No such file or directory'
  ]
