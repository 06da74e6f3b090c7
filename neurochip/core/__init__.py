"""The simulator's inner loops: integer and float kernels, event-driven, compiled by numba."""
