"""Encoders: images, audio and raw events become steps of events, one encoder per file."""
