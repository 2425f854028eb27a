"""An HTML page taken apart, and what is wrong with it."""

import re
from html.parser import HTMLParser

_VOID = {'meta', 'br', 'img', 'link', 'input', 'hr'}


class Page(HTMLParser):
  """tags: of all elements. ids. attributes: (tag, name, value) of all elements. texts: between the tags.

  problems: end tags without a beginning, and the other way round.
  """

  def __init__(self, text: str):
    super().__init__()
    self.tags: list[str] = []
    self.attributes: list[tuple[str, str, str]] = []
    self.texts: list[str] = []
    self.problems: list[str] = []
    self._open: list[str] = []
    self.feed(text)
    self.close()
    self.problems += [f'<{tag}> is not closed' for tag in self._open]

  @property
  def ids(self) -> list[str]:
    return [value for _, name, value in self.attributes if name == 'id']

  @property
  def references(self) -> list[str]:
    """What the page refers to: addresses, and ids as #id."""
    found = [value for _, name, value in self.attributes if name in ('src', 'href', 'xlink:href', 'action', 'data')]
    styles = [value for _, name, value in self.attributes if name in ('style', 'clip-path', 'fill', 'filter')]
    return found + re.findall(r'url\(["\']?(.*?)["\']?\)', ' '.join(styles))

  def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
    self.handle_startendtag(tag, attributes)
    if tag not in _VOID:
      self._open.append(tag)

  def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
    self.tags.append(tag)
    self.attributes += [(tag, name, value or '') for name, value in attributes]

  def handle_endtag(self, tag: str) -> None:
    if not self._open or self._open.pop() != tag:
      self.problems.append(f'</{tag}> at {self.getpos()}')

  def handle_data(self, data: str) -> None:
    self.texts.append(data)
