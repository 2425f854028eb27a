"""Numbers that flags name and several layers use, which nothing else has to be imported for."""

SEGMENT_FRAMES = 3 << 18  # Frames of a segment at the default level, and in training.
MAX_PRESET = 3  # The last of linear/presets.py's PRESETS.
MAX_EFFORT = 2  # How hard experts can work: 0 to 2, the last of prediction/state.py's EFFORTS, which is above this.
MAX_EFFORT_NUMBER = 4  # The last of linear/presets.py's, of which two have taken the place of others.
LANES = 16  # Chunks of a file in work at a time.
TEMPERATURE = 0.95
# Models leave some mass to every symbol, so that it can be coded. Drawn from all of them, one sample of a hybrid model
# in 16,384 would be any value at all, which is heard as a click.
TOP_P = 0.999
MAX_SEQUENCES = 256
MAX_RATE_HZ = 1 << 24  # No sound has a higher one; a header that lies would ask for more than anybody waits for.
