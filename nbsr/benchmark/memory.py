"""Peak resident memory of this process, and where the system allows, of a stretch of its life."""

import contextlib
import resource
from pathlib import Path


def reset_peak() -> None:
    """Forget the peak so far (Linux); elsewhere the peak stays that of the whole process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> float:
    """The peak resident memory since `reset_peak`, in MB of 10^6 bytes."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
