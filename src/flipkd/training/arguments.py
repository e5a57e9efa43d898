"""The arguments that the Trainer gets for a stage."""

from transformers import TrainingArguments

from flipkd.console import announce
from flipkd.training.config import FlipConfig


def training_arguments(
    config: FlipConfig, output_dir: str, *, epochs: float, learning_rate: float, evaluate: bool, device: str
) -> TrainingArguments:
    """The Trainer's arguments for one stage of a configured run: a checkpoint after every pass, two kept."""
    stops_early = evaluate and config.early_stopping_patience is not None
    if stops_early:
        announce(
            "early stopping",
            f"after {config.early_stopping_patience} passes",
            "as asked; AP on validation decides",
        )
    return TrainingArguments(
        output_dir=output_dir,
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0.06,
        max_grad_norm=config.max_grad_norm,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        activation_checkpointing=config.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        logging_steps=config.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="epoch",
        save_total_limit=2,
        eval_strategy="epoch" if stops_early else "no",
        load_best_model_at_end=stops_early,
        metric_for_best_model="eval_ap" if stops_early else None,
        greater_is_better=True if stops_early else None,
        report_to=config.report_to or "none",
        seed=config.seed,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
    )
