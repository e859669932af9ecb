"""Reads records and tells what they say; never trains."""
