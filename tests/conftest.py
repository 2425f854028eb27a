"""What every test relies on, set before the first of them."""

import signal

import jax

# Who runs tests in the background may ignore Ctrl-C, and the commands that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two CPU devices, so that what is laid over devices is laid over more than one; JAX must not have started yet. Not in
# the environment, where the commands that end-to-end tests start would find it.
jax.config.update('jax_num_cpu_devices', 2)
