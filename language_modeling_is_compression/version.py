"""Version of the package."""

__version__ = '0.1.0'
FORMAT_VERSIONS = (1, 2, 3, 4)  # Of files that this version reads; format/layout.py has what they are.
VERSIONS_READ = ', '.join(map(str, FORMAT_VERSIONS[:-1])) + f' and {FORMAT_VERSIONS[-1]}'  # For people.
