"""Vectors of numbers that write machine code: arithmetic on `Lanes` appends LLVM instructions.

A kernel is made by running ordinary Python once on `Lanes`: `a * a + 1` appends a multiplication and an addition
of whole vectors, and an operator's value string, evaluated with `Lanes` for `a` and `b`, becomes its inner loop.
Nothing is left to an auto-vectoriser: the vectors are explicit, and LLVM splits them into what the machine has.
"""

from typing import Any

from llvmlite import ir

from nbsr.evaluate.program import VECTOR

# llvmlite is not annotated, and a checker's guesses about it are wrong: these names say what is meant
Builder = Any  # llvmlite.ir.IRBuilder
Value = Any  # llvmlite.ir.Value
I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
POINTER = ir.PointerType()


def room(builder: Builder, type: ir.Type, align: int = 16) -> Value:
    """The address of memory on the stack for one value of a type."""
    with builder.goto_entry_block():
        place: Value = builder.alloca(type)
    place.align = align
    place.type = POINTER
    return place


class Format:
    """A floating-point format and the number of lanes that one step of a kernel works on.

    lanes: two registers of 512 bits, so that two independent chains of instructions hide each other's latency.
    mantissa, bias: bits of the stored fraction; offset of the stored exponent.
    """

    def __init__(self, name: str):
        self.name = name
        double = name == "float64"
        self.real = ir.DoubleType() if double else ir.FloatType()
        self.integer = I64 if double else I32
        self.bytes = 8 if double else 4
        self.lanes = VECTOR // self.bytes
        self.mantissa = 52 if double else 23
        self.bias = 1023 if double else 127
        self.vector = ir.VectorType(self.real, self.lanes)
        self.integers = ir.VectorType(self.integer, self.lanes)

    def pick(self, float32, float64):
        """The first argument in single, the second in double precision: coefficients, limits."""
        return float64 if self.name == "float64" else float32

    def splat(self, number: float) -> ir.Constant:
        return ir.Constant(self.vector, [float(number)] * self.lanes)

    def splat_integer(self, number: int) -> ir.Constant:
        return ir.Constant(self.integers, [int(number)] * self.lanes)


class Lanes:
    """A vector of floating-point numbers in a kernel that is being written by `builder`."""

    __slots__ = ("builder", "format", "value")

    def __init__(self, builder: Builder, format: Format, value: Value):
        self.builder, self.format, self.value = builder, format, value

    def like(self, other) -> "Lanes":
        """`other` as Lanes of this kernel: an LLVM value, Lanes, or a Python number for all lanes."""
        if isinstance(other, Lanes):
            return other
        if isinstance(other, ir.Value):
            return Lanes(self.builder, self.format, other)
        return Lanes(self.builder, self.format, self.format.splat(other))

    def _binary(self, instruction: str, left, right) -> "Lanes":
        emit = getattr(self.builder, instruction)
        return self.like(emit(self.like(left).value, self.like(right).value))

    def _compare(self, sign: str, other) -> "Mask":
        other = self.like(other)
        # `!=` is the one comparison that holds for NaN, as in Python
        compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
        return Mask(self.builder, self.format, compare(sign, self.value, other.value))

    def __add__(self, other):
        return self._binary("fadd", self, other)

    def __radd__(self, other):
        return self._binary("fadd", other, self)

    def __sub__(self, other):
        return self._binary("fsub", self, other)

    def __rsub__(self, other):
        return self._binary("fsub", other, self)

    def __mul__(self, other):
        return self._binary("fmul", self, other)

    def __rmul__(self, other):
        return self._binary("fmul", other, self)

    def __truediv__(self, other):
        return self._binary("fdiv", self, other)

    def __rtruediv__(self, other):
        return self._binary("fdiv", other, self)

    def __neg__(self):
        return self.like(self.builder.fneg(self.value))

    def __pow__(self, power: int):
        if not (isinstance(power, int) and power > 0):
            raise TypeError(f"only whole positive powers have a kernel of their own, not {power!r}")
        half = self ** (power // 2) if power > 1 else None
        if half is None:
            return self
        return half * half if power % 2 == 0 else half * half * self

    def __lt__(self, other):
        return self._compare("<", other)

    def __le__(self, other):
        return self._compare("<=", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def __ge__(self, other):
        return self._compare(">=", other)

    def __eq__(self, other):
        return self._compare("==", other)

    def __ne__(self, other):
        return self._compare("!=", other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def call(self, intrinsic: str, *others) -> "Lanes":
        """An LLVM intrinsic on whole vectors, such as `sqrt` or `fmuladd`."""
        operands = [self.value, *(self.like(other).value for other in others)]
        vector = self.format.vector
        name = f"llvm.{intrinsic}.v{self.format.lanes}f{8 * self.format.bytes}"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(vector, [vector] * len(operands)), name
        )
        return self.like(self.builder.call(function, operands))

    def bits(self) -> "Bits":
        """The same bits as whole numbers."""
        return Bits(self.builder, self.format, self.builder.bitcast(self.value, self.format.integers))


class Mask:
    """A truth value in each lane, of numbers of a format."""

    __slots__ = ("builder", "format", "value")

    def __init__(self, builder: Builder, format: Format, value: Value):
        self.builder, self.format, self.value = builder, format, value

    def __and__(self, other):
        return Mask(self.builder, self.format, self.builder.and_(self.value, other.value))

    def __or__(self, other):
        return Mask(self.builder, self.format, self.builder.or_(self.value, other.value))

    def __xor__(self, other):
        return Mask(self.builder, self.format, self.builder.xor(self.value, other.value))

    def __invert__(self):
        return Mask(self.builder, self.format, self.builder.not_(self.value))

    def select(self, yes: Lanes, no: Lanes) -> Lanes:
        return yes.like(self.builder.select(self.value, yes.value, no.value))


class Bits:
    """The bit patterns of Lanes as signed whole numbers, wrapping on overflow."""

    __slots__ = ("builder", "format", "value")

    def __init__(self, builder: Builder, format: Format, value: Value):
        self.builder, self.format, self.value = builder, format, value

    def _apply(self, instruction: str, other) -> "Bits":
        operand = other.value if isinstance(other, Bits) else self.format.splat_integer(other)
        return Bits(self.builder, self.format, getattr(self.builder, instruction)(self.value, operand))

    def __add__(self, other):
        return self._apply("add", other)

    def __sub__(self, other):
        return self._apply("sub", other)

    def __and__(self, other):
        return self._apply("and_", other)

    def __or__(self, other):
        return self._apply("or_", other)

    def __xor__(self, other):
        return self._apply("xor", other)

    def __lshift__(self, other):
        return self._apply("shl", other)

    def __rshift__(self, other):
        return self._apply("ashr", other)

    def compare(self, sign: str, number: int) -> Mask:
        operand = self.format.splat_integer(number)
        return Mask(self.builder, self.format, self.builder.icmp_signed(sign, self.value, operand))

    def real(self) -> Lanes:
        """The floating-point numbers with these bits."""
        return Lanes(self.builder, self.format, self.builder.bitcast(self.value, self.format.vector))
