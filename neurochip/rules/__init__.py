"""Learning rules as points on three axes: temporal credit, spatial credit, and when weights change.

`presets` names the points; each value of an axis is described, and has its arithmetic, in one file below `temporal`,
`spatial` and `update`.
"""
