"""Both stages by as many processes as start it: `python stages_of_a_process.py OUTPUT BATCHES_OF_A_STEP`."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from flipkd.student.adapter import adapter_state
from flipkd.training.config import FlipConfig
from flipkd.training.trainer import FlipTrainer, WarmupTrainer
from tiny import pairs, student
from training.stages import LIMITS, arguments, signal_of


def main(output, batches):
    """Two steps of each stage on the same pairs in the same order, measured on 5 more after the pass."""
    config = FlipConfig(batch_pairs=4, logging_steps=1, gradient_accumulation_steps=batches, directed=True)
    table = pairs(16)
    joint = {"thresholds": LIMITS, "validation": pairs(5, seed=3)}
    for trainer, strategy, options in ((WarmupTrainer, "no", {}), (FlipTrainer, "epoch", joint)):
        folder = output / trainer.__name__
        given = arguments(folder, config, epochs=1, warmup_steps=0, eval_strategy=strategy)
        made = trainer(student(), given, config=config, pairs=table, signal=signal_of(table), **options)
        log = made.run()
        assert [record["eval_auc"] for record in log if "eval_auc" in record] or strategy == "no"
        if given.process_index == 0:
            state = {name: value.clone() for name, value in adapter_state(made.model).items()}
            save_file(state, output / f"{trainer.__name__}.safetensors", {"processes": str(given.world_size)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
    # A process that ends while the threads of its group still run is aborted now and then.
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
