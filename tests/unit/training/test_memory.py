"""Memory of devices that count it, and nothing of those that do not."""

from types import SimpleNamespace
from typing import Any

import pytest

from language_modeling_is_compression.training.memory import memory_figures


def devices(*stats: dict[str, int] | None) -> Any:
  return [SimpleNamespace(memory_stats=lambda each=each: each) for each in stats]


@pytest.mark.parametrize(
  ('stats', 'figures'),
  [
    ([None, None], {}),
    ([{}], {}),
    ([{'bytes_in_use': 3}], {'device_memory_bytes': 3}),
    (
      [{'bytes_in_use': 3, 'peak_bytes_in_use': 9}, {'bytes_in_use': 4, 'peak_bytes_in_use': 5}],
      {'device_memory_bytes': 4, 'device_memory_peak_bytes': 9},
    ),
    ([{'bytes_in_use': 3}, None], {}),
  ],
)
def test_the_device_that_has_most_is_told(stats, figures):
  assert memory_figures(devices(*stats)) == figures
