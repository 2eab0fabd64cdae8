"""Force laws out of simulated bodies: simulations, graph networks, and what their messages say.

moving = nbsr.nbody.simulate("spring")
moving.positions, moving.accelerations, moving.true_messages()
"""

from nbsr.nbody.laws import LAWS, Law
from nbsr.nbody.simulate import Simulation, simulate

__all__ = ["LAWS", "Law", "Simulation", "simulate"]
