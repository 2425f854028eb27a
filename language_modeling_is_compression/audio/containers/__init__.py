"""Parsers of containers, a module for each, and the headers of plain files."""
