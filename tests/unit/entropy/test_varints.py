"""Whole numbers as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from language_modeling_is_compression.entropy.varints import NumberReader, write_natural, write_number

LIMIT = 1 << 63


@given(st.lists(st.integers(-LIMIT, LIMIT - 1) | st.integers(-300, 300)))
def test_numbers_come_back(numbers):
  reader = NumberReader(b''.join(map(write_number, numbers)))
  assert [reader.read() for _ in numbers] == numbers
  with pytest.raises(ValueError, match='no number'):
    reader.read()


@given(st.lists(st.integers(0, 2 * LIMIT - 1) | st.integers(0, 300)))
def test_naturals_come_back(numbers):
  reader = NumberReader(b''.join(map(write_natural, numbers)))
  assert [reader.read_natural() for _ in numbers] == numbers
  with pytest.raises(ValueError, match='no number'):
    reader.read_natural()


@pytest.mark.parametrize(
  ('number', 'written'), [(0, b'\0'), (127, b'\x7f'), (128, b'\x80\1'), (2 * LIMIT - 1, b'\xff' * 9 + b'\1')]
)
def test_bytes_of_naturals_are_as_the_format_says(number, written):
  assert write_natural(number) == written


@pytest.mark.parametrize(
  ('number', 'written'),
  [(0, b'\0'), (-1, b'\1'), (1, b'\2'), (-64, b'\x7f'), (64, b'\x80\1'), (-LIMIT, b'\xff' * 9 + b'\1')],
)
def test_bytes_are_as_the_format_says(number, written):
  assert write_number(number) == written


@pytest.mark.parametrize(
  'data',
  [
    pytest.param(b'', id='nothing'),
    pytest.param(b'\x80', id='no end'),
    pytest.param(b'\x80' * 30 + b'\0', id='no end within 64 bits'),
    pytest.param(b'\xff' * 9 + b'\2', id='65 bits'),
    pytest.param(b'\xff' * 9 + b'\x7f', id='70 bits'),
  ],
)
def test_what_is_no_number(data):
  with pytest.raises(ValueError, match='no number'):
    NumberReader(data).read()


def test_position_is_after_what_was_read():
  reader = NumberReader(b'\x80\1\5rest')
  assert (reader.read(), reader.position) == (64, 2)
  assert (reader.read(), reader.position) == (-3, 3)


@given(st.binary(max_size=12))
def test_any_bytes(data):
  reader = NumberReader(data)
  try:
    number = reader.read()
  except ValueError:
    return
  assert -LIMIT <= number < LIMIT
  assert 0 < reader.position <= len(data)
