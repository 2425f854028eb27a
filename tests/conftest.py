"""What every test relies on, set before the first of them."""

import signal
from collections.abc import Iterator

import jax
import pytest

# Who runs tests in the background may ignore Ctrl-C, and the commands that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two CPU devices, so that what is laid over devices is laid over more than one; JAX must not have started yet. Not in
# the environment, where the commands that end-to-end tests start would find it.
jax.config.update('jax_num_cpu_devices', 2)


@pytest.fixture
def unoptimized() -> Iterator[None]:
  """XLA compiles without optimizing, for tests whose time is compilation and whose values have a tolerance.

  What has to be the same to the bit is tested as it runs.
  """
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
