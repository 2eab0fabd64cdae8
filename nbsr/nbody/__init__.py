"""Force laws out of simulated bodies: simulations, graph networks, and what their messages say.

    moving = nbsr.nbody.simulate("spring", simulations=5000, steps=20)
    trained = nbsr.nbody.train_graph_network(moving, "bottleneck")
    trained.r2(nbsr.nbody.simulate("spring", simulations=300, seed=1))  # how far messages are forces
    print(nbsr.nbody.recover(trained, moving))  # the equations of motion

Laws and simulations know nothing of networks, and networks nothing of symbols; `recovery` brings them together.
"""

from nbsr.nbody.graph import BIASES, GraphNetwork, HamiltonianNetwork
from nbsr.nbody.laws import LAWS, Law
from nbsr.nbody.measure import Graphs, Messages, graphs, leading
from nbsr.nbody.recovery import ForceLaw, recover
from nbsr.nbody.simulation import Simulation, simulate
from nbsr.nbody.training import Progress, TrainedNetwork, train_graph_network

__all__ = [
    "BIASES", "LAWS", "ForceLaw", "GraphNetwork", "Graphs", "HamiltonianNetwork", "Law", "Messages", "Progress",
    "Simulation", "TrainedNetwork", "graphs", "leading", "recover", "simulate", "train_graph_network",
]  # fmt: skip
