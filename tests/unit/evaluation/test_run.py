"""What an evaluation calls its models, and its run at Weights & Biases."""

import os
from typing import Any

import pytest
from support import evaluation_cases, report_cases

from language_modeling_is_compression.config.options import EvaluationConfig
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.evaluation.report import wandb_log
from language_modeling_is_compression.evaluation.run import model_names


@pytest.mark.parametrize(
  ('paths', 'names'),
  [
    (['models/speech.npz', 'default'], ['speech', 'default']),
    (['a/speech.npz', 'b/speech.npz', 'b/music.npz'], ['a/speech', 'b/speech', 'music']),
    (['a/x/speech.npz', 'b/x/speech.npz', 'c/speech.npz'], ['a/x/speech', 'b/x/speech', 'c/speech']),
    (['x/speech.npz', 'a/x/speech.npz'], ['here/x/speech', 'a/x/speech']),
    (['default', 'models/default.npz'], ['default', 'models/default']),
    (['speech.npz', 'speech.old'], ['speech.npz', 'speech.old']),
    (['speech.v1.npz', 'a/speech.v2.npz'], ['speech.v1', 'speech.v2']),
    ([], []),
  ],
)
def test_models_are_called_by_as_much_of_their_paths_as_tells_them_apart(tmp_path, monkeypatch, paths, names):
  (tmp_path / 'here').mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  assert model_names(paths) == dict(zip(paths, names, strict=True))


def test_a_path_of_nothing_but_a_root_has_a_name():
  assert list(model_names([os.sep])) == [os.sep]


@pytest.mark.parametrize('again', ['a/speech.npz', './a/../a/speech.npz', 'absolute'])
def test_the_same_path_twice_is_refused(tmp_path, monkeypatch, again):
  monkeypatch.chdir(tmp_path)
  again = str(tmp_path / 'a/speech.npz') if again == 'absolute' else again
  with pytest.raises(ConfigError, match=r'^model_path: a/speech\.npz is given twice: name each model once$'):
    model_names(['a/speech.npz', 'b/speech.npz', again])


# Weights & Biases.


@pytest.fixture
def named(monkeypatch, tmp_path):
  """What a run is called: of settings, and of an evaluation of models and one baseline."""
  monkeypatch.delenv('WANDB_NAME', raising=False)

  def named(models: list[str], **settings: Any) -> str | None:
    started: list[str | None] = []
    monkeypatch.setattr(wandb_log, 'start_wandb', lambda project, name, *_: started.append(name))
    infos = [evaluation_cases.compressor(name, parameters_bytes=1) for name in models]
    results = report_cases.of_measurements([evaluation_cases.compressor('gzip -9'), *infos], [])
    config = EvaluationConfig(audio_dir=str(tmp_path / 'recordings'), wandb_project='rates', **settings)
    wandb_log.log_to_wandb(config, results, [])
    [name] = started
    return name

  return named


def test_a_run_is_called_by_what_was_evaluated(named):
  assert named(['default', 'a/speech']) == 'default, a/speech on recordings'
  assert named([]) == 'baselines on recordings'
  assert len(named([f'model {index}' for index in range(50)]) or '') <= 100


def test_the_environments_name_is_wandbs_business(named, monkeypatch):
  monkeypatch.setenv('WANDB_NAME', 'from the environment')
  assert named(['default']) is None
  assert named(['default'], wandb_run_name='asked for') == 'asked for'


class Run:
  """A run of wandb that keeps what it is told."""

  def __init__(self) -> None:
    self.summary: dict[str, float] = {}
    self.logged: dict[str, Any] = {}

  def log(self, figures: dict[str, Any]) -> None:
    self.logged |= figures

  def finish(self) -> None:
    self.logged['finished'] = True


def test_a_model_without_bytes_has_its_code_length_there(monkeypatch, tmp_path):
  run = Run()
  monkeypatch.setattr(wandb_log, 'start_wandb', lambda *_: run)
  info = evaluation_cases.compressor('tokens', parameters_bytes=1)
  measured = evaluation_cases.measured('tokens', 'a/1.wav', 1000, None, code_length_bits=4000.0)
  config = EvaluationConfig(audio_dir='recordings', output_dir=str(tmp_path), wandb_project='rates')
  wandb_log.log_to_wandb(config, report_cases.of_measurements([info], [measured]), [])
  assert run.summary == {'whole/tokens/code_length_rate': 0.5} and run.logged['finished']
  [table] = [value for key, value in run.logged.items() if key == 'summaries']
  assert {row[table.columns.index('compressed_bytes')] for row in table.data} == {None}
