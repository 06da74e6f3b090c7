"""When gradients are applied within a sample (docs/semantics.md, section 3.6)."""

from __future__ import annotations

from neurochip.spec import CoreSpec


class Applies:
    """Counts the steps of one sample and says after which of them gradients are applied."""

    def __init__(self, spec: CoreSpec) -> None:
        unrolls = spec.credit == "unroll"
        self._spec = spec
        self._when = spec.apply_when if spec.update == "accumulate" else "sample"
        self._updates_left = spec.n_steps if unrolls else spec.n_loss_steps
        self._n_updates = 0
        self._steps_left = spec.n_steps
        self._waiting_steps = 0  # since the last apply

    def after_update(self) -> bool:
        """A step has been updated: whether it is a D-th one, or the last, of `deferred`."""
        self._n_updates += 1
        self._updates_left -= 1
        is_due = self._n_updates % self._spec.apply_every == 0 or self._updates_left == 0
        return self._when == "deferred" and is_due

    def after_window(self, n_steps: int) -> bool:
        """The reverse pass of a window has ended: whether `window` has waited for long enough, or the sample ends."""
        self._steps_left -= n_steps
        self._waiting_steps += n_steps
        is_due = self._when == "window" and (self._waiting_steps >= self._spec.apply_every or self._steps_left == 0)
        if is_due:
            self._waiting_steps = 0
        return is_due
