"""Operations on lanes that only convolutions need: broadcast, sums over lanes and pairs, counts kept in lanes."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurochip.core._jit import BOUNDSCHECK, jit
from neurochip.core.lanes import _INT32, _VECTOR, LANES, N_LANES, _pointer


@intrinsic
def broadcast(typing_context: Any, array: Any, at: Any) -> Any:
    """Return 16 lanes that all hold array[at]; an index below 0 is an error, not an end. array: int32, C-contiguous."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        if BOUNDSCHECK:
            outside = builder.icmp_unsigned(">=", arguments[1], values.nitems)
            with builder.if_then(outside, likely=False):
                context.call_conv.return_user_exc(builder, IndexError, ("a broadcast reads past an end of the array",))
        number = builder.load(builder.gep(values.data, [arguments[1]]))
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, number, ir.Constant(_INT32, 0))
        return builder.shuffle_vector(first, nothing, ir.Constant(_VECTOR, [0] * N_LANES))

    return LANES(array, types.int64), build


@intrinsic
def total(typing_context: Any, values: Any) -> Any:
    """Return the sum of the 16 lanes, int64."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.VectorType(ir.IntType(64), N_LANES)
        kind = ir.FunctionType(wide.element, [wide])
        reduce = builder.module.declare_intrinsic("llvm.vector.reduce.add.v16i64", fnty=kind)
        return builder.call(reduce, [builder.sext(arguments[0], wide)])

    return types.int64(LANES), build


@intrinsic
def count_up(typing_context: Any, count: Any, left: Any, right: Any) -> Any:
    """Return `count` with 1 added in the lanes in which left and right differ."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        different = builder.zext(builder.icmp_signed("!=", *arguments[1:]), _VECTOR)
        return builder.add(arguments[0], different)

    return LANES(LANES, LANES, LANES), build


@intrinsic
def count_bits(typing_context: Any, bits: Any) -> Any:
    """Return how many bits are set, int64."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), build


@intrinsic
def load_pairs(typing_context: Any, array: Any, start: Any) -> Any:
    """Read array[start : start + 32], int16 and C-contiguous, two entries in every lane, the first in the low half."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, start = arguments
        pointer, _ = _pointer(context, builder, signature.args[0], array, start, 2 * N_LANES)
        value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
        value.align = 2
        return value

    return LANES(array, types.int64), build


def _every_other(builder: Any, left: Any, right: Any, first: int) -> Any:
    """The 16 entries first, first + 2, ... of two vectors, one after the other."""
    return builder.shuffle_vector(left, right, ir.Constant(_VECTOR, list(range(first, first + 2 * N_LANES, 2))))


@intrinsic
def multiply_pairs(typing_context: Any, left: Any, right: Any) -> Any:
    """Return low * low + high * high of the signed halves of every lane; wraps only if all four are -2^15.

    Written so that LLVM makes it one instruction where the processor has it (vpmaddwd).
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.VectorType(_INT32, 2 * N_LANES)
        halves = ir.VectorType(ir.IntType(16), 2 * N_LANES)
        factors = [builder.sext(builder.bitcast(value, halves), wide) for value in arguments]
        products = builder.mul(*factors)
        return builder.add(*(_every_other(builder, products, ir.Constant(wide, ir.Undefined), k) for k in (0, 1)))

    return LANES(LANES, LANES), build


@intrinsic
def add_neighbours(typing_context: Any, left: Any, right: Any) -> Any:
    """Return left[0] + left[1], left[2] + left[3], ... in the lower eight lanes, those of right in the upper; wraps."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, right = arguments
        return builder.add(*(_every_other(builder, left, right, k) for k in (0, 1)))

    return LANES(LANES, LANES), build


@jit
def fold_four(a, b, c, d):
    """Return four partial sums of each of four vectors, side by side."""
    return add_neighbours(add_neighbours(a, b), add_neighbours(c, d))
