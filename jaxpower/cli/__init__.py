"""The meter on the command line: measure, doctor, watch."""
