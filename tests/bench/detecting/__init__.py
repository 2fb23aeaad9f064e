"""The parts of `make bench-detect`."""
