"""The questions a report answers, one file each."""
