"""Networks: shapes, initial weights, calibration of formats, and the resolved specifications of the cores."""
