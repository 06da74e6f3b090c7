"""Compiled recurrences of the microarchitectures; imported only where they run, so that numba loads late."""
