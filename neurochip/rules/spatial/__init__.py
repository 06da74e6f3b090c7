"""Spatial credit: how the error of the readout reaches the hidden layers."""
