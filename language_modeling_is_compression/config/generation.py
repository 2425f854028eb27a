"""How samples are drawn where nobody says it."""

DEFAULT_TEMPERATURE = 0.95
# Models leave some mass to every symbol, so that it can be coded. Drawn from all of them, one sample of a hybrid model
# in 16,384 would be any value at all, which is heard as a click.
DEFAULT_TOP_P = 0.999
MAX_SEQUENCES = 256
MAX_RATE_HZ = 1 << 24  # No sound has a higher one; a header that lies would ask for more than anybody waits for.
