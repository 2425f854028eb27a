"""The commit that sources are of, which is asked for without writing to anybody's repository."""

import os
import shutil
import subprocess

import pytest

from language_modeling_is_compression.training import origin

pytestmark = pytest.mark.skipif(shutil.which('git') is None, reason='git is not installed')


@pytest.fixture
def sources(tmp_path, monkeypatch):
  """A repository with one file, in which the package is believed to be."""
  (tmp_path / '__init__.py').write_text('ONE = 1\n')
  for arguments in (['init', '-q'], ['add', '.'], ['commit', '-q', '-m', 'One']):
    identity = ['-c', 'user.name=Somebody', '-c', 'user.email=somebody@example.org', '-c', 'commit.gpgsign=false']
    subprocess.run(['git', *identity, *arguments], cwd=tmp_path, check=True)
  monkeypatch.setattr(origin, '_PACKAGE', tmp_path)
  return tmp_path


def commit_of(folder) -> str:
  return subprocess.run(
    ['git', 'rev-parse', 'HEAD'], cwd=folder, check=True, capture_output=True, text=True
  ).stdout.strip()


def test_a_commit_and_whether_sources_are_changed(sources):
  commit = commit_of(sources)
  assert origin.source_commit.__wrapped__() == commit
  (sources / '__init__.py').write_text('ONE = 2\n')
  assert origin.source_commit.__wrapped__() == f'{commit}+changes'


def test_sources_that_git_does_not_track(sources):
  subprocess.run(['git', 'rm', '-q', '--cached', '__init__.py'], cwd=sources, check=True)
  assert origin.source_commit.__wrapped__() is None


def test_the_index_is_left_alone(sources):
  """Somebody may commit at the same time: a file that only looks changed is no reason to write what was found out."""
  os.utime(sources / '__init__.py', (1e9, 1e9))
  index = (sources / '.git' / 'index').read_bytes()
  assert origin.source_commit.__wrapped__() == commit_of(sources)
  assert (sources / '.git' / 'index').read_bytes() == index
