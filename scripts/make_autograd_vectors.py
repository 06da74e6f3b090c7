"""Write gradients of spiking networks by PyTorch's autograd to tests/validation/data/autograd_*.json.

    python scripts/make_autograd_vectors.py            (needs torch; nothing of neurochip is used)

Every case is a random LIF network with its events, weights and the gradient of the loss summed over the steps,
(1 - alpha) CE + alpha MSE, on float64. A spike is H(u - theta) forward and psi(u - theta) backward. With reset_path
"detached" the amount a reset removes, theta s or u s, is a constant of the graph. `autograd_vectors.json` holds chains
of dense layers; `autograd_networks.json` has convolutions, pools, delays, sums, heads, windows, steps without loss and
synaptic currents, i = current i + W x + b, u = leak u + i.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "tests" / "validation" / "data"
LEAKS = (0.5, 0.75, 0.9375)
THRESHOLDS = (1.0, 0.8, 1.25)
CLEARANCE = 1e-6  # no membrane may be closer to its threshold: rounding must not decide on a spike
# hidden layers, reset, reset path, surrogate, share of squared error
CASES = (
    (1, "subtract", "detached", "sigmoid", 0.0),
    (1, "subtract", "exact", "sigmoid", 0.25),
    (1, "zero", "detached", "sigmoid", 0.0),
    (1, "zero", "exact", "sigmoid", 0.0),
    (2, "subtract", "detached", "sigmoid", 0.05),
    (2, "subtract", "exact", "sigmoid", 0.0),
    (2, "zero", "detached", "triangle", 0.0),
    (2, "zero", "exact", "sigmoid", 0.05),
    (2, "subtract", "exact", "triangle", 0.0),
    (2, "subtract", "detached", "rectangle", 0.0),
    (3, "subtract", "detached", "sigmoid", 0.0),
    (3, "subtract", "exact", "sigmoid", 1.0),
    (3, "zero", "detached", "sigmoid", 0.0),
    (3, "zero", "exact", "triangle", 0.0),
)


def make_case(index: int) -> dict[str, Any]:
    """Draw the inputs of one case: sizes, weights [n_in + 1, n_out] (bias last), events per step, label."""
    n_hidden, reset, reset_path, surrogate, mse_share = CASES[index]
    rng = random.Random(20220 + index)
    sizes = [7, *(6, 5, 6)[:n_hidden], 3]
    weights = []
    for n_in, n_out in pairwise(sizes):
        scale = 2.2 / n_in**0.5
        weights.append([[rng.gauss(0.08, scale) for _ in range(n_out)] for _ in range(n_in)])
        weights[-1].append([rng.gauss(0.1, 0.2) for _ in range(n_out)])
    steps = [[[a, rng.randint(1, 2)] for a in range(sizes[0]) if rng.random() < 0.45] for _ in range(8)]
    rule = {"reset": reset, "reset_path": reset_path, "surrogate": surrogate, "mse_share": mse_share}
    neurons = {"leaks": list(LEAKS[:n_hidden]), "thresholds": list(THRESHOLDS[:n_hidden])}
    return {"sizes": sizes, **neurons, **rule, "label": index % 3, "events": steps, "weights": weights}


def spike_function(torch: Any, surrogate: str) -> Callable[[Any], Any]:
    """Return x -> H(x) whose derivative is psi(x)."""

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Any) -> Any:
            context.save_for_backward(x)
            return (x >= 0).to(x.dtype)

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            (x,) = context.saved_tensors
            if surrogate == "sigmoid":
                return gradient * 4 * torch.sigmoid(4 * x) * (1 - torch.sigmoid(4 * x))
            if surrogate == "triangle":
                return gradient * torch.clamp(1 - x.abs(), min=0)
            return gradient * (x.abs() <= 0.5).to(x.dtype)

    function: Callable[[Any], Any] = Spike.apply
    return function


def autograd(case: dict[str, Any]) -> dict[str, Any]:
    """Return cross-entropy (summed over the steps), summed readout, spikes per layer and gradients of one case."""
    import torch

    spike = spike_function(torch, case["surrogate"])
    weights = [torch.tensor(rows, dtype=torch.float64, requires_grad=True) for rows in case["weights"]]
    residual: list[Any] = [torch.zeros(n, dtype=torch.float64) for n in case["sizes"][1:-1]]
    spikes = [0] * len(residual)
    target = torch.nn.functional.one_hot(torch.tensor(case["label"]), case["sizes"][-1]).to(torch.float64)
    loss, cross_entropy, readout_sum = 0.0, 0.0, torch.zeros(case["sizes"][-1], dtype=torch.float64)
    for events in case["events"]:
        x = torch.zeros(case["sizes"][0], dtype=torch.float64)
        for address, magnitude in events:
            x[address] = magnitude
        for layer, (leak, threshold) in enumerate(zip(case["leaks"], case["thresholds"], strict=True)):
            u = leak * residual[layer] + x @ weights[layer][:-1] + weights[layer][-1]
            if (u - threshold).abs().min() < CLEARANCE:
                raise ValueError(f"a membrane is within {CLEARANCE} of its threshold; draw another seed")
            x = spike(u - threshold)
            removed = threshold * x if case["reset"] == "subtract" else u * x
            residual[layer] = u - (removed.detach() if case["reset_path"] == "detached" else removed)
            spikes[layer] += int(x.sum())
        z = x @ weights[-1][:-1] + weights[-1][-1]
        ce = torch.nn.functional.cross_entropy(z, target)
        loss = loss + (1 - case["mse_share"]) * ce + case["mse_share"] * torch.nn.functional.mse_loss(z, target)
        cross_entropy += float(ce.detach())
        readout_sum += z.detach()
    loss.backward()
    gradients = [w.grad.tolist() for w in weights]
    sums = {"cross_entropy": cross_entropy, "readout_sum": readout_sum.tolist(), "spikes": spikes}
    return {**sums, "gradients": gradients}


def source(layer: int, pool: tuple[str, int, int] | None = None, delay: int = 0, cut: bool = False) -> dict[str, Any]:
    """One source of a layer: -1 is the input of the network; a cut one brings no error back."""
    return {"layer": layer, "pool": pool, "delay": delay, "cut": cut}


def lif(n: int, *inputs: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A dense layer; `inputs` come one behind the other, the sources of one of them are added."""
    return {"kind": "dense", "map": [n, 1, 1], "inputs": list(inputs), "leak": 0.75, "threshold": 1.0, **fields}


def conv(shape: list[int], kernel: list[int], *inputs: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A convolution to a map of [channels, height, width]."""
    layer = {"kind": "conv", "map": shape, "kernel": kernel, "stride": [1, 1], "padding": [0, 0], "groups": 1}
    return {**lif(0, *inputs), **layer, **fields}


def readout(*inputs: list[dict[str, Any]], leak: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A readout of three classes."""
    return {**lif(3, *inputs), "kind": "readout", "leak": leak, **fields}


AVERAGE, SUM = ("avg", 2, 2), ("sum", 2, 2)
RULE = {"reset": "subtract", "reset_path": "detached", "window": 0, "loss_start": 1, "update_every": 1}
RULE |= {"surrogate": "sigmoid", "mse_share": 0.0, "channels_first": False}
EXACT = {"reset_path": "exact"}
RECURRENT = [lif(6, [source(-1)], [source(0, delay=1)]), lif(5, [source(0)], [source(1, delay=1)], leak=0.5)]
RECURRENT += [readout([source(1)], leak=0.875)]
MAPS = [conv([3, 6, 6], [3, 3], [source(-1)], padding=[1, 1]), conv([4, 2, 2], [2, 2], [source(0, AVERAGE)], gain=2.0)]
BLOCKS = [*MAPS, lif(6, [source(1, cut=True)]), lif(5, [source(2)], leak=0.5), lif(5, [source(3, cut=True)])]
CUBA = [lif(6, [source(-1)], current=0.625, gain=0.4), lif(5, [source(0)], leak=0.5, current=0.875, gain=0.4)]
CUBA_LEAKY = [*CUBA, readout([source(1)], leak=0.875, current=0.75, gain=0.2)]
CUBA_DELAYED = [lif(6, [source(-1)], [source(0, delay=1)], current=0.75, gain=0.4), RECURRENT[1]]
CUBA_DELAYED += [readout([source(1)], leak=0.5, current=0.875, gain=0.3)]
STRIDED = {"stride": [2, 1], "padding": [1, 0], "groups": 2}
SAME = {"padding": [1, 1], "leak": 0.5}
# name, [channels, height, width] of the input, layers, rule
NETWORKS: tuple[tuple[str, list[int], list[dict[str, Any]], dict[str, Any]], ...] = (
    ("conv-avgpool", [2, 6, 6], [*MAPS, readout([source(1, AVERAGE)])], {}),
    ("conv-avgpool-exact", [2, 6, 6], [*MAPS, readout([source(1)])], EXACT | {"mse_share": 0.25}),
    ("stride-groups", [4, 5, 6], [
     conv([6, 3, 5], [3, 2], [source(-1)], **STRIDED), lif(5, [source(0, AVERAGE)], gain=2.0),
     readout([source(1)])], {"channels_first": True, "reset": "zero"}),
    ("sumpool-groups", [2, 7, 6], [conv([4, 2, 3], [2, 1], [source(-1, SUM)], groups=2), readout([source(0)])], EXACT),
    ("recurrent", [5, 1, 1], RECURRENT, {}),
    ("recurrent-exact", [5, 1, 1], RECURRENT, EXACT),
    ("recurrent-zero-exact", [5, 1, 1], RECURRENT, EXACT | {"reset": "zero"}),
    ("recurrent-map", [2, 4, 4], [conv([2, 4, 4], [3, 3], [source(-1), source(0, delay=1)], **SAME),
     readout([source(0, SUM)], leak=0.5)], EXACT),
    ("leaky-readout", [2, 6, 6], [*MAPS, readout([source(1)], leak=0.9375)], {}),
    ("residual", [5, 1, 1], [lif(6, [source(-1)]), lif(6, [source(0)]), lif(4, [source(0), source(1)], [source(-1)]),
     readout([source(2)], [source(0)])], {}),
    ("residual-maps", [2, 4, 4], [conv([3, 4, 4], [3, 3], [source(-1)], **SAME), conv([3, 4, 4], [1, 1], [source(0)]),
     conv([2, 4, 4], [3, 3], [source(0), source(1)], **SAME), readout([source(2, SUM), source(2, SUM)])], EXACT),
    ("heads", [2, 6, 6], [*BLOCKS, readout([source(1, AVERAGE)]), readout([source(3)]), readout([source(4)])], {}),
    ("window", [5, 1, 1], RECURRENT, {"window": 3}),
    ("window-exact-maps", [2, 6, 6], [*MAPS, readout([source(1)], leak=0.5)], EXACT | {"window": 2}),
    ("window-of-one", [5, 1, 1], RECURRENT, {"window": 1}),
    ("loss-steps", [5, 1, 1], RECURRENT, {"loss_start": 3, "update_every": 2, "mse_share": 0.1}),
    ("window-loss-steps-heads", [2, 6, 6], [*BLOCKS, readout([source(1)]), readout([source(3)]), readout([source(4)])],
     {"window": 4, "loss_start": 4}),
    ("current", [5, 1, 1], [*CUBA, readout([source(1)])], {"mse_share": 0.25}),
    ("current-exact", [5, 1, 1], CUBA_LEAKY, EXACT),
    ("current-zero-exact", [5, 1, 1], [*CUBA, readout([source(1)])], EXACT | {"reset": "zero"}),
    ("current-recurrent", [5, 1, 1], CUBA_DELAYED, {"reset": "zero", "loss_start": 3, "update_every": 2}),
    ("current-recurrent-exact", [5, 1, 1], CUBA_DELAYED, EXACT | {"surrogate": "triangle"}),
    ("current-maps", [2, 4, 4], [
     conv([2, 4, 4], [3, 3], [source(-1), source(0, delay=1)], current=0.75, gain=0.4, **SAME),
     conv([3, 2, 2], [1, 1], [source(0, AVERAGE)], current=0.5), readout([source(1)])], EXACT),
    ("current-window", [5, 1, 1], CUBA_LEAKY, {"window": 3}),
)  # fmt: skip


def make_network(index: int) -> dict[str, Any]:
    """Draw events, label and weights [rows + bias rows, columns] of a network."""
    name, shape, layers, rule = NETWORKS[index]
    rng = random.Random(3500 + index)
    weights = []
    for layer in layers:
        groups, columns = layer.get("groups", 1), layer["map"][0]
        rows = sum(size_of(layer, group[0], shape, layers) for group in layer["inputs"])
        scale = layer.get("gain", 1.0) * 2.2 / (rows / groups) ** 0.5
        weights.append([[rng.gauss(0.08, scale) for _ in range(columns // groups)] for _ in range(rows)])
        weights[-1] += [[rng.gauss(0.1, 0.2) for _ in range(columns // groups)] for _ in range(groups)]
    n_inputs = shape[0] * shape[1] * shape[2]
    steps = [[[a, rng.randint(1, 2)] for a in range(n_inputs) if rng.random() < 0.45] for _ in range(8)]
    case = {"name": name, "shape": shape, "layers": layers, **RULE, **rule, "label": index % 3}
    # Through JSON and back: tuples become lists, as in what is stored.
    loaded: dict[str, Any] = json.loads(json.dumps({**case, "events": steps, "weights": weights}))
    return loaded


def size_of(layer: dict[str, Any], given: dict[str, Any], shape: list[int], layers: list[dict[str, Any]]) -> int:
    """Rows of weights for one input: channels x kernel, or neurons behind the pool."""
    channels, height, width = shape if given["layer"] < 0 else layers[given["layer"]]["map"]
    if layer["kind"] == "conv":
        return int(channels * layer["kernel"][0] * layer["kernel"][1])
    _, y, x = given["pool"] or ("", 1, 1)
    return int(channels * (height // y) * (width // x))


def layer_input(torch: Any, layer: dict[str, Any], now: dict[int, Any], before: dict[int, Any]) -> Any:
    """The input of a layer, a map or a vector in the order row, column, channel."""
    parts = []
    for group in layer["inputs"]:
        total = 0.0
        for given in group:
            x = (before if given["delay"] else now)[given["layer"]]
            x = x.detach() if given["cut"] else x
            if given["pool"]:
                kind, *window = given["pool"]
                x = torch.nn.functional.avg_pool2d(x[None], window)[0] * (window[0] * window[1] if kind == "sum" else 1)
            total = total + x
        parts.append(total)
    return parts[0] if layer["kind"] == "conv" else torch.cat([part.permute(1, 2, 0).flatten() for part in parts])


def layer_current(torch: Any, layer: dict[str, Any], weights: Any, x: Any) -> Any:
    """What the input adds to u, z or a current, as a map; rows of a kernel are ordered channel, row, column."""
    if layer["kind"] != "conv":
        return (x @ weights[:-1] + weights[-1]).reshape(layer["map"])
    groups, (height, width) = layer["groups"], layer["kernel"]
    kernels = weights[:-groups].reshape(groups, x.shape[0] // groups, height, width, -1).permute(0, 4, 1, 2, 3)
    bias, kernels = weights[-groups:].flatten(), kernels.flatten(0, 1)
    return torch.nn.functional.conv2d(x[None], kernels, bias, layer["stride"], layer["padding"], groups=groups)[0]


def network_autograd(case: dict[str, Any]) -> dict[str, Any]:
    """Return summed cross-entropy and readout of the last layer, spikes per layer and gradients of a network."""
    import torch

    def zeros(shape: list[int]) -> Any:
        return torch.zeros(shape, dtype=torch.float64)

    spike = spike_function(torch, case["surrogate"])
    weights = [torch.tensor(rows, dtype=torch.float64, requires_grad=True) for rows in case["weights"]]
    state, current, now = ({k: zeros(layer["map"]) for k, layer in enumerate(case["layers"])} for _ in range(3))
    target = torch.nn.functional.one_hot(torch.tensor(case["label"]), 3).to(torch.float64)
    loss, cross_entropy, z, readout_sum, spikes = 0.0, 0.0, zeros([3]), zeros([3]), [0] * len(weights)
    for step, events in enumerate(case["events"]):
        if case["window"] and step % case["window"] == 0:
            state, current, now = ({key: x.detach() for key, x in each.items()} for each in (state, current, now))
        channels, height, width = case["shape"]
        frame = zeros([channels * height * width])
        for address, magnitude in events:
            frame[address] = magnitude
        first = case["channels_first"]
        frame = frame.reshape(case["shape"]) if first else frame.reshape(height, width, channels).permute(2, 0, 1)
        before, now = now, {-1: frame}
        has_loss = step + 1 >= case["loss_start"] and (step + 1) % case["update_every"] == 0
        for index, layer in enumerate(case["layers"]):
            x = layer_input(torch, layer, now, before)
            # Without a current of its own, what comes is gone after the step.
            current[index] = layer.get("current", 0.0) * current[index] + layer_current(torch, layer, weights[index], x)
            u = layer["leak"] * state[index] + current[index]
            if layer["kind"] == "readout":
                state[index], z = u, u.flatten()
                ce = torch.nn.functional.cross_entropy(z, target)
                mse = torch.nn.functional.mse_loss(z, target)
                loss = loss + has_loss * ((1 - case["mse_share"]) * ce + case["mse_share"] * mse)
                continue
            if (u - layer["threshold"]).abs().min() < CLEARANCE:
                raise ValueError(f"{case['name']}: a membrane is within {CLEARANCE} of its threshold")
            now[index] = spike(u - layer["threshold"])
            removed = (layer["threshold"] if case["reset"] == "subtract" else u) * now[index]
            state[index] = u - (removed.detach() if case["reset_path"] == "detached" else removed)
            spikes[index] += int(now[index].sum())
        cross_entropy += has_loss * float(ce.detach())
        readout_sum += (step + 1 >= case["loss_start"]) * z.detach()
    loss.backward()
    sums = {"cross_entropy": cross_entropy, "readout_sum": readout_sum.tolist(), "spikes": spikes}
    return {**sums, "gradients": [w.grad.tolist() for w in weights]}


def write(name: str, cases: list[dict[str, Any]]) -> None:
    """Write inputs and results in full float64 precision."""
    import torch

    lines = ",\n".join(json.dumps(case) for case in cases)
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / name).write_text(f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {(DATA / name).stat().st_size} bytes: {DATA / name}")


def main() -> None:
    """Write all cases."""
    chains = [make_case(index) for index in range(len(CASES))]
    write("autograd_vectors.json", [{**case, **autograd(case)} for case in chains])
    networks = [make_network(index) for index in range(len(NETWORKS))]
    write("autograd_networks.json", [{**case, **network_autograd(case)} for case in networks])


if __name__ == "__main__":
    main()
