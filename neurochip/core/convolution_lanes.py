"""Operations on lanes that only convolutions need: broadcast, sum over the lanes, and counts kept in lanes."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurochip.core._jit import BOUNDSCHECK
from neurochip.core.lanes import _INT32, _VECTOR, LANES, N_LANES


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
def nonzero_bits(typing_context: Any, values: Any) -> Any:
    """Return 16 bits, int64: bit q tells whether lane q is not 0."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = ir.Constant(_VECTOR, [0] * N_LANES)
        bits = builder.bitcast(builder.icmp_signed("!=", arguments[0], zeros), ir.IntType(N_LANES))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(LANES), build


@intrinsic
def count_bits(typing_context: Any, bits: Any) -> Any:
    """Return how many bits are set, int64."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), build
