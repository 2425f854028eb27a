"""Two CPU devices, so that what is laid over devices is laid over more than one; JAX must not have started yet.

Set here and not in the environment, where the commands that end-to-end tests start would find it.
"""

import jax

jax.config.update('jax_num_cpu_devices', 2)
