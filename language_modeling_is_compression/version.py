"""Version of the package."""

__version__ = '0.1.0'
FORMAT_VERSION = 5  # Of files that are written.
FORMAT_VERSIONS = (1, 2, 3, 4, FORMAT_VERSION)  # Of files that this version reads; docs/FORMAT.md has what they are.
VERSIONS_READ = ', '.join(map(str, FORMAT_VERSIONS[:-1])) + f' and {FORMAT_VERSIONS[-1]}'  # For people.
