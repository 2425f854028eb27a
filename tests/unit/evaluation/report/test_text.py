"""Names and numbers as people are shown them: whatever a file is called, it is one line of text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from language_modeling_is_compression.evaluation.report.text import decimals, percent, share, speed
from language_modeling_is_compression.system.text import printable


@pytest.mark.parametrize(
  ('text', 'shown'),
  [
    ('speech/é 語.wav', 'speech/é 語.wav'),
    ('a\nb\tc', r'a\nb\tc'),
    ('\x1b[31mred', r'\x1b[31mred'),
    ('not UTF-8: \udcff', r'not UTF-8: \udcff'),
    ('gpj.\u202exe', r'gpj.\u202exe'),
    ('', ''),
  ],
)
def test_what_cannot_be_shown_is_escaped(text, shown):
  assert printable(text) == shown


@pytest.mark.parametrize(
  ('max_chars', 'shown'), [(10, '0123456789'), (9, '0123…6789'), (8, '0123…789'), (3, '0…9'), (2, '0…'), (1, '…')]
)
def test_the_middle_of_what_is_too_long_is_left_out(max_chars, shown):
  assert printable('0123456789', max_chars) == shown


# Surrogates too: Python's names of files that are not UTF-8 have them.
@given(st.text(st.characters(exclude_categories=())), st.integers(1, 20))
def test_any_text_becomes_one_line(text, max_chars):
  shown = printable(text)
  assert shown.isprintable()
  shown.encode()
  assert len(printable(text, max_chars)) == min(len(shown), max_chars)


def test_numbers():
  assert (percent(0.41627), percent(1.5), percent(None)) == ('41.63', '150.00', '–')
  assert (decimals(7.4206, 3), decimals(0.0, 1), decimals(None, 3)) == ('7.421', '0.0', '–')
  assert [speed(value) for value in (0.01234, 1.0, 99.94, 100.4, 12345.6, None)] == [
    '0.0123',
    '1.00',
    '99.9',
    '100',
    '12,346',
    '–',
  ]


@pytest.mark.parametrize(
  ('value', 'expected'),
  [
    (None, '–'),
    (0, '0'),
    (1e-9, '<0.1'),
    (0.0004, '<0.1'),
    (0.0006, '0.1'),
    (0.125, '12.5'),
    (0.9994, '99.9'),
    (0.99999, '>99.9'),
    (1.0, '100'),
  ],
)
def test_a_share_is_nothing_or_all_only_if_it_is(value, expected):
  assert share(value) == expected
