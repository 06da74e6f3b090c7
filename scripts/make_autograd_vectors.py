"""Write tests/validation/data/autograd_vectors.json: gradients of spiking networks by PyTorch's autograd.

    python scripts/make_autograd_vectors.py            (needs torch; nothing of neurochip is used)

Every case is a random LIF network with its events, weights and the gradient of the loss summed over the steps,
(1 - alpha) CE + alpha MSE, on float64. A spike is H(u - theta) forward and psi(u - theta) backward. With reset_path
"detached" the amount a reset removes, theta s or u s, is a constant of the graph.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent.parent / "tests" / "validation" / "data" / "autograd_vectors.json"
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


def main() -> None:
    """Write all cases, inputs and results, in full float64 precision."""
    import torch

    cases = [make_case(index) for index in range(len(CASES))]
    cases = [{**case, **autograd(case)} for case in cases]
    lines = ",\n".join(json.dumps(case) for case in cases)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {OUTPUT.stat().st_size} bytes: {OUTPUT}")


if __name__ == "__main__":
    main()
