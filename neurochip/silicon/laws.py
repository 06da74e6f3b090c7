"""The laws of the technology files against the points and tables they stand for; Loihi's figures against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import mean

from neurochip.cost.logic import operation_price
from neurochip.cost.sram import macro_price
from neurochip.errors import UserError
from neurochip.microarch.reckon import MAX_INPUTS, MAX_RECURRENT, NEURONS_PER_WORD, WEIGHTS_PER_WORD
from neurochip.silicon.check import Check
from neurochip.silicon.figures import LogicFigures, LoihiFigures, SramFigures, SramGroup, against, figure
from neurochip.technology import Technology

FIT_PERCENT = 14.0  # largest error of the power laws, as stated with them
RATIO_PERCENT = 2.0  # write over read is stated in two digits
RATIO_NARROW_PERCENT = 5.0  # of the 32-bit sweep only two points are at hand
COMPOSED_PERCENT = 20.0  # a mean ratio of write to read stands for ratios from 0.86 (64 kB) to 1.76 (2 kB)
HOROWITZ_PERCENT = 20.0  # two CACTI devices bracket it
INTERPOLATION_PERCENT = 10.0
SLOPE_PERCENT = 0.1  # rounding of the exponent in a technology file
LOIHI_PERCENT = {"static_power_per_core": 1.0, "sram": 2.0}  # 0.82 is an upper value; 33 MB has two digits


def sram_checks(data: SramFigures, technologies: Mapping[str, Technology]) -> Iterator[Check]:
    """Reads point by point, writes by their mean ratio to reads, and Horowitz's 1 MB by CACTI's other devices."""
    for group in data.groups:
        technology = technologies[group.technology]
        name = f"CACTI {group.node}, {group.width}"
        for capacity, published in group.read.items():
            predicted = _access_pj(group, capacity, "read", technology)
            yield _model(data, name, f"read of {capacity}", published, predicted, "pJ", FIT_PERCENT)
        yield _ratio_check(data, group, name, technology)
        yield from _reckon_words(data, group, name, technology)
    published_pj = figure(data.horowitz, "published", data.file)
    for key, device in (("cacti_hp", "HP"), ("cacti_lstp", "LSTP")):
        predicted = figure(data.horowitz, key, data.file).value
        name = f"read of 1 MB, CACTI {device}"
        yield against(published_pj, "Horowitz", name, predicted, "consistency", "published", HOROWITZ_PERCENT)


def _model(
    data: SramFigures, group: str, name: str, published: float, predicted: float, unit: str, tolerance_percent: float
) -> Check:
    source, grade = data.source, data.grade
    return Check(group, name, published, predicted, unit, tolerance_percent, "model", "bottom-up", source, grade)


def _ratio_check(data: SramFigures, group: SramGroup, name: str, technology: Technology) -> Check:
    published = mean(group.write[capacity] / group.read[capacity] for capacity in group.read)
    capacity = next(iter(group.read))
    predicted = _access_pj(group, capacity, "write", technology) / _access_pj(group, capacity, "read", technology)
    tolerance = RATIO_NARROW_PERCENT if len(group.read) <= 2 else RATIO_PERCENT
    return _model(data, name, "mean write over read", published, predicted, "pJ/pJ", tolerance)


def _reckon_words(data: SramFigures, group: SramGroup, name: str, technology: Technology) -> Iterator[Check]:
    """What ReckOn's 2 kB and 64 kB memories take, by the laws and by the points, where the sweep has them."""
    if group.width != "128 bits" or not {"2kB", "64kB"} <= group.read.keys():
        return
    read, write = (
        {capacity: _access_pj(group, capacity, access, technology) for capacity in group.read}
        for access in ("read", "write")
    )
    for what, unit, of in (
        ("an operation of ReckOn", "pJ", _operation_pj),
        ("an e-prop pass of ReckOn", "nJ", _pass_nj),
    ):
        by_points, by_laws = of(group.read, group.write), of(read, write)
        yield _model(data, name, what, by_points, by_laws, unit, COMPOSED_PERCENT)


def _operation_pj(read: Mapping[str, float], write: Mapping[str, float]) -> float:
    """Half a neuron word read and written, a sixteenth of a weight word read."""
    return (read["2kB"] + write["2kB"]) / NEURONS_PER_WORD + read["64kB"] / WEIGHTS_PER_WORD


def _pass_nj(read: Mapping[str, float], write: Mapping[str, float]) -> float:
    """Every word of w_in and w_rec read and written."""
    words = (MAX_INPUTS + MAX_RECURRENT) * MAX_RECURRENT / WEIGHTS_PER_WORD
    return words * (read["64kB"] + write["64kB"]) * 1e-3


def _access_pj(group: SramGroup, capacity: str, access: str, technology: Technology) -> float:
    bits, node_nm = int(group.width.split()[0]), float(group.node.split()[0])
    words = int(capacity[:-2]) * 8192 // bits
    return macro_price(bits, words, access, technology, group.supply_v, node_nm).pj


def logic_checks(data: LogicFigures, technologies: Mapping[str, Technology]) -> Iterator[Check]:
    """Prices at their anchors must be the published ones; between anchors the law may be off."""
    technology = technologies[data.technology]
    for name, published in data.operations.items():
        operation, bits, _, node, _ = name.replace(",", "").split()
        widths = (int(bits),) * (2 if operation == "mul" else 1)
        predicted = operation_price(operation, widths, technology, data.supply.value, float(node)).pj
        if published.law:
            yield against(published, "logic prices", name, predicted, "model", "bottom-up", INTERPOLATION_PERCENT)
        else:
            yield against(published, "logic prices", name, predicted, "exact", "bottom-up")
    yield from _node_exponent(data, technology)


def _node_exponent(data: LogicFigures, technology: Technology) -> Iterator[Check]:
    """What is known at one node is moved by the slope of the 32-bit adder."""
    exponent = technology.logic.node_exponent
    if exponent is None:
        return
    old, new = (data.operations.get(f"add 32 bits, {node} nm") for node in (45, 7))
    if old is None or new is None:
        raise UserError(f"{data.file}: operations 'add 32 bits' is missing at 45 or 7 nm; the node exponent needs it")
    slope = math.log(old.value / new.value) / math.log(45 / 7)
    name = "slope of the 32-bit adder over nodes"
    yield Check(
        "logic prices", name, slope, exponent.value, "1", SLOPE_PERCENT, "model", "published", old.source, old.grade
    )


def loihi_checks(data: LoihiFigures) -> Iterator[Check]:
    """Totals of the chip, from the figures of a core."""
    figures = {key: figure(data.figures, key, data.file) for key in (*LOIHI_PERCENT, "cores", "static_power")}
    cores = figures["cores"].value
    per_core_mb = figure(data.figures, "sram_per_core", data.file).value * 1024 * 1e-6
    for key, name, predicted in (
        ("static_power_per_core", "static power of a core", figures["static_power"].value / cores),
        ("sram", "memory of the chip", cores * per_core_mb),
    ):
        yield against(figures[key], "Loihi", name, predicted, "consistency", "published", LOIHI_PERCENT[key])
