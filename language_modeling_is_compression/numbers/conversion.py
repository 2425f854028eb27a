def integers_from_patterns(patterns, kind):
  raise NotImplementedError


def patterns_from_integers(samples, side, kind, pattern_bytes):
  raise NotImplementedError
