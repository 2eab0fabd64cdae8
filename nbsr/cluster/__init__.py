"""The same search on many workers, with Dask (`pip install "nbsr[dask]"`).

`regress_many` finds a law of its own for each of many tables, several at a time.  A worker is a process with one
thread or more; what it searches is computed in one thread, so that cores are not fought for.  What comes out is what
`regress` answers for each table alone.  `regress(client=...)` searches one table on all of them.

tables      many tables from what the person gave, by name
desk        a worker's side: the searches that run there, to be looked at and stopped
crew        the workers: those of a client, or some of its own on this machine
spread      searches handed out, and what comes back
many        a law for each table
islands     one table on all workers
progress    what there is to see meanwhile
results     what comes of it
"""

from nbsr.cluster.many import regress_many
from nbsr.cluster.progress import Progress
from nbsr.cluster.results import Results

__all__ = ["Progress", "Results", "regress_many"]
