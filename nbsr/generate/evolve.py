"""Evolution of expressions: tournament, crossover, mutation; every constant refined, one island for each complexity."""

from nbsr.generate.base import Method, Origin, Proposals, Task, pack_phrases
from nbsr.generate.breeding import SOWN, Breeder, Child, Islands, absorb, children

__all__ = ["evolve"]

_GENERATION = 384  # children in a batch
_BARREN = 200  # generations without one that the constraints allow, before it ends


def evolve(task: Task) -> Method:
    """Children of the best laws so far, in batches, until the time is up."""
    breeder, islands = Breeder(task), Islands()
    seen: set[tuple[int, ...]] = set()
    limit = task.constraints.max_complexity
    batch: list[Child] = [
        *((((v,), ()), SOWN) for v in breeder.variables),
        *((breeder.sprout(2), SOWN) for _ in range(_GENERATION)),
        *(
            (breeder.with_required(breeder.sprout(1)), SOWN)
            for _ in range(_GENERATION if task.constraints.require else 0)
        ),
    ]
    generation = barren = 0
    while task.remaining > 0 and barren < _BARREN:
        if generation % 8 == 0:
            for tokens, constants, _ in task.best():
                batch.append((breeder.undress(tokens, constants), SOWN))
        bred = [(breeder.dress(g), born) for g, born in batch if breeder.viable(g, limit)]
        bred = [(p, born) for p, born in bred if p.complexity <= limit]
        if bred:
            phrases = [p for p, _ in bred]
            tokens, starts = pack_phrases(phrases)
            origins = [
                Origin(how, tuple([breeder.dress(g).tokens for g in parents])) for _, (how, parents) in bred
            ]
            fits = yield Proposals(tokens, starts, "evolution", restarts=0, steps=8, origins=origins)
            barren = 0
            if fits is not None:
                absorb(breeder, islands, phrases, fits)
        barren += 1
        islands.update_front()
        batch = children(breeder, islands, seen, limit, _GENERATION)
        generation += 1
