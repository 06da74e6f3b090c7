"""Temporal credit: which presynaptic factor stands for the past."""
