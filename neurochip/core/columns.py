"""Names of the columns of the integer tables that describe a core to its kernels; `layout` fills them in."""

from __future__ import annotations

# Kinds of a layer.
DENSE, CONV, READOUT, FEEDBACK = 0, 1, 2, 3

# Columns of the layer table: shape.
KIND, N_IN, N_OUT, COLUMNS, STRIDE, N_BLOCKS, WIDTH = 0, 1, 2, 3, 4, 5, 6  # STRIDE: entries of a row and of a block
N_ROWS, N_BIAS_ROWS, HAS_BIAS, RUNS_ALWAYS, LEARNS = 7, 8, 9, 10, 11  # WIDTH: entries of all blocks together
# Where the part of a layer begins in the flat arrays.
WEIGHT_AT, ROW_AT, OUTPUT_AT, SIGNAL_AT, INPUT_AT, ERROR_AT, SPIKES_AT = 12, 13, 14, 15, 16, 17, 18
# Neuron, trace and presynaptic factor.
LEAK, LEAK_VALUE, THRESHOLD, RESET_ZERO, PSI_SHIFT, DELIVER_SHIFT = 19, 20, 21, 22, 23, 24
KEEPS_TRACE, TRACE_LEAK, TRACE_LEAK_VALUE, FILTER_LEAK, FILTER_LEAK_VALUE = 25, 26, 27, 28, 29
TRACE_SHIFT, INPUT_BLOCK = 30, 31  # INPUT_BLOCK: inputs that begin a new word of traces
# Error and update.
SOFTMAX_SHIFT, FRAC_ERROR, FRAC_READOUT, RESET_PATH_SHIFT = 32, 33, 34, 35
UPDATE_SHIFT, GRADIENT_SHIFT, APPLY_SHIFT, WIDE_DOT, WIDE_PRODUCT = 36, 37, 38, 39, 40
# Connections: of its inputs, of the layers that give it its error, and of itself one step late (-1: none).
FIRST_CONNECTION, N_CONNECTIONS, IS_DIRECT, BINARY_EVENTS = 41, 42, 43, 44
FIRST_LINK, N_LINKS, FUSED, GIVES_ERROR, RECURRENT, RECURRENT_SHIFT = 45, 46, 47, 48, 49, 50
# Standardisation: C, 0 where there is none, and p.
STANDARDISE_CONSTANT, STANDARDISE_SHIFT = 51, 52
# Synaptic current: its leak, LEAK_IS_NONE where events go straight into u or z.
CURRENT_LEAK, CURRENT_LEAK_VALUE = 53, 54
N_LAYER_COLUMNS = 55

# Columns of the connection table. A source is a layer; the input of the network has slot 0, layer l slot l + 1.
SOURCE_SLOT, DELAY, EVENTS_AT, MAP_AT, FIRST_RUN, N_RUNS, CARRIES_ERROR, PSI_AT = 0, 1, 2, 3, 4, 5, 6, 7
N_CONNECTION_COLUMNS = 8

# Columns of the link table: which connection of which layer brings a hidden layer its error, and its shift sd.
LINK_CONNECTION, LINK_LAYER, LINK_SHIFT = 0, 1, 2
N_LINK_COLUMNS = 3

# Columns of the run table: neighbours of the source that come to neighbouring input addresses.
RUN_SOURCE, RUN_ADDRESS, RUN_LENGTH = 0, 1, 2
N_RUN_COLUMNS = 3

# Entries of the global table.
STEPS, LAYERS, CREDIT, UPDATE, BATCH, WINDOW_STEPS, APPLY_WHEN, APPLY_EVERY = 0, 1, 2, 3, 4, 5, 6, 7
LOSS_START, UPDATE_EVERY, N_LOSS_STEPS, MOMENTUM_SHIFT = 8, 9, 10, 11
RATE, WEIGHT_LOW, WEIGHT_HIGH, WEIGHT_ROUNDING = 12, 13, 14, 15
MEMBRANE_LOW, MEMBRANE_HIGH, TRACE_HIGH, TRACE_GATE = 16, 17, 18, 19
ERROR_LOW, ERROR_HIGH, ERROR_NEAREST, DELTA_LOW, DELTA_HIGH = 20, 21, 22, 23, 24
SURROGATE_BITS, GRADIENT_LOW, GRADIENT_HIGH, READOUT_LOW, READOUT_HIGH = 25, 26, 27, 28, 29
MSE_SHARE, DELIVER_NEURON, RESET_EXACT, RNG_LANES, SYNAPSE_LANES, TRACE_LANES = 30, 31, 32, 33, 34, 35
TOTAL_IN, TOTAL_OUT, TOTAL_EVENTS, TOTAL_ERRORS, TOTAL_ROWS, TOTAL_WEIGHTS = 36, 37, 38, 39, 40, 41
KEEPS_PREVIOUS = 42  # whether some connection is one step late
STANDARDISE_EVERY = 43
N_GLOBALS = 44

CREDIT_NONE, CREDIT_TRACE, CREDIT_SPIKE, CREDIT_UNROLL = 0, 1, 2, 3
UPDATE_NONE, UPDATE_IMMEDIATE, UPDATE_ACCUMULATE = 0, 1, 2
APPLY_SAMPLE, APPLY_DEFERRED, APPLY_WINDOW = 0, 1, 2
ROUND_FLOOR, ROUND_NEAREST, ROUND_STOCHASTIC = 0, 1, 2
LEAK_IS_NONE, LEAK_IS_SHIFT, LEAK_IS_CONSTANT = 0, 1, 2
