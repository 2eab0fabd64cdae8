"""What a law looks like before its data are seen: random laws with data, to train on and to be held out.

    pool = SkeletonPool(PriorConfig(), vocabulary, held_out, seed=0)
    pool.batch(7, 256)                   # training instances, a pure function of seed, index and size
    pool.stream(0, 256, workers=2)       # the same batches one after the other, drawn ahead by processes
    pool.validation(512)                 # instances of laws that no batch has
    log_prior(config, vocabulary, law)   # how likely the trees are to spell a law

A law is drawn as a random tree (`trees`), simplified and compared with what is held out (`skeletons`), and then gets
constants and points (`points`).
"""

from nbsr.prior.config import PriorConfig
from nbsr.prior.order import ordered
from nbsr.prior.pool import Instances, SkeletonPool
from nbsr.prior.skeletons import HeldOut
from nbsr.prior.trees import log_prior

__all__ = ["HeldOut", "Instances", "PriorConfig", "SkeletonPool", "log_prior", "ordered"]
