"""Entry point of the command `lmic`."""

import sys


def main() -> int:
  """As `cli.main`, whose imports take a second or two, in which Ctrl-C may come as well."""
  try:
    from language_modeling_is_compression.cli import main as lmic_main

    return lmic_main.main()
  except KeyboardInterrupt:
    return 130


if __name__ == '__main__':
  sys.exit(main())
