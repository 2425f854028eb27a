"""Version of the package."""

__version__ = '0.1.0'
FORMAT_VERSIONS = (1, 2)  # Of files that this version reads; format/layout.py has what they are.
