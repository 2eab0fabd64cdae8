"""Fine-tuning by reward: the network learns what laws a field has from its tables alone, without a single true law.

    tables -> subsets of rows -> laws drawn by the network -> constants refined on the subset
           -> reward on the rows outside of it -> advantage within the subset's laws -> clipped step of an adapter

    tuned = nbsr.finetune("base", tables, out="runs/kinetics")     # tuned.log, tuned.table, tuned.says, tuned.plot()
    nbsr.regress(df, "v ~ S + I", model="base+runs/kinetics")

A network trained on laws in general holds those of one field for unlikely, and cross-entropy on tokens never asked
whether a law fits.  Here it is asked: what it writes is refined and compared with rows that were not used for that,
and the likelihood of what did better than the other laws for the same rows is raised.  Only a low-rank adapter of the
decoder learns, under a penalty on leaving the network that it began from, and what is kept is the adapter that did
best on tables, or rows, held apart.

Sources: Ying et al., "Bridging the domain gap in equation distillation with reinforcement feedback" (REEL,
arXiv 2505.15572) on the idea; Shao et al., "DeepSeekMath" (arXiv 2402.03300), section 4.1, on advantages within a
group; Petersen et al., "Deep symbolic regression" (ICLR 2021), section 3.3, on the best share alone; Schulman et al.,
"Proximal policy optimization" (arXiv 1707.06347) on the clipped ratio; Hu et al., "LoRA" (ICLR 2022).
"""

from nbsr.reinforcement.loop import finetune
from nbsr.reinforcement.objective import Tuning
from nbsr.reinforcement.report import FineTuning
from nbsr.reinforcement.reward import log_linear

__all__ = ["FineTuning", "Tuning", "finetune", "log_linear"]
