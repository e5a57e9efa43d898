"""What the two stages share: a `transformers.Trainer` over a student and named loss terms.

Resume, gradient accumulation, logging integrations, early stopping and accelerate are the Trainer's own.
Added are: only the adapter is saved, each term and the norm of its gradient is logged, a loss or gradient
that is not finite stops the run, and Ctrl-C leaves a checkpoint.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.data_loader import prepare_data_loader
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from flipkd.console import announce
from flipkd.device import use_one_gpu
from flipkd.errors import FlipkdError
from flipkd.student.adapter import adapter_state, require_finite
from flipkd.student.model import Student
from flipkd.training.batches import GroupedBatches, Items
from flipkd.training.callbacks import InterruptCallback, PatienceCallback

_WEIGHTS = "model.safetensors"
_LAST_WRITTEN = "trainer_state.json"
"""The Trainer writes this file of a checkpoint last: without it the checkpoint is a torn one."""
NORMS_EVERY = 5
"""Logging steps from one with the norms of the terms' gradients to the next: each norm costs a backward pass."""


class Terms(NamedTuple):
    """The loss of one batch.

    Attributes:
        weighted: The terms whose sum is the loss, scalars with a graph.
        parts: Further figures to log, scalars, before weighting.
    """

    weighted: dict[str, Tensor]
    parts: dict[str, Tensor]


class StageTrainer(Trainer):  # type: ignore[misc]
    """One stage of training a student.

    Args:
        student: The student; only its adapter is trained and saved.
        args: As for any Trainer.
        batches: The batch sampler.
        items: How many items the sampler draws from.
        collator: Makes a batch of item numbers.
        kwargs: Further arguments of the Trainer, such as callbacks.

    Raises:
        FlipkdError: If gradient checkpointing is reentrant, which would cut the vectors' graph silently, mixed
            precision is asked for, or the metric for the best checkpoint is unknown.
    """

    stage = "training"
    metric_names: tuple[str, ...] = ()
    """The metrics that can choose the best checkpoint."""

    def __init__(
        self,
        student: Student,
        args: TrainingArguments,
        *,
        batches: GroupedBatches,
        items: int,
        collator: Any,
        **kwargs: Any,
    ) -> None:
        reentrant = (args.activation_checkpointing_kwargs or {}).get("use_reentrant", False)
        if args.activation_checkpointing and reentrant:
            raise FlipkdError(
                "Reentrant gradient checkpointing gives the vectors no gradient; set use_reentrant=False."
            )
        if args.bf16 or args.fp16:
            raise FlipkdError(
                "Mixed precision would round the log-odds, and stays on after the training. Leave bf16 and fp16 out: "
                "the dtype of the base model decides."
            )
        metric = args.metric_for_best_model
        if metric is not None and f"eval_{metric.removeprefix('eval_')}" not in self.metric_names:
            known = f"use one of {', '.join(self.metric_names)}" if self.metric_names else "this stage measures nothing"
            raise FlipkdError(f"metric_for_best_model is {metric!r}; {known}.")
        use_one_gpu(args)
        self._batches = batches
        self._window: dict[str, list[float]] = defaultdict(list)
        self._normed_step = -1
        self._term_names: list[str] = []
        self.interrupt = InterruptCallback()
        super().__init__(model=student, args=args, train_dataset=Items(items), data_collator=collator, **kwargs)
        self.add_callback(self.interrupt)
        self.add_callback(PatienceCallback(self.callback_handler))
        # The Trainer would otherwise take the student's **rows for loss arguments and rescale accumulated losses.
        self.model_accepts_loss_kwargs = False

    def terms(self, model: nn.Module, batch: Mapping[str, Any]) -> Terms:
        """The loss of one batch, by term."""
        raise NotImplementedError

    def where(self, rows: list[int]) -> str:
        """Where the user finds the items that a batch calls ``rows``."""
        return f"items {rows}, counted from 0"

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches come from the sampler as they are, whole ones in turn where there are several processes."""
        self._batches.deal_out(self.args.process_index, self.args.world_size)
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset, batch_sampler=self._batches, collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers, pin_memory=self.args.dataloader_pin_memory,
        )  # fmt: skip
        device = self.accelerator.device
        return prepare_data_loader(loader, device, num_processes=1, put_on_device=True)  # type: ignore[no-any-return]

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As any Trainer's; Ctrl-C and SIGTERM are the caller's again when it ends, whichever way.

        Raises:
            KeyboardInterrupt: After Ctrl-C or SIGTERM, once a checkpoint is written.
        """
        try:
            done = super().train(*args, **kwargs)
        finally:
            self.interrupt.give_back()
        if self.interrupt.interrupted:
            raise KeyboardInterrupt
        return done

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # The Trainer asks only after a step whether it should have stopped before it began.
        if not self.control.should_training_stop and self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)

    def compute_loss(self, model: nn.Module, inputs: Mapping[str, Any], **_: Any) -> Tensor:
        """The sum of the terms, each logged, with the norm of its gradient at every fifth logging step.

        Raises:
            FlipkdError: If the loss is not finite; names the step and where the batch's pairs stand.
        """
        terms = self.terms(model, inputs)
        loss = torch.stack(list(terms.weighted.values())).sum()
        if not torch.isfinite(loss):
            shown = {name: float(value.detach()) for name, value in terms.weighted.items()}
            raise FlipkdError(
                f"The loss of the {self.stage} is not finite at step {self.state.global_step + 1}: {shown}. "
                f"The batch: {self.where(inputs['rows'].tolist())}. Nothing was written; lower the learning rate, or "
                "look at these."
            )
        if self._norms_are_due():
            self._normed_step = self.state.global_step
            if len(terms.weighted) > 1:
                self._log_norms(model, terms.weighted)
        self._term_names = list(terms.weighted)
        for name, value in (*terms.weighted.items(), *terms.parts.items()):
            self._window[name].append(float(value.detach()))
        return loss

    def _norms_are_due(self) -> bool:
        """Whether steps are logged, this is one with norms, and they are not yet known."""
        step = self.state.global_step
        if step == self._normed_step or self.args.logging_strategy != "steps":
            return False
        first = step == 0 and self.args.logging_first_step
        return bool(first or (step + 1) % (NORMS_EVERY * max(1, int(self.state.logging_steps or 1))) == 0)

    def _log_norms(self, model: nn.Module, weighted: Mapping[str, Tensor]) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        for name, term in weighted.items():
            if term.requires_grad:
                found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
                norms = [g.norm() for g in found if g is not None]
                self._window[f"{name}_grad_norm"].append(float(torch.stack(norms).norm()) if norms else 0.0)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise FlipkdError(
                f"The gradient of the {self.stage} is not finite at step {self.state.global_step + 1}. "
                "Nothing was written; lower the learning rate."
            )
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the terms' means since the last log."""
        if "loss" in logs:
            if len(self._term_names) == 1:
                # One term's gradient is the whole one, which the Trainer has measured already.
                logs[f"{self._term_names[0]}_grad_norm"] = logs["grad_norm"]
            logs |= {name: sum(values) / len(values) for name, values in self._window.items()}
            self._window.clear()
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, **_: Any) -> None:
        """Save the trained parameters alone."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._finite_state(), folder / _WEIGHTS)

    def _finite_state(self) -> dict[str, Tensor]:
        state = adapter_state(self.model)
        require_finite(state, f"After step {self.state.global_step} of the {self.stage} the adapter")
        return state

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_adapter_state(model or self.model, Path(resume_from_checkpoint) / _WEIGHTS)

    def _load_best_model(self) -> None:
        announce(
            "best checkpoint",
            self.state.best_model_checkpoint,
            f"{self.args.metric_for_best_model} on validation",
        )
        load_adapter_state(self.model, Path(self.state.best_model_checkpoint) / _WEIGHTS)

    def run(self) -> list[dict[str, float]]:
        """Train, from the last whole checkpoint if there is one.

        Returns:
            The log: one record a logging step.

        Raises:
            FlipkdError: If a loss, a gradient or a weight is not finite, or the adapter is as it was before.
            KeyboardInterrupt: After Ctrl-C or SIGTERM, once the checkpoint is written.
        """
        before = {name: value.clone() for name, value in adapter_state(self.model).items()}
        last = last_checkpoint(Path(self.args.output_dir))
        if last is not None:
            announce(self.stage, f"resumes at {Path(last).name}", "an unfinished run was found")
        self.train(resume_from_checkpoint=last)
        if all(torch.equal(before[name], value) for name, value in self._finite_state().items()):
            raise FlipkdError(
                f"The {self.stage} left the adapter unchanged in {self.state.global_step} steps: its learning rate, "
                f"which rises from 0, is {self.args.learning_rate:g}, or no term gave it a gradient. Nothing was "
                "learnt, so nothing is written. Give it more pairs or passes, or a higher rate."
            )
        return [dict(record) for record in self.state.log_history]


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in `folder` that was written whole; torn ones are removed."""
    while folder.is_dir() and (found := get_last_checkpoint(str(folder))) is not None:
        if _is_whole(Path(found)):
            return str(found)
        shutil.rmtree(found)
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _LAST_WRITTEN).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return True


def load_adapter_state(model: nn.Module, file: Path) -> None:
    """Put stored adapter parameters into a model.

    Raises:
        FlipkdError: If the names differ, so that nothing is loaded in part.
    """
    stored = load_file(file)
    own = {name: p for name, p in model.named_parameters() if ".lora_" in name}
    if stored.keys() != own.keys():
        raise FlipkdError(f"{file} holds another adapter: {len(stored.keys() ^ own.keys())} parameter names differ.")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(stored[name])
