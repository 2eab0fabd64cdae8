"""Force laws out of simulated bodies: simulations, graph networks, and what their messages say.

    moving = nbsr.nbody.simulate("spring", simulations=5000, steps=20)
    trained = nbsr.nbody.train_graph_network(moving, "bottleneck")
    trained.r2(nbsr.nbody.simulate("spring", simulations=300, seed=1))  # how far messages are forces
    print(nbsr.nbody.recover(trained, moving))  # the equations of motion

`haloes` is a case beside these: no motion, but how dense it is at a halo of dark matter among its neighbours.

Laws and simulations know nothing of networks, and networks nothing of symbols; `recovery` brings them together.
"""

from nbsr.nbody.graph import BIASES, GraphNetwork, HamiltonianNetwork
from nbsr.nbody.haloes import Haloes, HaloNetwork, halo_box, train_halo_network
from nbsr.nbody.laws import LAWS, Law
from nbsr.nbody.measure import Graphs, Messages, graphs, leading
from nbsr.nbody.recovery import ForceLaw, recover
from nbsr.nbody.simulation import Simulation, simulate
from nbsr.nbody.training import Progress, TrainedNetwork, train_graph_network

__all__ = [
    "BIASES", "LAWS", "ForceLaw", "GraphNetwork", "Graphs", "HaloNetwork", "Haloes", "HamiltonianNetwork", "Law",
    "Messages", "Progress", "Simulation", "TrainedNetwork", "graphs", "halo_box", "leading", "recover", "simulate",
    "train_graph_network", "train_halo_network",
]  # fmt: skip
