"""The operator language's functions on `Lanes`."""

import math

from llvmlite import ir

from nbsr.evaluate.lanes import I32, Lanes, room


def lanewise(name, *arguments):
    """The C library's function `name` in double precision, one lane after another."""
    x = arguments[0]
    builder, double = x.builder, ir.DoubleType()
    module = builder.module
    function = module.globals.get(name) or ir.Function(
        module, ir.FunctionType(double, [double] * len(arguments)), name
    )
    count = x.format.lanes
    places = [room(builder, x.format.vector, 64) for _ in arguments]
    counter = room(builder, I32)
    for place, argument in zip(places, arguments):
        builder.store(x.like(argument).value, place)
    builder.store(ir.Constant(I32, 0), counter)
    body, leave = builder.append_basic_block("lane"), builder.append_basic_block("lanes_done")
    builder.branch(body)
    builder.position_at_end(body)
    i = builder.load(counter, typ=I32)
    spots = [builder.gep(place, [i], source_etype=x.format.real) for place in places]
    numbers = [builder.load(spot, typ=x.format.real) for spot in spots]
    if x.format.name == "float32":
        numbers = [builder.fpext(number, double) for number in numbers]
    result = builder.call(function, numbers)
    if x.format.name == "float32":
        result = builder.fptrunc(result, x.format.real)
    builder.store(result, spots[0])
    following = builder.add(i, ir.Constant(I32, 1))
    builder.store(following, counter)
    builder.cbranch(builder.icmp_signed("<", following, ir.Constant(I32, count)), body, leave)
    builder.position_at_end(leave)
    return x.like(builder.load(places[0], typ=x.format.vector))


def _c(name):
    return lambda *arguments: lanewise(name, *arguments)


def where(condition, yes, no):
    one = yes if isinstance(yes, Lanes) else no if isinstance(no, Lanes) else None
    if one is None:
        one = Lanes(condition.builder, condition.format, None)
    return condition.select(one.like(yes), one.like(no))


def sqrt(x):
    return x.call("sqrt")


def absolute(x):
    return x.call("fabs")


def copysign(size, sign):
    return size.call("copysign", sign)


def sign(x):
    return where(x != 0.0, where(x == x, copysign(x.like(1.0), x), x), x)


def maximum(a, b):
    return where((a > b) | (a != a), a, b)


def minimum(a, b):
    return where((a < b) | (a != a), a, b)


def root5(x):
    return copysign(lanewise("pow", absolute(x), x.like(0.2)), x)


def sigmoid(x):
    return 1.0 / (1.0 + lanewise("exp", -x))


NAMES = {
    **{name: _c(name) for name in "exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh cbrt erf".split()},
    "power": _c("pow"), "sqrt": sqrt, "abs": absolute, "sign": sign, "maximum": maximum, "minimum": minimum,
    "root5": root5, "sigmoid": sigmoid, "where": where, "nan": math.nan,
}  # fmt: skip


def run(text: str, operands: dict[str, Lanes]):
    """The value of an operator's string on Lanes, which writes its instructions."""
    return eval(text, {"__builtins__": {}}, {**NAMES, **operands})
