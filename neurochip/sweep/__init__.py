"""Sweeps: many points of an experiment -> one table. Every point is a pure function of its configuration."""
