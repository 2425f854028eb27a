"""Cancellation: once requested it stays, and a parent's request counts for its children alone."""

import pytest

from language_modeling_is_compression.errors import CancelledError
from language_modeling_is_compression.system.cancellation import Cancellation


def test_a_request_stays():
  cancellation = Cancellation()
  cancellation.check()
  assert not cancellation.requested
  for _ in range(2):
    cancellation.cancel()
    assert cancellation.requested
    with pytest.raises(CancelledError):
      cancellation.check()


def test_requests_go_downwards():
  parent = Cancellation()
  first, second = Cancellation(parent), Cancellation(parent)
  first.cancel()
  assert (parent.requested, first.requested, second.requested) == (False, True, False)
  parent.cancel()
  assert second.requested and Cancellation(second).requested
