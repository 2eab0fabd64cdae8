"""Writes coefficients.py: the polynomials from which the kernels make their functions.

    python -m nbsr.evaluate.generate

Each polynomial interpolates at Chebyshev points in 50 digits, which is minimax to within a small factor, and is as
long as its precision asks for. Needs mpmath.
"""

import struct
from pathlib import Path

import mpmath as mp

HEADER = '''"""Polynomials of the kernels' functions, lowest power first: (float32, float64).

Written by `python -m nbsr.evaluate.generate`; a test writes them again and compares.
"""
'''


def _exp(r):
    return (mp.exp(r) - 1 - r) / r**2 if r else mp.mpf(1) / 2


def _log(z):
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) / s - 2) / z if z else mp.mpf(2) / 3


def _sin(z):
    x = mp.sqrt(z)
    return (mp.sin(x) / x - 1) / z if z else -mp.mpf(1) / 6


def _cos(z):
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2 if z else mp.mpf(1) / 24


def _asin(z):
    x = mp.sqrt(z)
    return (mp.asin(x) / x - 1) / z if z else mp.mpf(1) / 6


def _atan(z):
    x = mp.sqrt(z)
    return (mp.atan(x) / x - 1) / z if z else -mp.mpf(1) / 3


def _erf(z):
    x = mp.sqrt(z)
    return mp.erf(x) / x if z else 2 / mp.sqrt(mp.pi)


def _erfcx(t):
    x = 2 / t - 2
    return mp.erfc(x) * mp.exp(x * x)


def _cbrt(m):
    return mp.cbrt(m)


# name: function, interval, number of coefficients in float32 and in float64, and what it is
POLYNOMIALS = {
    "EXP": (_exp, (-0.3466, 0.3466), 5, 10, "exp(r) = 1 + r + r^2 P(r), |r| <= log(2)/2"),
    "LOG": (
        _log,
        (0.0, 0.02945),
        4,
        7,
        "log((1 + s)/(1 - s)) = 2 s + s z P(z), z = s^2, for a ratio up to sqrt(2)",
    ),
    "SIN_HALF": (_sin, (0.0, 2.4675), 4, 8, "sin(x) = x + x z P(z), z = x^2, |x| <= pi/2"),
    "SIN": (_sin, (0.0, 0.6169), 3, 6, "the same for |x| <= pi/4"),
    "COS": (_cos, (0.0, 0.6169), 3, 6, "cos(x) = 1 - z/2 + z^2 P(z), |x| <= pi/4"),
    "ASIN": (_asin, (0.0, 0.25), 5, 13, "asin(x) = x + x z P(z), |x| <= 1/2"),
    "ATAN": (_atan, (0.0, 0.17158), 5, 12, "atan(x) = x + x z P(z), |x| <= tan(pi/8)"),
    "ERF": (_erf, (0.0, 1.0), 7, 13, "erf(x) = x P(z), |x| <= 1"),
    "ERFCX": (_erfcx, (0.25, 0.6667), 8, 17, "erfc(x) = exp(-x^2) P(t), t = 1/(1 + x/2), 1 <= x <= 6"),
    "CBRT": (_cbrt, (0.7071, 1.4143), 4, 5, "cbrt(m), 1/sqrt(2) <= m <= sqrt(2), to start from"),
}


def fit(function, interval, count: int) -> list:
    """Coefficients, lowest power first."""
    with mp.workdps(50):
        return [
            mp.mpf(c)
            for c in reversed(mp.chebyfit(function, [mp.mpf(str(edge)) for edge in interval], count))
        ]


def single(number) -> float:
    """The float32 nearest to a number."""
    return struct.unpack("f", struct.pack("f", float(number)))[0]


def write() -> str:
    """The text of coefficients.py."""
    lines = [HEADER]
    for name, (function, interval, short, long, meaning) in POLYNOMIALS.items():
        lines.append(f"# {meaning}\n{name} = (")
        for count, round_to in ((short, single), (long, float)):
            lines.append("    (")
            lines += [f"        {round_to(c)!r}," for c in fit(function, interval, count)]
            lines.append("    ),")
        lines.append(")\n")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("coefficients.py").write_text(write())
