"""Text of unknown origin, such as names of files, on terminals and in reports."""


def printable(text: str, max_chars: int | None = None) -> str:
  """One line that every terminal can show: unprintable characters escaped, the middle of a long text left out."""
  text = ''.join(char if char.isprintable() else char.encode('unicode_escape').decode() for char in text)
  if max_chars is None or len(text) <= max_chars:
    return text
  end = (max_chars - 1) // 2
  return f'{text[: max_chars - 1 - end]}…{text[len(text) - end :]}'
