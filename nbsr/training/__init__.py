"""Training on the prior: draw laws and tables, predict each next token, step; until the steps or the time are over.

    instances -> prepare -> encode -> decode -> cross-entropy -> AdamW

    report = train("tiny", "runs/tiny")                     # report.model, report.log
    report = train("base", "runs/base", resume=True)        # go on from the latest checkpoint
    report = train("base", "runs/base", value=True)         # then the value head, on what the network proposes

Every random number is a function of the seed and the step, so a run that was killed and resumed goes through the same
batches and the same losses as one that was not.  The directory of a run:

    config/         the bundle that was used last
    log.csv         losses, learning rate, gradients and validation by step
    step-00001000/  the latest two checkpoints: a network that `nbsr.models.load` reads, and `training.pt` beside it
    best/           the network with the smallest validation loss
    value/          such a directory again, of the training of the value head

Left out on purpose: sharding of the network (it fits into any device), gradient scaling (bfloat16 needs none).

Sources: Vinyals et al., "Grammar as a foreign language" (2015) on teacher forcing; Loshchilov and Hutter, "Decoupled
weight decay regularization" (ICLR 2019); Hägele et al., "Scaling laws and compute-optimal training beyond fixed
training durations" (2024) on the trapezoid schedule.
"""

from nbsr.training.loop import Report, train
from nbsr.training.run import learning_rate

__all__ = ["Report", "learning_rate", "train"]
