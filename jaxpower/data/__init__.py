"""Data sets as arrays, for every wing; knows no framework."""
