"""Levenberg-Marquardt in torch: thousands of jobs climb side by side, each as `nbsr.refine.climb` lets it climb alone.

A step is one look at a trial point of every job: values, derivatives, and the normal equations of its free constants.
Steps, damping and verdicts follow the compiled climber rule by rule, so that both find the same but for rounding.  What
has ended leaves the batch.  Jobs come from the host once and go back once.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int

from nbsr.devices import Memory
from nbsr.evaluate import Programs
from nbsr.evaluate.device import Loaded, Tape, needs
from nbsr.refine.climb import (
    CONVERGED,
    EXACT,
    FIRST_DAMPING,
    FRESH,
    LEAST_DAMPING,
    NOT_FINITE,
    RUNNING,
    STALLED,
)
from nbsr.refine.jobs import Climb, Jobs
from nbsr.refine.problem import EXACT_FVU
from nbsr.refine.structure import DIVISOR, EXPONENT, LINEAR, LINEAR_DIVISOR, NONLINEAR

if TYPE_CHECKING:
    import torch

__all__ = ["climb_torch"]

_CROWDED = 0.6  # share of the jobs of a tape that still run, below which the others leave


@dataclass(frozen=True)
class _Precision:
    """What follows from how many digits are computed with; of double precision, the compiled climber's numbers."""

    dependent: float  # a Cholesky pivot below this share of its column's norm: the column adds nothing
    small: float  # squared norms of columns outside ask for new units,
    large: float
    exponent: int  # powers of two, up to this one
    exact: float  # FVU below which nothing is left but rounding
    least_fall: float  # share of the misfit that a step has to promise


_DOUBLE = _Precision(1e-13, 1e-120, 1e120, 1020, EXACT_FVU, 0.0)
_SINGLE = _Precision(1e-5, 1e-15, 1e15, 120, 1e-12, 1e-6)


def climb_torch(
    climb: Climb, jobs: Jobs, device: "torch.device", dtype: "torch.dtype", memory: Memory
) -> Bool[np.ndarray, " jobs"]:
    """`nbsr.refine.Climber.climb` on a device, as many jobs at a time as the memory has room for.

    Raises:
        DeviceFull: there is no room for one.
    """
    waiting = jobs.state <= RUNNING
    reached = ~waiting
    ground = _Ground(climb, device, dtype)

    def all_of_them() -> None:
        rows = np.flatnonzero(waiting)
        for part in memory.tiles(ground.needs(climb.length[rows])):
            if climb.late:
                return
            some = rows[part]
            _Crowd(ground, jobs, some).climb()
            waiting[some], reached[some] = False, True

    memory.sparing(all_of_them)
    return reached


class _Ground:
    """What all jobs of a call share, on the device."""

    def __init__(self, climb: Climb, device: "torch.device", dtype: "torch.dtype"):
        import torch

        self.climb, self.device, self.dtype = climb, device, dtype
        self.precision = _DOUBLE if dtype == torch.float64 else _SINGLE
        every = np.full(len(climb.code), climb.code.shape[1], np.int32)
        programs = Programs(climb.code, every, np.zeros_like(every), len(climb.columns))
        self.loaded = Loaded(programs, device)
        self.columns, self.targets = self.put(climb.columns), self.put(climb.targets)
        self.root_weights = self.put(climb.root_weights) if climb.root_weights.shape[1] else None
        self.members, self.linear, self.free, self.divides = _members(climb.role, climb.free_exponents)

    def put(self, array: np.ndarray) -> "torch.Tensor":
        """On the device; whole numbers as indices."""
        import torch

        kind = {"f": self.dtype, "b": torch.bool}.get(array.dtype.kind, torch.int64)
        return torch.as_tensor(np.ascontiguousarray(array)).to(kind).to(self.device)

    def needs(self, length: Int[np.ndarray, " jobs"]) -> Int[np.ndarray, " jobs"]:
        """Bytes that each job needs, so many instructions long: a look, and what is kept between looks."""
        width, free, size = self.climb.role.shape[1], self.members.shape[1], self.dtype.itemsize
        return needs(length, width, self.columns.shape[1], size, True) + size * (
            8 * free * free + 16 * free + 4 * width
        )


def _members(role: Int[np.ndarray, "programs constants"], free_exponents: bool) -> tuple[np.ndarray, ...]:
    """The free constants of each program, linear ones first: numbers [K, P]; which are linear, free, or divide."""
    linear = np.isin(role, (LINEAR, LINEAR_DIVISOR))
    free = linear | np.isin(role, (NONLINEAR, DIVISOR, *((EXPONENT,) if free_exponents else ())))
    rank = np.where(linear, 0, np.where(free, 1, 2))
    most = max(1, int(free.sum(axis=1).max(initial=1)))
    members = np.argsort(rank, axis=1, kind="stable")[:, :most]
    divides = free & np.isin(role, (DIVISOR, LINEAR_DIVISOR))
    return members, *(np.take_along_axis(mask, members, axis=1) for mask in (linear, free, divides))


@dataclass
class _Flight:
    """Jobs under way, one row each: `C` constants, of which at most `P` are free."""

    number: "torch.Tensor"  # [F] row of the crowd
    program: "torch.Tensor"  # [F]
    length: "torch.Tensor"  # [F]
    target: "torch.Tensor"  # [F]
    here: "torch.Tensor"  # [F, C]
    now: "torch.Tensor"  # [F] misfit there
    damping: "torch.Tensor"  # [F]
    state: "torch.Tensor"  # [F]
    passes: "torch.Tensor"  # [F]
    enough: "torch.Tensor"  # [F] misfit of a perfect fit
    unit: "torch.Tensor"  # [F] of the target
    members: "torch.Tensor"  # [F, P] numbers of the free constants, linear ones first
    linear: "torch.Tensor"  # [F, P]
    free: "torch.Tensor"  # [F, P]
    divides: "torch.Tensor"  # [F, P] whether it is fitted as its reciprocal
    size: "torch.Tensor"  # [F, P] units of the columns of the Jacobian
    G: "torch.Tensor"  # [F, P, P] normal equations in these units
    g: "torch.Tensor"  # [F, P]

    def __len__(self) -> int:
        return len(self.number)

    def of(self, rows: "torch.Tensor") -> "_Flight":
        return _Flight(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def count_linear(self) -> "torch.Tensor":
        return self.linear.sum(1)

    @property
    def mixed(self) -> "torch.Tensor":
        """Whether a job has linear constants and others."""
        return self.linear.any(1) & (self.free & ~self.linear).any(1)

    def moved(self, step: "torch.Tensor", size: "torch.Tensor", start: "torch.Tensor") -> "torch.Tensor":
        """Constants [F, C] after a step [F, P] in units of `size`; a divisor's is the change of its reciprocal."""
        import torch

        before, change = start.gather(1, self.members), step * size
        factor = torch.where((1.0 + change).abs() > 1e-12, 1.0 + change, 1e-12)
        after = torch.where(self.divides, before / factor, before + change)
        return start.scatter(1, self.members, torch.where(self.free, after, before))

    def accept(self, which: "torch.Tensor", theta: "torch.Tensor", seen: "_Look") -> None:
        """Go on from another point, where `which` [F] says so."""
        import torch

        def chosen(new: "torch.Tensor", old: "torch.Tensor") -> "torch.Tensor":
            return torch.where(which.view(-1, *[1] * (new.ndim - 1)), new, old)

        self.here, self.now = chosen(theta, self.here), chosen(seen.misfit, self.now)
        self.G, self.g, self.size = (
            chosen(seen.G, self.G),
            chosen(seen.g, self.g),
            chosen(seen.size, self.size),
        )


@dataclass
class _Look:
    """What there is to see at a point: the misfit [F] and the normal equations, with the sizes that they are in."""

    misfit: "torch.Tensor"
    G: "torch.Tensor"
    g: "torch.Tensor"
    size: "torch.Tensor"

    def put(self, rows: "torch.Tensor", other: "_Look") -> None:
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(other, field.name)


class _Crowd:
    """Jobs that climb at the same time."""

    def __init__(self, ground: _Ground, jobs: Jobs, rows: Int[np.ndarray, " crowd"]):
        import torch

        climb, put = ground.climb, ground.put
        self.ground, self.jobs, self.rows = ground, jobs, rows
        self.tolerance = max(climb.tolerance, ground.precision.least_fall)
        owner, target = jobs.owner[rows], climb.target[rows]
        self.fresh = put(jobs.state[rows] == FRESH)
        unit, most = put(climb.units[target]), ground.members.shape[1]
        self.flight = _Flight(
            number=torch.arange(len(rows), device=ground.device),
            program=put(owner),
            length=put(climb.length[rows]),
            target=put(target),
            here=put(jobs.theta[rows]),
            now=put(jobs.misfit[rows]),
            damping=torch.where(self.fresh, FIRST_DAMPING, put(jobs.damping[rows])),
            state=put(np.full(len(rows), RUNNING)),
            passes=put(np.zeros(len(rows), np.int64)),
            enough=ground.precision.exact * put(climb.spreads[target]),
            unit=unit,
            members=put(ground.members[owner]),
            linear=put(ground.linear[owner]),
            free=put(ground.free[owner]),
            divides=put(ground.divides[owner]),
            size=(1.0 / unit)[:, None].repeat(1, most),
            G=unit.new_zeros((len(rows), most, most)),
            g=unit.new_zeros((len(rows), most)),
        )
        self.tape = self._tape(self.flight)
        self.ended: list[_Flight] = []

    def climb(self) -> None:
        """Every job to its end, or as far as the steps and the deadline let it."""
        self._begin()
        for _ in range(self.ground.climb.max_steps):
            running = self.flight.state == RUNNING
            count = int(running.sum())
            if count == 0 or self.ground.climb.late:
                break
            if count < _CROWDED * len(self.flight):
                self.ended.append(self.flight.of((~running).nonzero()[:, 0]))
                self.flight = self.flight.of(running.nonzero()[:, 0])
                self.tape = self._tape(self.flight)
            self._step()
        self.ended.append(self.flight)
        self._land()

    def _land(self) -> None:
        """What became of the jobs, back to the host."""
        import torch

        def told(name: str) -> np.ndarray:
            found = torch.cat([getattr(flight, name) for flight in self.ended]).cpu()
            return (found.double() if found.is_floating_point() else found).numpy()

        rows, state, now = self.rows[told("number")], told("state"), told("now")
        state = np.where((state == RUNNING) & (now <= told("enough")), EXACT, state)
        fine = state != NOT_FINITE
        jobs = self.jobs
        jobs.theta[rows[fine]] = told("here")[fine]
        jobs.state[rows], jobs.damping[rows], jobs.misfit[rows] = state, told("damping"), now
        jobs.passes[rows] += told("passes")

    def _tape(self, flight: _Flight) -> Tape:
        return Tape(self.ground.loaded, flight.program, flight.length, self.ground.climb.role.shape[1])

    # -- steps

    def _begin(self) -> None:
        """Normal equations where the jobs are; fresh ones first set their linear constants to their best."""
        import torch

        f = self.flight
        seen = self._look(f, self.tape, f.here, f.size, True)
        fitted = f.free.any(1)
        f.passes += torch.where(fitted, 3, 1)
        lost = (~(seen.misfit < torch.inf) & f.linear.any(1)).nonzero()[:, 0]
        if len(lost):  # a huge factor may be all that is wrong
            some = f.of(lost)
            values = some.here.gather(1, some.members)
            values = torch.where(some.linear & ~some.divides, 0.0, values)
            f.here[lost] = some.here.scatter(1, some.members, values)
            f.passes[lost] += 3
            seen.put(lost, self._look(some, self._tape(some), f.here[lost], some.size, True))
        f.accept(torch.ones_like(fitted), f.here, seen)
        finite = f.now < torch.inf
        f.state = torch.where(finite, torch.where(fitted, RUNNING, CONVERGED), NOT_FINITE)
        trying = self.fresh & finite & f.mixed
        f.passes += trying
        fall, step = self._solved(f.G, f.g, f.linear, f.count_linear, torch.zeros_like(f.now))
        rows = (trying & (fall > 0.1 * f.now)).nonzero()[:, 0]
        if len(rows):
            some = f.of(rows)
            trial = some.moved(step[rows], some.size, some.here)
            seen = self._look(some, self._tape(some), trial, some.size, False)
            better = seen.misfit < some.now
            some.accept(better, trial, seen)
            f.passes[rows] += torch.where(better, 2, 0)
            f.here[rows], f.now[rows] = some.here, some.now
            f.G[rows], f.g[rows], f.size[rows] = some.G, some.g, some.size

    def _step(self) -> None:
        """One trial point for every job that runs."""
        import torch

        f, tolerance = self.flight, self.tolerance
        running = f.state == RUNNING
        fall, step = self._solved(f.G, f.g, f.free, f.count_linear, f.damping)
        trial = f.moved(step, f.size, f.here)
        changed = (trial != f.here).any(1)
        seen = self._look(f, self.tape, trial, f.size, False)

        ending = running & ((fall <= tolerance * f.now) | ~changed)
        nudged = ending & changed & (f.damping < 1.0)  # digits that the misfit hardly shows
        f.passes += nudged
        f.state = torch.where(ending, torch.where(f.damping < 1.0, CONVERGED, STALLED), f.state)
        going = running & ~ending
        f.passes += going
        self._rescue(going, fall, trial, seen)
        gain = (f.now - seen.misfit) / fall
        better = going & (seen.misfit < f.now)
        worse = going & ~better
        fits = f.now <= f.enough
        f.damping = torch.where(worse & ~fits, f.damping * 8.0, f.damping)
        f.state = torch.where(worse & fits, EXACT, f.state)
        f.state = torch.where(worse & ~fits & (f.damping > 1e12), STALLED, f.state)

        perfect = (seen.misfit <= f.enough) & (seen.misfit > 0.5 * f.now) | (seen.misfit == 0.0)
        f.state = torch.where(better & perfect, EXACT, f.state)
        onward = better & ~perfect
        f.passes += 2 * onward
        calmer = (f.damping * 0.1).clamp(min=LEAST_DAMPING)
        wilder = torch.where(gain < 0.25, f.damping * 4.0, f.damping)
        f.damping = torch.where(onward, torch.where(gain > 0.75, calmer, wilder), f.damping)
        f.accept(better | (nudged & (seen.misfit <= f.now * (1.0 + tolerance))), trial, seen)

    def _rescue(
        self, going: "torch.Tensor", fall: "torch.Tensor", trial: "torch.Tensor", seen: _Look
    ) -> None:
        """Nonlinear constants are judged by the best that the linear ones can make of them: changes trial and seen."""
        import torch

        f, there = self.flight, seen.misfit
        poor = going & ((f.now - there) / fall < 0.25) & (there < torch.inf) & f.mixed & (f.now > f.enough)
        f.passes += 2 * poor
        more, step = self._solved(seen.G, seen.g, f.linear, f.count_linear, torch.zeros_like(fall))
        rows = (poor & (more > 0.1 * there) & (there - more < f.now)).nonzero()[:, 0]
        if len(rows):
            some, size = f.of(rows), seen.size[rows]
            trial[rows] = some.moved(step[rows], size, trial[rows])
            f.passes[rows] += 1
            seen.put(rows, self._look(some, self._tape(some), trial[rows], size, False))

    # -- sums over rows

    def _look(
        self, f: _Flight, tape: Tape, theta: "torch.Tensor", size: "torch.Tensor", first: bool
    ) -> _Look:
        """Misfit and normal equations at a point.

        Sizes are mended where a column's squared norm leaves the comfortable range of a float; a column that is not
        finite gets size 0 and stays out.  first: a norm of 0 is looked into as well, it may be an underflow.
        """
        import torch

        values = tape.forward(theta, self.ground.columns)
        residual = self.ground.targets[f.target] - values[tape.last] * f.unit[:, None]
        root = None if self.ground.root_weights is None else self.ground.root_weights[f.target]
        if root is not None:
            residual *= root
        misfit = residual.square().sum(1)
        misfit = torch.where(misfit < torch.inf, misfit, torch.inf)
        slopes = tape.reverse(values)
        del values
        slopes = slopes.gather(1, f.members[:, :, None].expand(-1, -1, residual.shape[1]))
        factor = torch.where(f.divides, -theta.gather(1, f.members), 1.0) * f.unit[:, None]
        G, g = _normal(slopes, factor * size, f.free & (size != 0), residual, root)

        bounds, norm = self.ground.precision, G.diagonal(dim1=1, dim2=2)
        odd = f.free & (size != 0) & ~((norm > bounds.small) & (norm < bounds.large))
        odd = (odd if first else odd & (norm != 0)).any(1) & (misfit < torch.inf)
        rows = odd.nonzero()[:, 0]
        if len(rows):
            size, some = size.clone(), slopes[rows]
            size[rows] = self._mended(some, theta.gather(1, f.members)[rows], f.of(rows))
            weights = None if root is None else root[rows]
            usable = f.free[rows] & (size[rows] != 0)
            G[rows], g[rows] = _normal(some, (factor * size)[rows], usable, residual[rows], weights)
        return _Look(misfit, G, g, size)

    def _mended(self, slopes: "torch.Tensor", members: "torch.Tensor", f: _Flight) -> "torch.Tensor":
        """Sizes that bring every column's largest entry near 1; 0 for a column that is not finite."""
        import torch

        most = slopes.abs().amax(2)
        most = torch.where(f.divides, most * members.abs(), most)
        unit, limit = f.unit[:, None], self.ground.precision.exponent
        exponent = torch.floor(0.5 - torch.log2(most) - torch.log2(unit)).clamp(-limit, limit)
        usual = torch.where(most == 0, 1.0 / unit, 0.0)
        return torch.where((most > 0) & (most < torch.inf), torch.exp2(exponent), usual)

    def _solved(
        self,
        G: "torch.Tensor",
        g: "torch.Tensor",
        use: "torch.Tensor",
        count_linear: "torch.Tensor",
        damping: "torch.Tensor",
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Solve the damped normal equations: the fall of the misfit that they predict [F], and the step [F, P].

        Column by column, since a column that depends on those before it gets step 0, and since the damping of a
        nonlinear constant is relative to what is left of its column after the linear ones (`nbsr.refine.climb`).
        """
        import torch

        columns = g.shape[1]
        norm = G.diagonal(dim1=1, dim2=2)
        norm = torch.where(use & (norm > 0.0), norm.rsqrt(), 0.0)
        A = G * norm[:, :, None] * norm[:, None, :]
        A = torch.where(use[:, :, None] & use[:, None, :], A, 0.0)
        diagonal = A.diagonal(dim1=1, dim2=2)  # a view
        ridge, pivots = torch.zeros_like(g), []
        for a in range(columns):
            extra = torch.where((count_linear == a)[:, None], damping[:, None] * diagonal[:, a:], 0.0)
            ridge[:, a:] += extra
            diagonal[:, a:] += extra
            pivot = A[:, a, a].clone()
            fine = pivot > self.ground.precision.dependent
            pivots.append(
                torch.where(fine, pivot, 1.0).rsqrt() * fine
            )  # 1/pivot of the factor, 0 where dropped
            A[:, a + 1 :, a] *= pivots[a][:, None]
            below = A[:, a + 1 :, a]
            A[:, a + 1 :, a + 1 :] -= below[:, :, None] * below[:, None, :]
        step = list((torch.where(use, g, 0.0) * norm).unbind(1))
        fall = torch.zeros_like(damping)
        for a in range(columns):
            for b in range(a):
                step[a] = step[a] - A[:, a, b] * step[b]
            step[a] = step[a] * pivots[a]
            fall = fall + step[a].square()
        for a in range(columns - 1, -1, -1):
            for b in range(a + 1, columns):
                step[a] = step[a] - A[:, b, a] * step[b]
            step[a] = step[a] * pivots[a]
            fall = fall + ridge[:, a] * step[a].square()
        return fall, torch.stack(step, 1) * norm


def _normal(
    slopes: "torch.Tensor", factor: "torch.Tensor", usable: "torch.Tensor", residual: "torch.Tensor",
    root: "torch.Tensor | None",
) -> tuple["torch.Tensor", "torch.Tensor"]:  # fmt: skip
    """J'J [F, P, P] and J'r [F, P] of the slopes [F, P, N] times a factor [F, P], all weighted."""
    import torch

    J = torch.where(usable[:, :, None], slopes * factor[:, :, None], 0.0)
    if root is not None:
        J = J * root[:, None, :]
    return J @ J.transpose(1, 2), (J @ residual[:, :, None])[:, :, 0]
