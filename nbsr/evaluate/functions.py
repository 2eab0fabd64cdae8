"""The functions of the operators' language on `Lanes`: range reduction, polynomials, and no branch inside.

Every function follows IEEE 754 at its edges: NaN in, NaN out; infinities and subnormal numbers as in the C library.
How far they are from 50 digits stands in `LARGEST_ERRORS`, to which the tests hold them. Only angles so large that
reducing them would lose digits go to the C library, one lane after another.

Sources: the reduction of log and log1p is fdlibm's (Sun, 1993); powers are exponentials of logarithms in double-word
arithmetic (Dekker, 1971); cube roots are one or two steps of Halley's iteration from a polynomial.
"""

import math

from llvmlite import ir

from nbsr.evaluate import coefficients
from nbsr.evaluate.lanes import I32, Bits, Lanes, Mask, room

NAN, INFINITY = math.nan, math.inf
PI = math.pi

# in units of the last place of the result, for either format (sums, products, quotients and sqrt: 0.5, as IEEE says)
LARGEST_ERRORS = {
    "exp": 1.0, "log": 1.0, "sin": 2.0, "cos": 2.0, "tan": 3.0, "asin": 2.5, "acos": 1.5, "atan": 2.0,
    "sinh": 2.5, "cosh": 1.5, "tanh": 2.0, "asinh": 2.0, "acosh": 2.5, "atanh": 2.0, "cbrt": 1.0, "root5": 1.5,
    "power": 2.5, "erf": 2.5, "sigmoid": 2.0,
}  # fmt: skip


def where(condition: Mask, yes, no) -> Lanes:
    lanes = Lanes(condition.builder, condition.format, None)
    return condition.select(lanes.like(yes), lanes.like(no))


def fma(a: Lanes, b, c) -> Lanes:
    """a * b + c, rounded once where the processor can."""
    return a.call("fmuladd", b, c)


def polynomial(x: Lanes, name: str) -> Lanes:
    """The polynomial of that name in coefficients.py, by Horner's rule."""
    *lower, total = x.format.pick(*getattr(coefficients, name))
    total = x.like(total)
    for coefficient in reversed(lower):
        total = fma(total, x, coefficient)
    return total


def sqrt(x: Lanes) -> Lanes:
    return x.call("sqrt")


def absolute(x: Lanes) -> Lanes:
    return x.call("fabs")


def copysign(size: Lanes, sign: Lanes) -> Lanes:
    return size.call("copysign", sign)


def sign(x: Lanes) -> Lanes:
    return where((x > 0.0) | (x < 0.0), copysign(x.like(1.0), x), x)


def maximum(a: Lanes, b) -> Lanes:
    return where((a > b) | (a != a), a, b)


def minimum(a: Lanes, b) -> Lanes:
    return where((a < b) | (a != a), a, b)


# -- whole numbers hidden in floating-point numbers ---------------------------------------------------------------


def _magic(x: Lanes) -> float:
    """Adding this number rounds to a whole number, which then stands in the lowest bits."""
    return 1.5 * 2.0**x.format.mantissa


def _rounded(t: Lanes) -> tuple[Lanes, Bits]:
    """The whole number in t = x + magic, as a floating-point number and as an integer."""
    magic = t.like(_magic(t))
    return t - magic, t.bits() - magic.bits()


def _as_real(k: Bits, like: Lanes) -> Lanes:
    """A small integer as a floating-point number."""
    magic = like.like(_magic(like))
    return (k + magic.bits()).real() - magic


def _two_to(k: Bits) -> Lanes:
    """2^k, for a normal number."""
    return ((k + k.format.bias) << k.format.mantissa).real()


def _scale(x: Lanes, k: Bits) -> Lanes:
    """x * 2^k in two steps, as 2^k alone may be too large or too small."""
    half = k >> 1
    return x * _two_to(half) * _two_to(k - half)


def _low_bit_as_sign(k: Bits) -> Bits:
    return k << (8 * k.format.bytes - 1)


def _is_odd(k: Bits) -> Mask:
    return (k & 1).compare("!=", 0)


# -- exponentials -------------------------------------------------------------------------------------------------

# log(2) in two parts; the first has trailing zeros, so that its product with an exponent is exact
_LN2 = {
    "float32": (0.693145751953125, 1.4286068203094172e-06),
    "float64": (0.693147180369123816490, 1.90821492927058770002e-10),
}


def _reduce_by_ln2(x: Lanes, rest=None) -> tuple[Lanes, Bits]:
    """x + rest = r + k log(2) with |r| <= log(2)/2."""
    high, low = _LN2[x.format.name]
    k, whole = _rounded(fma(x, 1.0 / math.log(2.0), _magic(x)))
    r = fma(k, -low, fma(k, -high, x))
    return (r if rest is None else r + rest), whole


def _exp_minus_1(r: Lanes) -> Lanes:
    """exp(r) - 1 for a reduced r."""
    return fma(r * r, polynomial(r, "EXP"), r)


def _clamped(x: Lanes, lowest: float, highest: float) -> Lanes:
    """x between two limits; NaN stays."""
    x = where(x < lowest, lowest, x)
    return where(x > highest, highest, x)


def exp(x: Lanes, rest=None) -> Lanes:
    """exp(x + rest), rest being small."""
    x = _clamped(x, *x.format.pick((-105.0, 89.5), (-746.0, 710.5)))
    r, k = _reduce_by_ln2(x, rest)
    return _scale(1.0 + _exp_minus_1(r), k)


def _quarter_exp(x: Lanes) -> tuple[Lanes, Lanes]:
    """exp(x)/4 and (exp(x) - 1)/4, x >= 0, where a fourth of exp(x) can be stored."""
    r, k = _reduce_by_ln2(x)
    scale, q = _two_to(k - 2), _exp_minus_1(r)
    return fma(q, scale, scale), fma(q, scale, scale - 0.25)


def _hyperbolic_operand(x: Lanes) -> Lanes:
    size = absolute(x)
    largest = x.format.pick(89.5, 710.6)  # sinh and cosh overflow just below
    return where(size > largest, largest, size)


def sinh(x: Lanes) -> Lanes:
    _, q = _quarter_exp(_hyperbolic_operand(x))
    return copysign(2.0 * (q + q / fma(q, 4.0, 1.0)), x)


def cosh(x: Lanes) -> Lanes:
    e, _ = _quarter_exp(_hyperbolic_operand(x))
    return 2.0 * e + 0.125 / e


def tanh(x: Lanes) -> Lanes:
    size = 2.0 * absolute(x)
    _, q = _quarter_exp(where(size > 45.0, 45.0, size))
    return copysign(q / (q + 0.5), x)


def sigmoid(x: Lanes) -> Lanes:
    return 1.0 / (1.0 + exp(-x))


# -- logarithms ---------------------------------------------------------------------------------------------------


def _split(x: Lanes) -> tuple[Bits, Lanes]:
    """x = 2^k m with sqrt(1/2) <= m < sqrt(2), for positive x (subnormal too)."""
    format = x.format
    smallest = 2.0 ** (1 - format.bias)
    lift = format.mantissa + 2
    tiny = x < smallest
    bits = where(tiny, x * 2.0**lift, x).bits()
    k = (bits - x.like(math.sqrt(0.5)).bits()) >> format.mantissa
    m = (bits - (k << format.mantissa)).real()
    lifted = Bits(x.builder, format, x.builder.select(
        tiny.value, format.splat_integer(lift), format.splat_integer(0)
    ))  # fmt: skip
    return k - lifted, m


def _log_of_positive(x: Lanes) -> Lanes:
    high, low = _LN2[x.format.name]
    whole, m = _split(x)
    k = _as_real(whole, x)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    half_square = 0.5 * f * f
    correction = fma(s, fma(z, polynomial(z, "LOG"), half_square), k * low)
    return fma(k, high, f - (half_square - correction))


def log(x: Lanes) -> Lanes:
    inside = where(x < INFINITY, _log_of_positive(x), x)
    return where(x > 0.0, inside, where(x == 0.0, -INFINITY, NAN))


def _log1p(x: Lanes) -> Lanes:
    """log(1 + x) for x > -1, to full relative precision at 0."""
    u = 1.0 + x
    lost = x - (u - 1.0)
    return where(x < INFINITY, _log_of_positive(u) + lost / u, x)


def asinh(x: Lanes) -> Lanes:
    size = absolute(x)
    large = size > x.format.pick(2.0**14, 2.0**28)  # from where on 1 does not matter beside x^2
    square = where(large, 1.0, size * size)
    inner = where(large, size - 1.0, size + square / (1.0 + sqrt(1.0 + square)))
    return copysign(_log1p(inner) + where(large, math.log(2.0), 0.0), x)


def acosh(x: Lanes) -> Lanes:
    large = x > x.format.pick(2.0**14, 2.0**28)
    t = where(large, 1.0, x - 1.0)
    inner = where(large, x - 1.0, t + sqrt(t * (t + 2.0)))
    return where(x >= 1.0, _log1p(inner) + where(large, math.log(2.0), 0.0), NAN)


def atanh(x: Lanes) -> Lanes:
    size = absolute(x)
    inside = copysign(0.5 * _log1p((2.0 * size) / (1.0 - size)), x)
    return where(size < 1.0, inside, where(size == 1.0, copysign(x.like(INFINITY), x), NAN))


# -- powers and roots ---------------------------------------------------------------------------------------------


def _exact_product(a: Lanes, b: Lanes) -> tuple[Lanes, Lanes]:
    """a * b as an unevaluated sum of two numbers."""
    high = a * b
    return high, a.call("fma", b, -high)


def _log_in_two_words(x: Lanes) -> tuple[Lanes, Lanes]:
    """log(x) of a positive x as an unevaluated sum of two numbers."""
    ln2_high, ln2_low = _LN2[x.format.name]
    whole, m = _split(x)
    k = _as_real(whole, x)
    f, d = m - 1.0, m + 1.0
    d_low = m - (d - 1.0)
    inverse = 1.0 / d
    s = f * inverse
    s_low = (s.call("fma", -d, f) - s * d_low) * inverse
    z = s * s
    low = fma(s * z, polynomial(z, "LOG"), 2.0 * s_low)
    first, second = k * ln2_high, 2.0 * s
    sum = first + second
    low = (second - (sum - first)) + fma(k, ln2_low, low)
    high = sum + low
    return high, low - (high - sum)


def power(a: Lanes, b) -> Lanes:
    """a to the power b; negative a for whole b only."""
    b = a.like(b)
    size = absolute(a)
    high, low = _log_in_two_words(size)
    y, rest = _exact_product(high, b)
    rest = fma(low, b, rest)
    result = exp(y, where(absolute(y) < 1024.0, rest, 0.0))
    result = where(size == 0.0, where(b > 0.0, 0.0, INFINITY), result)
    result = where(size == INFINITY, where(b > 0.0, INFINITY, 0.0), result)
    result = where(b != b, b, result)
    result = where(a != a, a, result)
    half = 0.5 * b
    whole, even = b.call("rint") == b, half.call("rint") == half
    signed = where(whole, where(even, result, -result), NAN)
    result = where(a < 0.0, signed, result)
    return where((b == 0.0) | (a == 1.0), 1.0, result)


def cbrt(x: Lanes) -> Lanes:
    size = absolute(x)
    whole, m = _split(size)
    _, third = _rounded(fma(_as_real(whole, x), 1.0 / 3.0, _magic(x)))
    rest = whole - third - third - third
    root_of_rest = where(
        rest.compare(">", 0), 2.0 ** (1 / 3), where(rest.compare("<", 0), 2.0 ** (-1 / 3), x.like(1.0))
    )
    y = polynomial(m, "CBRT") * root_of_rest
    m = m * _two_to(rest)
    for _ in range(x.format.pick(1, 2)):
        cube = y * y * y
        y = y - y * (cube - m) / fma(cube, 2.0, m)
    root = copysign(y * _two_to(third), x)
    return where((size > 0.0) & (size < INFINITY), root, x)


def root5(x: Lanes) -> Lanes:
    size = absolute(x)
    high, low = _log_in_two_words(size)
    fifth = high * 0.2
    # 1/5 is not exact either: what its product with the logarithm lost is part of the rest
    rest = fma(fifth.call("fma", -5.0, high), 0.2, low * 0.2)
    root = copysign(exp(fifth, rest), x)
    return where((size > 0.0) & (size < INFINITY), root, x)


# -- angles -------------------------------------------------------------------------------------------------------

# pi in parts with so many trailing zeros that their products with the number of half turns are exact
_PI_PARTS = {
    "float32": (3.140625, 0.0009675025939941406, 1.5099067240953445e-07, 5.126688136514179e-12),
    "float64": (3.1415926534682512, 1.2154201012607932e-10, 4.044532497591901e-21),
}


def _minus_pi_times(x: Lanes, q: Lanes, fraction: float) -> Lanes:
    """x - q * pi * fraction, fraction being a power of two."""
    for part in _PI_PARTS[x.format.name]:
        x = fma(q, -part * fraction, x)
    return x


def _largest_angle(x: Lanes) -> float:
    return x.format.pick(1e4, 1e6)


def _rescued(x: Lanes, result: Lanes, name: str) -> Lanes:
    """The result, but from the C library where the angle x is too large."""
    builder = x.builder
    large = absolute(x) > _largest_angle(x)
    lanes = ir.IntType(x.format.lanes)
    any_large = builder.icmp_unsigned("!=", builder.bitcast(large.value, lanes), ir.Constant(lanes, 0))
    place = room(builder, x.format.vector, 64)
    builder.store(result.value, place)
    with builder.if_then(any_large, likely=False):
        builder.store(where(large, _by_library(name, x), result).value, place)
    return x.like(builder.load(place, typ=x.format.vector))


def _by_library(name: str, x: Lanes) -> Lanes:
    """The C library's function in double precision, one lane after another."""
    builder, module, real, double = x.builder, x.builder.module, x.format.real, ir.DoubleType()
    function = module.globals.get(name) or ir.Function(module, ir.FunctionType(double, [double]), name)
    place, counter = room(builder, x.format.vector, 64), room(builder, I32)
    builder.store(x.value, place)
    builder.store(ir.Constant(I32, 0), counter)
    body, leave = builder.append_basic_block("lane"), builder.append_basic_block("lanes_done")
    builder.branch(body)
    builder.position_at_end(body)
    i = builder.load(counter, typ=I32)
    spot = builder.gep(place, [i], source_etype=real)
    number = builder.load(spot, typ=real)
    if real != double:
        number = builder.fptrunc(builder.call(function, [builder.fpext(number, double)]), real)
    else:
        number = builder.call(function, [number])
    builder.store(number, spot)
    following = builder.add(i, ir.Constant(I32, 1))
    builder.store(following, counter)
    builder.cbranch(builder.icmp_signed("<", following, ir.Constant(I32, x.format.lanes)), body, leave)
    builder.position_at_end(leave)
    return x.like(builder.load(place, typ=x.format.vector))


def _sin_of_half_turn(r: Lanes) -> Lanes:
    """sin(r), |r| <= pi/2."""
    z = r * r
    return fma(r * z, polynomial(z, "SIN_HALF"), r)


def sin(x: Lanes) -> Lanes:
    q, whole = _rounded(fma(x, 1.0 / PI, _magic(x)))
    s = _sin_of_half_turn(_minus_pi_times(x, q, 1.0))
    return _rescued(x, (s.bits() ^ _low_bit_as_sign(whole)).real(), "sin")


def cos(x: Lanes) -> Lanes:
    # cos(x) = -(-1)^n sin(r) with x = r + (n + 1/2) pi
    q, whole = _rounded(fma(x, 1.0 / PI, -0.5) + _magic(x))
    s = _sin_of_half_turn(_minus_pi_times(x, q + 0.5, 1.0))
    return _rescued(x, (s.bits() ^ _low_bit_as_sign(whole + 1)).real(), "cos")


def tan(x: Lanes) -> Lanes:
    q, whole = _rounded(fma(x, 2.0 / PI, _magic(x)))
    r = _minus_pi_times(x, q, 0.5)
    z = r * r
    s = fma(r * z, polynomial(z, "SIN"), r)
    c = fma(z * z, polynomial(z, "COS"), fma(z, -0.5, 1.0))
    odd = _is_odd(whole)
    return _rescued(x, where(odd, -c, s) / where(odd, s, c), "tan")


def _pi_over_2_minus(x: Lanes, half_pi_multiple: float = 1.0) -> Lanes:
    """pi/2 * multiple - x with pi in two words."""
    high = x.format.pick(1.57079637050628662109375, math.pi / 2)
    low = x.format.pick(-4.37113900018624283e-8, 6.12323399573676603587e-17)
    return high * half_pi_multiple - (x - low * half_pi_multiple)


def _arc(x: Lanes) -> tuple[Mask, Lanes]:
    """Where |x| <= 1/2: true and asin|x|; elsewhere false and asin(sqrt((1 - |x|)/2)); NaN beyond 1."""
    size = absolute(x)
    small = size <= 0.5
    z = where(small, x * x, 0.5 - 0.5 * size)
    s = where(small, size, sqrt(z))
    return small, fma(s * z, polynomial(z, "ASIN"), s)


def asin(x: Lanes) -> Lanes:
    small, arc = _arc(x)
    return copysign(where(small, arc, _pi_over_2_minus(2.0 * arc)), x)


def acos(x: Lanes) -> Lanes:
    small, arc = _arc(x)
    near_0 = _pi_over_2_minus(copysign(arc, x))
    near_1 = where(x > 0.0, 2.0 * arc, _pi_over_2_minus(2.0 * arc, 2.0))
    return where(small, near_0, near_1)


def atan(x: Lanes) -> Lanes:
    size = absolute(x)
    far, middle = size > 1 + math.sqrt(2.0), size > math.sqrt(2.0) - 1
    numerator = where(far, -1.0, where(middle, size - 1.0, size))
    denominator = where(far, size, where(middle, size + 1.0, x.like(1.0)))
    y = numerator / denominator
    z = y * y
    arc = fma(y * z, polynomial(z, "ATAN"), y)
    low = x.format.pick(-4.37113900018624283e-8, 6.12323399573676603587e-17)
    high = x.format.pick(1.57079637050628662109375, math.pi / 2)
    turns = where(far, 1.0, where(middle, 0.5, x.like(0.0)))
    return copysign(fma(turns, high, fma(turns, low, arc)), x)


# -- error function -----------------------------------------------------------------------------------------------


def erf(x: Lanes) -> Lanes:
    size = absolute(x)
    size = where(size > 6.0, 6.0, size)
    square = size * size
    near_0 = size * polynomial(where(size > 1.0, 1.0, square), "ERF")
    t = 1.0 / fma(size, 0.5, 1.0)
    beyond_1 = 1.0 - exp(-square) * polynomial(t, "ERFCX")
    return copysign(where(size > 1.0, beyond_1, near_0), x)


NAMES = {
    "exp": exp, "log": log, "sin": sin, "cos": cos, "tan": tan, "asin": asin, "acos": acos, "atan": atan,
    "sinh": sinh, "cosh": cosh, "tanh": tanh, "asinh": asinh, "acosh": acosh, "atanh": atanh, "sqrt": sqrt,
    "cbrt": cbrt, "root5": root5, "power": power, "abs": absolute, "sign": sign, "maximum": maximum,
    "minimum": minimum, "erf": erf, "sigmoid": sigmoid, "where": where, "nan": NAN,
}  # fmt: skip


def run(text: str, operands: dict[str, Lanes]):
    """The value of an operator's string on Lanes, which writes its instructions."""
    return eval(text, {"__builtins__": {}}, {**NAMES, **operands})
