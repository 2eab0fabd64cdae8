"""The machine that runs programs, written as LLVM instructions from the operator table.

`write_module` runs each operator's value and partials once on `Lanes` and so makes, for each number format, one inner
loop an operator; around them four functions that C (or numba) can call:

    forward_block_F   one program on one block of rows
    reverse_block_F   the derivatives of that block's values by the program's constants
    evaluate_F        a batch of programs on all rows
    jacobian_F        a batch of programs on all rows, with derivatives

with F = float32 or float64 (derivatives only in float64). A block of rows stays in the first-level cache while a
program's instructions run over it; the choice of the instruction is then paid once a block, not once a number.

Operands of an instruction have a pointer and a step in bytes. A constant is one vector that is read again and again
(step 0), so no instruction needs variants for constants.
"""

from contextlib import contextmanager
from types import SimpleNamespace

from llvmlite import ir

from nbsr.evaluate import functions
from nbsr.evaluate.lanes import I1, I32, I64, POINTER, Builder, Format, Lanes, Value, room
from nbsr.evaluate.program import BLOCK, COPY, LITERAL, VECTOR
from nbsr.operators import OPERATORS

_I8 = ir.IntType(8)
_VOID = ir.VoidType()
_LOOP = ir.FunctionType(_VOID, [POINTER, I64, POINTER, I64, POINTER, I64])
_PARTIAL = ir.FunctionType(_VOID, [POINTER, I64, POINTER, I64, POINTER, POINTER, POINTER, I64])


def whole(number: int) -> ir.Constant:
    return ir.Constant(I64, number)


@contextmanager
def counting(builder: Builder, start, stop, down: bool = False):
    """A loop over start <= i < stop (from above where `down`); yields i and the block to branch to for leaving it."""
    counter = room(builder, I64)
    head, body, leave = (builder.append_basic_block(name) for name in ("head", "body", "leave"))
    builder.store(stop if down else start, counter)
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.load(counter, typ=I64)
    going = builder.icmp_signed(">", index, start) if down else builder.icmp_signed("<", index, stop)
    builder.cbranch(going, body, leave)
    builder.position_at_end(body)
    if down:
        index = builder.sub(index, whole(1))
        builder.store(index, counter)
    yield index, leave
    if not builder.block.is_terminated:
        if not down:
            builder.store(builder.add(index, whole(1)), counter)
        builder.branch(head)
    builder.position_at_end(leave)


class Writer:
    """Writes the functions of one number format into a module."""

    def __init__(self, module: ir.Module, format: Format):
        self.module, self.format = module, format
        self.operators = [
            (row, operator) for row, operator in enumerate(OPERATORS.values()) if operator.definition is None
        ]

    # -- small steps -------------------------------------------------------------------------------------------

    def function(self, name: str, type: ir.FunctionType, arguments: str, visible: bool = False) -> Builder:
        function = ir.Function(self.module, type, f"{name}_{self.format.name}")
        function.linkage = "external" if visible else "internal"
        for argument, word in zip(function.args, arguments.split(), strict=True):
            argument.name = word
        return ir.IRBuilder(function.append_basic_block("entry"))

    def at(self, builder, pointer, bytes):
        """The address `bytes` behind `pointer`."""
        return builder.gep(pointer, [bytes], source_etype=_I8)

    def elements(self, builder, count):
        """The bytes of `count` numbers of this format."""
        return builder.mul(count, whole(self.format.bytes))

    def load(self, builder, pointer) -> Lanes:
        # rows of other people's arrays start at any multiple of the number's size
        return Lanes(
            builder, self.format, builder.load(pointer, align=self.format.bytes, typ=self.format.vector)
        )

    def store(self, builder, lanes, pointer):
        builder.store(lanes.value, pointer, align=self.format.bytes)

    def fill(self, builder, pointer, vectors, vector: Value):
        with counting(builder, whole(0), vectors) as (i, _):
            target = self.at(builder, pointer, builder.mul(i, whole(VECTOR)))
            builder.store(vector, target, align=self.format.bytes)

    def copy(self, builder, target, source, bytes):
        copy = self.module.globals.get("llvm.memcpy.p0.p0.i64") or ir.Function(
            self.module, ir.FunctionType(_VOID, [POINTER, POINTER, I64, I1]), "llvm.memcpy.p0.p0.i64"
        )
        builder.call(copy, [target, source, bytes, ir.Constant(I1, 0)])

    def vectors(self, builder, rows):
        """How many vectors hold `rows` numbers."""
        lanes = self.format.lanes
        return builder.sdiv(builder.add(rows, whole(lanes - 1)), whole(lanes))

    # -- inner loops -------------------------------------------------------------------------------------------

    def value_loop(self, row: int | str, text: str) -> ir.Function:
        """for every vector: out = value(a, b)"""
        builder = self.function(f"value{row}", _LOOP, "a a_step b b_step out vectors")
        a, a_step, b, b_step, out, vectors = builder.function.args
        with counting(builder, whole(0), vectors) as (i, _):
            names = {
                "a": self.load(builder, self.at(builder, a, builder.mul(i, a_step))),
                "b": self.load(builder, self.at(builder, b, builder.mul(i, b_step))),
            }
            value = names["a"].like(functions.run(text, names))
            self.store(builder, value, self.at(builder, out, builder.mul(i, whole(VECTOR))))
        builder.ret_void()
        return builder.function

    def partial_loop(self, row: int | str, side: int, text: str) -> ir.Function:
        """for every vector: target += adjoint * (d value / d operand)"""
        builder = self.function(
            f"partial{row}_{side}", _PARTIAL, "a a_step b b_step v adjoint target vectors"
        )
        a, a_step, b, b_step, v, adjoint, target, vectors = builder.function.args
        with counting(builder, whole(0), vectors) as (i, _):
            here = builder.mul(i, whole(VECTOR))
            names = {
                "a": self.load(builder, self.at(builder, a, builder.mul(i, a_step))),
                "b": self.load(builder, self.at(builder, b, builder.mul(i, b_step))),
                "v": self.load(builder, self.at(builder, v, here)),
            }
            partial = names["a"].like(functions.run(text, names))
            into = self.at(builder, target, here)
            total = self.load(builder, into) + self.load(builder, self.at(builder, adjoint, here)) * partial
            self.store(builder, total, into)
        builder.ret_void()
        return builder.function

    def choose(self, builder, opcode, loops: dict, arguments: list):
        """Call the loop of this opcode; an opcode without a loop does nothing."""
        done = builder.append_basic_block("done")
        choice = builder.switch(opcode, done)
        for row, loop in loops.items():
            case = builder.append_basic_block(f"case{row}")
            choice.add_case(ir.Constant(I32, row), case)
            builder.position_at_end(case)
            builder.call(loop, arguments)
            builder.branch(done)
        builder.position_at_end(done)

    # -- operands ----------------------------------------------------------------------------------------------

    def slot(self, builder):
        """Room on the stack for one operand of a block: a constant's vector, or the padded tail of a column."""
        return room(builder, ir.ArrayType(self.format.real, BLOCK), 64)

    def operand(self, builder, number, slot, m):
        """Pointer and step of operand `number`; m holds the machine's named arguments."""
        pointer_at, step_at = room(builder, POINTER), room(builder, I64)
        builder.store(whole(VECTOR), step_at)
        with builder.if_else(builder.icmp_signed(">=", number, m.n_columns)) as (instruction, leaf):
            with instruction:
                offset = builder.mul(builder.sub(number, m.n_columns), m.work_stride)
                builder.store(self.at(builder, m.work, offset), pointer_at)
            with leaf, builder.if_else(builder.icmp_signed("<", number, whole(0))) as (constant, column):
                with constant:
                    offset = self.elements(builder, builder.sub(whole(-1), number))
                    scalar = builder.load(self.at(builder, m.constants, offset), typ=self.format.real)
                    self.store(builder, self.spread(builder, scalar), slot)
                    builder.store(slot, pointer_at)
                    builder.store(whole(0), step_at)
                with column:
                    offset = builder.mul(number, m.column_stride)
                    source = self.at(builder, m.columns, offset)
                    source = self.at(builder, source, self.elements(builder, m.start))
                    builder.store(source, pointer_at)
                    with builder.if_then(m.ragged, likely=False):
                        first = builder.load(source, typ=self.format.real)
                        self.store(
                            builder, self.spread(builder, first), self.at(builder, slot, m.last_vector)
                        )
                        self.copy(builder, slot, source, self.elements(builder, m.rows))
                        builder.store(slot, pointer_at)
        return builder.load(pointer_at, typ=POINTER), builder.load(step_at, typ=I64)

    def spread(self, builder, scalar) -> Lanes:
        undefined = ir.Constant(self.format.vector, ir.Undefined)
        first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
        lanes = ir.VectorType(I32, self.format.lanes)
        everywhere = ir.Constant(lanes, [0] * self.format.lanes)
        return Lanes(builder, self.format, builder.shuffle_vector(first, undefined, everywhere))

    def instruction(self, builder, code, t):
        """Opcode, left and right operand of instruction t."""
        base = self.at(builder, code, builder.mul(t, whole(12)))
        opcode, left, right = (
            builder.load(self.at(builder, base, whole(offset)), typ=I32) for offset in (0, 4, 8)
        )
        return opcode, builder.sext(left, I64), builder.sext(right, I64)

    # -- the machine on one block ------------------------------------------------------------------------------

    BLOCK_ARGUMENTS = (
        "code length n_columns constants columns column_stride start rows padded work work_stride"
    )
    BLOCK_TYPES = (POINTER, I64, I64, POINTER, POINTER, I64, I64, I64, I64, POINTER, I64)

    def prepare(self, builder):
        """The arguments that every block function has, by name, and what follows from them."""
        m = _by_name(builder.function.args)
        m.vectors = self.vectors(builder, m.rows)
        past = builder.srem(m.rows, whole(self.format.lanes))
        uneven = builder.icmp_signed("!=", past, whole(0))
        m.ragged = builder.and_(uneven, builder.icmp_signed("==", m.padded, whole(0)))
        m.last_vector = builder.mul(builder.sub(m.vectors, whole(1)), whole(VECTOR))
        return m

    def forward_block(self) -> ir.Function:
        """Run one program on `rows` rows; row t of work receives instruction t, the last one goes to `out`."""
        loops = {row: self.value_loop(row, operator.value) for row, operator in self.operators}
        loops[COPY] = self.value_loop("copy", "a")
        builder = self.function(
            "forward_block",
            ir.FunctionType(_VOID, [*self.BLOCK_TYPES, POINTER]),
            self.BLOCK_ARGUMENTS + " out",
            True,
        )
        m = self.prepare(builder)
        slots = self.slot(builder), self.slot(builder)
        final = builder.sub(m.length, whole(1))
        with counting(builder, whole(0), m.length) as (t, _):
            opcode, left, right = self.instruction(builder, m.code, t)
            inside = self.at(builder, m.work, builder.mul(t, m.work_stride))
            out = builder.select(builder.icmp_signed("==", t, final), m.out, inside)
            literal = builder.icmp_signed("==", opcode, ir.Constant(I32, LITERAL))
            with builder.if_else(literal, likely=False) as (number, operation):
                with number:
                    at_bits = self.at(builder, m.code, builder.add(builder.mul(t, whole(12)), whole(4)))
                    scalar = builder.load(at_bits, align=4, typ=ir.DoubleType())
                    if self.format.name == "float32":
                        scalar = builder.fptrunc(scalar, self.format.real)
                    self.fill(builder, out, m.vectors, self.spread(builder, scalar).value)
                with operation:
                    a, a_step = self.operand(builder, left, slots[0], m)
                    b, b_step = self.operand(builder, right, slots[1], m)
                    self.choose(builder, opcode, loops, [a, a_step, b, b_step, out, m.vectors])
        builder.ret_void()
        return builder.function

    def reverse_block(self) -> ir.Function:
        """After forward_block: row c of `out` receives the derivative of the values by constant c.

        Only instructions that depend on a constant have an adjoint; `adjoint` needs as many rows as `work`.
        """
        loops = [{COPY: self.partial_loop("copy", 0, "1")}, {}]
        for row, operator in self.operators:
            for side, text in enumerate(operator.partials):
                loops[side][row] = self.partial_loop(row, side, text)
        builder = self.function(
            "reverse_block",
            ir.FunctionType(_VOID, [*self.BLOCK_TYPES, POINTER, I64, POINTER, I64, I64]),
            self.BLOCK_ARGUMENTS + " adjoint adjoint_stride out out_stride n_constants",
            True,
        )
        m = self.prepare(builder)
        slots = self.slot(builder), self.slot(builder)
        # a byte an instruction: does its value depend on a constant?
        active = builder.alloca(_I8, size=m.length)
        active.type = POINTER

        def depends(operand):
            answer = room(builder, _I8)
            builder.store(builder.zext(builder.icmp_signed("<", operand, whole(0)), _I8), answer)
            with builder.if_then(builder.icmp_signed(">=", operand, m.n_columns)):
                earlier = self.at(builder, active, builder.sub(operand, m.n_columns))
                builder.store(builder.load(earlier, typ=_I8), answer)
            return builder.load(answer, typ=_I8)

        with counting(builder, whole(0), m.length) as (t, _):
            opcode, left, right = self.instruction(builder, m.code, t)
            # the operands of a literal are bits of a number: look at none of them
            literal = builder.icmp_signed("==", opcode, ir.Constant(I32, LITERAL))
            left, right = (builder.select(literal, m.n_columns, operand) for operand in (left, right))
            answer = builder.select(literal, ir.Constant(_I8, 0), builder.or_(depends(left), depends(right)))
            builder.store(answer, self.at(builder, active, t))
            with builder.if_then(builder.trunc(answer, I1)):
                row = self.at(builder, m.adjoint, builder.mul(t, m.adjoint_stride))
                self.fill(builder, row, m.vectors, self.format.splat(0.0))
        with counting(builder, whole(0), m.n_constants) as (c, _):
            self.fill(
                builder,
                self.at(builder, m.out, builder.mul(c, m.out_stride)),
                m.vectors,
                self.format.splat(0.0),
            )
        final = builder.sub(m.length, whole(1))
        self.fill(
            builder,
            self.at(builder, m.adjoint, builder.mul(final, m.adjoint_stride)),
            m.vectors,
            self.format.splat(1.0),
        )

        with counting(builder, whole(0), m.length, down=True) as (t, _):
            with builder.if_then(builder.trunc(builder.load(self.at(builder, active, t), typ=_I8), I1)):
                opcode, *operands = self.instruction(builder, m.code, t)
                (a, a_step), (b, b_step) = (
                    self.operand(builder, operand, slot, m) for operand, slot in zip(operands, slots)
                )
                v = self.at(builder, m.work, builder.mul(t, m.work_stride))
                g = self.at(builder, m.adjoint, builder.mul(t, m.adjoint_stride))
                for side, operand in enumerate(operands):
                    with builder.if_then(builder.trunc(depends(operand), I1)):
                        is_constant = builder.icmp_signed("<", operand, whole(0))
                        index = builder.select(
                            is_constant, builder.sub(whole(-1), operand), builder.sub(operand, m.n_columns)
                        )
                        base = builder.select(is_constant, m.out, m.adjoint)
                        stride = builder.select(is_constant, m.out_stride, m.adjoint_stride)
                        target = self.at(builder, base, builder.mul(index, stride))
                        self.choose(
                            builder, opcode, loops[side], [a, a_step, b, b_step, v, g, target, m.vectors]
                        )
        builder.ret_void()
        return builder.function

    # -- the machine on a batch --------------------------------------------------------------------------------

    BATCH_ARGUMENTS = (
        "first last first_row last_row code code_stride lengths n_columns constants n_constants columns "
        "column_stride n_rows work values"
    )
    BATCH_TYPES = (
        I64, I64, I64, I64, POINTER, I64, POINTER, I64, POINTER, I64, POINTER, I64, I64, POINTER, POINTER,
    )  # fmt: skip

    @contextmanager
    def each_block(self, builder, m):
        """Programs first..last, and for each the blocks of first_row..last_row; columns are padded to whole vectors."""
        with counting(builder, m.first, m.last) as (k, _):
            m.k = k
            m.code_k = self.at(builder, m.code, builder.mul(k, m.code_stride))
            length = builder.load(self.at(builder, m.lengths, builder.mul(k, whole(4))), typ=I32)
            m.length = builder.sext(length, I64)
            m.constants_k = self.at(
                builder, m.constants, self.elements(builder, builder.mul(k, m.n_constants))
            )
            m.values_k = self.at(builder, m.values, self.elements(builder, builder.mul(k, m.n_rows)))
            m.result = self.at(
                builder, m.work, builder.mul(builder.sub(m.length, whole(1)), whole(self.row_bytes))
            )
            blocks = builder.sdiv(
                builder.add(builder.sub(m.last_row, m.first_row), whole(BLOCK - 1)), whole(BLOCK)
            )
            with counting(builder, whole(0), blocks) as (block, leave):
                m.start = builder.add(m.first_row, builder.mul(block, whole(BLOCK)))
                rest = builder.sub(m.last_row, m.start)
                full = builder.icmp_signed(">", rest, whole(BLOCK))
                m.rows = builder.select(full, whole(BLOCK), rest)
                m.into = self.at(builder, m.values_k, self.elements(builder, m.start))
                m.size = self.elements(builder, m.rows)
                yield leave

    @property
    def row_bytes(self) -> int:
        return BLOCK * self.format.bytes

    def block_arguments(self, m) -> list:
        return [
            m.code_k, m.length, m.n_columns, m.constants_k, m.columns, m.column_stride, m.start, m.rows, whole(1),
            m.work, whole(self.row_bytes),
        ]  # fmt: skip

    def all_finite(self, builder, pointer, vectors):
        """Whether no number of the row is infinite or NaN (0 * x is NaN for those)."""
        total = room(builder, self.format.vector, 64)
        builder.store(self.format.splat(0.0), total)
        with counting(builder, whole(0), vectors) as (i, _):
            x = self.load(builder, self.at(builder, pointer, builder.mul(i, whole(VECTOR))))
            sum = x.like(builder.load(total, typ=self.format.vector)) + x * 0.0
            builder.store(sum.value, total)
        sum = Lanes(builder, self.format, builder.load(total, typ=self.format.vector))
        flags = builder.bitcast((sum == sum).value, ir.IntType(self.format.lanes))
        return builder.icmp_signed("==", flags, ir.Constant(flags.type, -1))

    def evaluate(self, forward_block: ir.Function) -> None:
        """values [K,N]. Where stop_early is not 0, a program ends at its first block with a number that is not
        finite, and the rest of its row is not written."""
        builder = self.function(
            "evaluate",
            ir.FunctionType(_VOID, [*self.BATCH_TYPES, I64]),
            self.BATCH_ARGUMENTS + " stop_early",
            True,
        )
        m = _by_name(builder.function.args)
        hurried = builder.icmp_signed("!=", m.stop_early, whole(0))
        with self.each_block(builder, m) as leave:
            # a row of values must not be written past its end, so an uneven block goes by way of work
            uneven = builder.icmp_signed("!=", builder.srem(m.rows, whole(self.format.lanes)), whole(0))
            out = builder.select(uneven, m.result, m.into)
            builder.call(forward_block, [*self.block_arguments(m), out])
            with builder.if_then(uneven):
                self.copy(builder, m.into, m.result, m.size)
            with builder.if_then(hurried):
                finite = self.all_finite(builder, out, self.vectors(builder, m.rows))
                going = builder.append_basic_block("finite")
                broken = builder.append_basic_block("broken")
                builder.cbranch(finite, going, broken)
                builder.position_at_end(broken)
                builder.store(ir.Constant(self.format.real, float("nan")), m.into, align=self.format.bytes)
                builder.branch(leave)
                builder.position_at_end(going)
        builder.ret_void()

    def jacobian(self, forward_block: ir.Function, reverse_block: ir.Function) -> None:
        """values [K,N] and derivatives [K,C,N]; `adjoint` like work, `rows_out` [C, BLOCK]."""
        builder = self.function(
            "jacobian",
            ir.FunctionType(_VOID, [*self.BATCH_TYPES, POINTER, POINTER, POINTER]),
            self.BATCH_ARGUMENTS + " adjoint rows_out derivatives",
            True,
        )
        m = _by_name(builder.function.args)
        stride = whole(self.row_bytes)
        with self.each_block(builder, m):
            builder.call(forward_block, [*self.block_arguments(m), m.result])
            self.copy(builder, m.into, m.result, m.size)
            builder.call(
                reverse_block,
                [*self.block_arguments(m), m.adjoint, stride, m.rows_out, stride, m.n_constants],
            )
            with counting(builder, whole(0), m.n_constants) as (c, _):
                row = builder.add(builder.mul(m.k, m.n_constants), c)
                offset = builder.add(builder.mul(row, m.n_rows), m.start)
                into = self.at(builder, m.derivatives, self.elements(builder, offset))
                self.copy(builder, into, self.at(builder, m.rows_out, builder.mul(c, stride)), m.size)
        builder.ret_void()


def _by_name(arguments) -> SimpleNamespace:
    """A function's arguments as attributes; what follows from them is kept beside them."""
    return SimpleNamespace(**{argument.name: argument for argument in arguments})


def write_module() -> str:
    """The text of the LLVM module with all kernels."""
    module = ir.Module("nbsr")
    single, double = Writer(module, Format("float32")), Writer(module, Format("float64"))
    single.evaluate(single.forward_block())
    forward_block = double.forward_block()
    double.evaluate(forward_block)
    double.jacobian(forward_block, double.reverse_block())
    return str(module)
