"""Documents agree with the tree: what they name is there, and every folder of the package is named."""

import re

import pytest
from support.training_runs import REPOSITORY

PACKAGE = REPOSITORY / 'language_modeling_is_compression'


def text_of(name: str) -> str:
  return (REPOSITORY / name).read_text(encoding='utf-8')


@pytest.mark.parametrize(
  'name', ['docs/ARCHITECTURE.md', 'docs/FORMAT.md', 'docs/MODEL.md', 'docs/adr/0006-kept-code.md']
)
def test_modules_that_are_named_are_there(name):
  for path in re.findall(r'\b((?:[a-z_]+/)+[a-z_0-9]+\.py)\b', text_of(name)):
    assert (REPOSITORY / path).exists() or (PACKAGE / path).exists(), path


@pytest.mark.parametrize('folder', ['data', 'training'])
def test_every_module_from_folders_to_a_model_is_in_the_map(folder):
  (section,) = re.findall(
    r'^## From folders to a model$(.*?)^## ', text_of('docs/ARCHITECTURE.md'), re.MULTILINE | re.DOTALL
  )
  named = set(re.findall(r'[a-z_0-9]+\.py', section))
  # These are named together: evidence_*.py and *_task.py.
  modules = {path.name.removeprefix('evidence_') for path in (PACKAGE / folder).glob('[!_]*.py')}
  assert {name for name in modules - named if not name.endswith('_task.py')} == set()


def test_every_folder_of_the_package_is_in_the_architecture_and_in_the_readme():
  folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith('__')}
  for name in ('docs/ARCHITECTURE.md', 'README.md'):
    text = text_of(name)
    assert [folder for folder in folders if f'{folder}/' not in text] == [], name


@pytest.mark.parametrize(
  'name', ['README.md', *(f'docs/{name}.md' for name in ('API', 'ARCHITECTURE', 'FORMAT', 'GLOSSARY'))]
)
def test_links_lead_somewhere(name):
  folder = (REPOSITORY / name).parent
  for target in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', text_of(name)):
    assert (folder / target).exists(), target


def test_layers_of_the_contract_are_the_folders():
  """A folder that no layer names would be free to import anything."""
  text = text_of('pyproject.toml')
  layers = re.findall(r'"([a-z_ |]+)",\n', text[text.index('layers = [') : text.index('containers')])
  named = {name for layer in layers for name in layer.split(' | ')}
  found = {path.stem for path in PACKAGE.iterdir() if path.suffix == '.py' or path.is_dir()}
  assert found - named == {'__init__', '__pycache__', 'models'} & found | {'py'} & found
