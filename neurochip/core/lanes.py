"""Sixteen 32-bit integers as one value: the words of 16 columns that rows are updated in.

numba vectorises a loop over a row only when it is long, so a word of 16 columns would run column by column and the
random registers would travel through memory. These functions put LLVM's vector instructions into a kernel instead;
LLVM splits them where the processor has shorter vectors. All arithmetic wraps at 32 bits, as its names say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from neurochip.core._jit import BOUNDSCHECK

N_LANES = 16
_INT32 = ir.IntType(32)
_VECTOR = ir.VectorType(_INT32, N_LANES)


class LanesType(types.Type):
    """The type of such a value inside kernels."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _pointer(
    context: Any, builder: Any, array_type: Any, array: Any, start: Any, n_entries: int = N_LANES
) -> tuple[Any, Any]:
    """Return (pointer to 16 or so entries of a C-contiguous array from `start`, their vector type)."""
    values = context.make_array(array_type)(context, builder, array)
    if BOUNDSCHECK:
        stop = builder.add(start, ir.Constant(start.type, n_entries))
        negative = builder.icmp_signed("<", start, ir.Constant(start.type, 0))
        with builder.if_then(builder.or_(negative, builder.icmp_signed(">", stop, values.nitems)), likely=False):
            message = f"{n_entries} lanes reach past an end of the array"
            context.call_conv.return_user_exc(builder, IndexError, (message,))
    vector = ir.VectorType(context.get_data_type(array_type.dtype), n_entries)
    return builder.bitcast(builder.gep(values.data, [start]), vector.as_pointer()), vector


@intrinsic
def load(typing_context: Any, array: Any, start: Any) -> Any:
    """Read array[start : start + 16], sign-extended; of 64 bits the low 32. array: C-contiguous integers."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, vector = _pointer(context, builder, signature.args[0], *arguments)
        value = builder.load(pointer)
        value.align = vector.element.width // 8
        if vector.element.width > _INT32.width:
            return builder.trunc(value, _VECTOR)
        return value if vector == _VECTOR else builder.sext(value, _VECTOR)

    return LANES(array, types.int64), build


@intrinsic
def store(typing_context: Any, array: Any, start: Any, lanes: Any) -> Any:
    """Write the low bits of the lanes to array[start : start + 16]; to 64 bits sign-extended."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, vector = _pointer(context, builder, signature.args[0], *arguments[:2])
        value = arguments[2]
        if vector != _VECTOR:
            extend = vector.element.width > _INT32.width
            value = builder.sext(value, vector) if extend else builder.trunc(value, vector)
        builder.store(value, pointer).align = vector.element.width // 8
        return context.get_dummy_value()

    return types.void(array, types.int64, LANES), build


@intrinsic
def splat(typing_context: Any, number: Any) -> Any:
    """Return 16 lanes that all hold the low 32 bits of an integer."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.cast(builder, arguments[0], signature.args[0], types.int32)
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, number, ir.Constant(_INT32, 0))
        return builder.shuffle_vector(first, nothing, ir.Constant(_VECTOR, [0] * N_LANES))

    return LANES(number), build


@intrinsic
def count_different(typing_context: Any, left: Any, right: Any) -> Any:
    """Return in how many lanes the two differ, int64."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(builder.icmp_signed("!=", *arguments), ir.IntType(N_LANES))
        return builder.zext(builder.ctpop(bits), ir.IntType(64))

    return types.int64(LANES, LANES), build


@intrinsic
def different_bits(typing_context: Any, left: Any, right: Any) -> Any:
    """Return 16 bits, int64: bit q tells whether the two differ in lane q."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(builder.icmp_signed("!=", *arguments), ir.IntType(N_LANES))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(LANES, LANES), build


@intrinsic
def first_bit(typing_context: Any, bits: Any) -> Any:
    """Return the place of the lowest bit that is set, int64; 64 if none is."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), build


def _lanewise(build_value: Callable[[Any, Any, Any], Any]) -> Any:
    """Make a function of two lane values from one that writes its instructions."""

    @intrinsic
    def operation(typing_context: Any, left: Any, right: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return build_value(builder, *arguments)

        return LANES(LANES, LANES), build

    return operation


def _select_by(sign: str) -> Any:
    """Make a function of two lane values: y where x compares so with 0, else 0."""

    def build_value(builder: Any, x: Any, y: Any) -> Any:
        nothing = ir.Constant(_VECTOR, [0] * N_LANES)
        return builder.select(builder.icmp_signed(sign, x, nothing), y, nothing)

    return _lanewise(build_value)


where_zero = _select_by("==")  # y in the lanes in which x is 0, else 0
where_nonzero = _select_by("!=")
add = _lanewise(lambda builder, x, y: builder.add(x, y))
subtract = _lanewise(lambda builder, x, y: builder.sub(x, y))
multiply = _lanewise(lambda builder, x, y: builder.mul(x, y))
bit_and = _lanewise(lambda builder, x, y: builder.and_(x, y))
bit_xor = _lanewise(lambda builder, x, y: builder.xor(x, y))
shift_left = _lanewise(lambda builder, x, y: builder.shl(x, y))  # shift amounts 0 to 31
shift_right = _lanewise(lambda builder, x, y: builder.ashr(x, y))
shift_right_unsigned = _lanewise(lambda builder, x, y: builder.lshr(x, y))
smaller = _lanewise(lambda builder, x, y: builder.select(builder.icmp_signed("<", x, y), x, y))
larger = _lanewise(lambda builder, x, y: builder.select(builder.icmp_signed(">", x, y), x, y))
