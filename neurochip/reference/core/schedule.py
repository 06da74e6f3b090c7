"""When gradients are applied and weights standardised (docs/semantics.md, sections 3.6 and 3.8)."""

from __future__ import annotations

from neurochip.spec import CoreSpec


class ApplySchedule:
    """Counts samples, learning steps and windows, and says after each whether the gradients are applied now."""

    def __init__(self, spec: CoreSpec) -> None:
        self.spec = spec
        self.when = spec.apply_when if spec.update == "accumulate" else "never"
        self.steps_of_sample = spec.n_steps if spec.credit == "unroll" else spec.n_loss_steps
        self.samples_in_batch = 0
        self.steps_learned = 0
        self.steps_since_apply = 0

    def start_sample(self) -> None:
        """Begin to count the steps of a sample."""
        self.steps_learned = 0
        self.steps_since_apply = 0

    def after_step(self) -> bool:
        """deferred(D): after every D-th step of the sample that reached the updates, and after the last of them."""
        self.steps_learned += 1
        last = self.steps_learned == self.steps_of_sample
        return self.when == "deferred" and (last or self.steps_learned % self.spec.apply_every == 0)

    def after_window(self, n_steps: int, last: bool) -> bool:
        """window(W): when at least W steps have passed since the last apply, and after the last window of a sample."""
        self.steps_since_apply += n_steps
        due = last or self.steps_since_apply >= self.spec.apply_every
        if due:
            self.steps_since_apply = 0
        return self.when == "window" and due

    def after_sample(self) -> bool:
        """sample: after every batch-th sample."""
        self.samples_in_batch += 1
        due = self.samples_in_batch == self.spec.batch
        if due:
            self.samples_in_batch = 0
        return self.when == "sample" and due

    def after_epoch(self) -> bool:
        """sample: after the last sample of an epoch, unless its batch was full."""
        due = self.samples_in_batch > 0
        self.samples_in_batch = 0
        return self.when == "sample" and due


class StandardiseSchedule:
    """Counts the samples of an epoch, and says after each whether the weights are standardised now."""

    def __init__(self, spec: CoreSpec) -> None:
        self.every = spec.standardise_every
        self.samples_since = 0

    def after_sample(self, ends_epoch: bool) -> bool:
        """After every N-th sample; the last one of an epoch waits for the applies that end it."""
        self.samples_since += 1
        due = self.samples_since == self.every and not ends_epoch
        if due:
            self.samples_since = 0
        return due

    def after_epoch(self) -> bool:
        """After the last sample of an epoch if one came since the last time."""
        due = self.every > 0 and self.samples_since > 0
        self.samples_since = 0
        return due
