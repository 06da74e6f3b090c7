"""Slow, obvious twins of the fast path: the golden integer core and the tick-by-tick clocks."""
