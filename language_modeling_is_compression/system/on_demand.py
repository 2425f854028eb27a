"""Modules that are imported when something of them is first used, for what most commands start without.

    if TYPE_CHECKING:
      import numpy as np
    else:
      np = OnDemand('numpy')

The module that says so needs `from __future__ import annotations`, or its annotations would be the first use.
"""

import importlib
from typing import Any


class OnDemand:
  """Has the attributes of a module, and imports it for the first of them."""

  def __init__(self, name: str):
    self._name = name

  def __getattr__(self, attribute: str) -> Any:
    value = getattr(importlib.import_module(self._name), attribute)
    setattr(self, attribute, value)
    return value
