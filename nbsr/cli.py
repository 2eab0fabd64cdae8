"""The command `nbsr`: benchmarks, training, fine-tuning, the course, the installation, notebooks without a screen.

A slip of the user ends with one sentence and exit status 2, never with a traceback.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbsr import __version__
from nbsr.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from nbsr.benchmark.runner import Settings
    from nbsr.table import Table

_OF_SPEED = ("evaluator", "startup", "large", "decode", "train", "workbench", "cluster", "network-memory")
_OF_PICKS = ("measured", "groups", "templates", "coverage", "robust", "blackbox")
_OF_LEARNING = ("forces", "haloes", "finetune", "one-table", "rsrm", "ablation")
_EXTRA_BENCHES = (*_OF_SPEED, *_OF_PICKS, *_OF_LEARNING)


class _Parser(argparse.ArgumentParser):
    """argparse, except that a slip is a UsageError instead of the end of the process."""

    def error(self, message: str):
        raise UsageError(message)


def _number(kind: type, least: int, strictly: bool, what: str) -> Callable[[str], float | int]:
    """A reader of a bounded number, whose complaint says what was expected."""

    def read(text: str) -> float | int:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not (value > least if strictly else value >= least) or value == float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return read


def _positive(text: str) -> float:
    return _number(float, 0, True, "a positive number of seconds")(text)


def _count(text: str) -> int:
    return int(_number(int, 1, False, "a whole number of at least 1")(text))


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _share(text: str) -> float:
    return _number(float, 0, False, "a share of the target's deviation, such as 0.01")(text)


def _whole(text: str) -> int:
    return int(_number(int, 0, False, "a whole number of at least 0")(text))


def _parser() -> _Parser:
    parser = _Parser(prog="nbsr", description="Symbolic regression: from a table to a law.")
    parser.add_argument("--version", action="version", version=f"nbsr {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    _bench_options(commands)
    _train_options(commands)
    _finetune_options(commands)
    commands.add_parser("doctor", help="print versions, cores, device and the state of the compiled kernels")
    commands.add_parser("warm", help="compile the kernels now, so that the first search need not wait")
    laws = commands.add_parser("laws", help="run a notebook in a kernel and print the laws that it finds")
    laws.add_argument("notebook", type=Path)
    _course_options(commands)
    return parser


def _bench_options(commands: "argparse._SubParsersAction[_Parser]") -> None:
    bench = commands.add_parser("bench", help="measure nbsr, or a peer, on problems with a known law")
    bench.add_argument(
        "suite", metavar="SUITE", help=f"fastsrb, feynman, nguyen, jin, ...; or {', '.join(_EXTRA_BENCHES)}"
    )
    bench.add_argument(
        "--seconds",
        type=_positive,
        help="time for each problem (10; with --choices 60; evaluator: 12; large: 30; decode: 60; "
        "network-memory: 10; ablation: 2; one-table: 45)",
    )
    bench.add_argument("--rows", type=_count, default=200, help="training rows (200)")
    bench.add_argument(
        "--noise", type=_share, default=0.0, help="noise as a share of the target's deviation (0)"
    )
    bench.add_argument("--seed", type=_whole, default=0)
    bench.add_argument(
        "--seeds",
        type=_count,
        default=3,
        metavar="N",
        help="ablation, coverage, rsrm, haloes, finetune: so many seeds (3)",
    )
    bench.add_argument("--every", type=_count, default=1, metavar="K", help="take each K-th problem only")
    bench.add_argument("--only", default="", metavar="ID,ID", help="these problems only")
    bench.add_argument(
        "--part",
        help="measured, groups, templates, robust, blackbox, one-table: tuning or report (measured: both; else "
        "report); rsrm: some of its suites, such as nguyen,livermore (all)",
    )
    bench.add_argument(
        "--bias",
        default="bottleneck",
        metavar="NAME,NAME",
        help="forces: of the graph networks: none, l1, bottleneck, kl",
    )
    bench.add_argument(
        "--method",
        default="auto",
        help="how nbsr searches (auto); rsrm: several, such as rsrm,rsrm-forms,imcts (rsrm)",
    )
    bench.add_argument(
        "--max-evaluations", type=_count, metavar="N", help="most candidates for each problem (rsrm: 2000000)"
    )
    bench.add_argument(
        "--choices",
        type=_counts,
        default=(),
        metavar="N,N",
        help="so many candidates, in a run for each number",
    )
    bench.add_argument("--model", metavar="NAME", help="the network: a name, a directory, or none")
    bench.add_argument(
        "--units", action="store_true", help="feynman: tell the units, and that constants are plain numbers"
    )
    bench.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="where nbsr computes: auto, cpu, cuda, mps or torch (auto)",
    )
    bench.add_argument("--peer", help="pyoperon or gplearn, in nbsr's place")
    bench.add_argument(
        "--out", type=Path, metavar="F.jsonl", help="add outcomes to this file, skip those it has"
    )
    bench.add_argument("--jobs", type=_count, default=1, metavar="J", help="problems at the same time (1)")
    bench.add_argument("--sequences", type=_count, default=128, help="decode: laws at once (128)")
    bench.add_argument("--tokens", type=_count, default=32, help="decode: tokens of each law (32)")


def _train_options(commands: "argparse._SubParsersAction[_Parser]") -> None:
    train = commands.add_parser("train", help="train a network on laws and tables drawn from a prior")
    train.add_argument("config", metavar="CONFIG", help="base, tiny, or the path of a bundle's train.yaml")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoints and log go here")
    train.add_argument(
        "--resume", action="store_true", help="go on from the latest checkpoint in DIR, if any"
    )
    train.add_argument("--steps", type=_count, help="steps of the optimiser (the configuration's)")
    train.add_argument("--seconds", type=_positive, help="end after so many, with a checkpoint")
    train.add_argument("--finish", type=_count, metavar="N", help="decay to zero within N steps, and end")
    train.add_argument("--value", action="store_true", help="train the value head of the network in DIR/best")
    train.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    train.add_argument("--processes", type=_count, default=1, help="on this machine (1)")
    train.add_argument("--threads", type=_count, help="of torch in each process (the configuration's)")


def _finetune_options(commands: "argparse._SubParsersAction[_Parser]") -> None:
    tune = commands.add_parser(
        "finetune", help="teach a network a field by the reward of its laws for tables"
    )
    tune.add_argument(
        "tables", nargs="+", type=Path, metavar="F.csv", help="tables of the field, a file each"
    )
    tune.add_argument(
        "--formula",
        metavar="'Y ~ A + B'",
        help="target and inputs of every table (the last column ~ the others)",
    )
    tune.add_argument("--out", type=Path, required=True, metavar="DIR", help="the adapter goes here")
    tune.add_argument("--validation", nargs="+", type=Path, default=None, metavar="F.csv",
                      help="tables by which the adapter is chosen (rows put apart of the others)")  # fmt: skip
    tune.add_argument(
        "--model", default="base", metavar="NAME", help="the network: a name or a directory (base)"
    )
    tune.add_argument("--steps", type=_count, help="at most so many (40)")
    tune.add_argument("--seconds", type=_positive, help="end after so many")
    tune.add_argument("--seed", type=_whole, default=0)
    tune.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")


def _course_options(commands: "argparse._SubParsersAction[_Parser]") -> None:
    course = commands.add_parser("course", help="the course: copies for students, a page for a teacher")
    courses = course.add_subparsers(dest="course", required=True, metavar="WHAT", parser_class=_Parser)
    copy = courses.add_parser("copy", help="put a fresh copy of the notebooks into a folder")
    copy.add_argument("folder", type=Path, metavar="DIR")
    report = courses.add_parser("report", help="make one page of what students handed in")
    report.add_argument("folder", type=Path, metavar="DIR", help="a folder for each student, or notebooks")
    report.add_argument("--out", type=Path, metavar="F.html", help="the page (DIR/course-report.html)")


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit status."""
    commands = {"bench": _bench, "train": _train, "finetune": _finetune, "doctor": _doctor, "warm": _warm,
                "laws": _laws, "course": _course}  # fmt: skip
    try:
        options = _parser().parse_args(arguments)
        commands[options.command](options)
    except UsageError as slip:
        print(f"nbsr: {slip}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nbsr: interrupted", file=sys.stderr)
        return 130
    return 0


def _bench(options: argparse.Namespace) -> None:
    if options.suite in _EXTRA_BENCHES:
        _measure(options)
        return

    from nbsr.benchmark.peers import PEERS
    from nbsr.benchmark.problems import suites
    from nbsr.benchmark.runner import Settings, run_choices, run_suite
    from nbsr.refine import warm

    known = [*suites(), *_EXTRA_BENCHES]
    if options.suite not in known:
        hint = did_you_mean(options.suite, known)
        raise UsageError(f"there is no suite {options.suite!r}; there are {', '.join(known)}.{hint}")
    if options.peer is not None and options.peer not in PEERS:
        raise UsageError(f"there is no peer {options.peer!r}; there are {', '.join(PEERS)}.")
    if options.peer is not None and (options.choices or options.model):
        raise UsageError("--choices and --model are of nbsr's own methods; leave them out with --peer.")
    if options.peer is not None and options.units:
        raise UsageError("--units is of nbsr's own methods; leave it out with --peer.")
    settings = Settings(
        suite=options.suite,
        method=options.peer or options.method,
        seconds=options.seconds or (60.0 if options.choices else 10.0),
        rows=options.rows,
        noise=options.noise,
        seed=options.seed,
        max_evaluations=options.max_evaluations,
        model=options.model,
        units=options.units,
        device=options.device,
    )
    warm(background=False)
    how = (options.every, _words(options.only), options.out, options.jobs, _say)
    if options.choices:
        run_choices(settings, options.choices, *how)
    else:
        run_suite(settings, *how)


def _searches(options: argparse.Namespace) -> "Settings":
    """How a suite of measured tables is searched."""
    from nbsr.benchmark.peers import PEERS
    from nbsr.benchmark.runner import Settings
    from nbsr.refine import warm

    if options.peer is not None and options.peer not in PEERS:
        raise UsageError(f"there is no peer {options.peer!r}; there are {', '.join(PEERS)}.")
    warm(background=False)
    return Settings(
        suite=options.suite,
        method=options.peer or options.method,
        seconds=options.seconds or 10.0,
        seed=options.seed,
        model=options.model,
    )


def _say(line: str) -> None:
    print(line, flush=True)


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _measure(options: argparse.Namespace) -> None:
    """The benches that pose no problem of known law."""
    if options.suite in ("workbench", *_OF_LEARNING):  # their times begin when all is compiled
        from nbsr.refine import warm

        warm(background=False)
    if options.suite in _OF_PICKS:
        _measure_picks(options)
    elif options.suite in _OF_LEARNING:
        _measure_learning(options)
    else:
        _measure_speed(options)


def _measure_picks(options: argparse.Namespace) -> None:
    """What `auto` picks of tables of other kinds."""
    only = _words(options.only)
    if options.suite == "measured":
        from nbsr.benchmark import measured

        measured.run(
            _searches(options), options.part, options.every, only, options.jobs,
            _say,
        )  # fmt: skip
    elif options.suite == "groups":
        from nbsr.benchmark import groups

        groups.run(_searches(options), options.part, only, _say)
    elif options.suite == "templates":
        from nbsr.benchmark import templates

        templates.run(_searches(options), options.part, only, _say)
    elif options.suite == "coverage":
        from nbsr.benchmark import coverage

        seeds = range(options.seed, options.seed + options.seeds)
        coverage.run(replace(_searches(options), rows=options.rows), seeds, only, _say)
    elif options.suite == "robust":
        from nbsr.benchmark import robust

        robust.run(
            replace(_searches(options), rows=options.rows),
            options.part,
            only,
            _say,
        )
    else:
        from nbsr.benchmark import blackbox

        settings = replace(_searches(options), method=options.method)
        blackbox.run(settings, options.peer, options.part, options.every, only, _say)


def _measure_learning(options: argparse.Namespace) -> None:
    """What networks and single methods find."""
    seconds, only = options.seconds, _words(options.only)
    seeds = range(options.seed, options.seed + options.seeds)
    if options.suite == "forces":
        from nbsr.benchmark import forces

        biases = _words(options.bias)
        forces.run(seconds or 20.0, options.seed, biases, only, report=_say)
    elif options.suite == "haloes":
        from nbsr.benchmark import haloes

        haloes.run(seconds or 20.0, seeds, report=_say)
    elif options.suite == "finetune":
        from nbsr.benchmark import finetune

        domains = only or finetune.DOMAINS
        choices, model = max(options.choices, default=64), options.model or "base"
        finetune.run(seeds, domains, choices, model=model, report=_say)
    elif options.suite == "one-table":
        from nbsr.benchmark import one_table

        domains = only or one_table.DOMAINS
        one_table.run(
            seconds or 45.0,
            domains,
            options.every,
            options.noise,
            options.seed,
            options.part,
            options.model,
            _say,
        )
    elif options.suite == "rsrm":
        from nbsr.benchmark import rsrm

        methods = "rsrm" if options.method == "auto" else options.method
        rsrm.run(
            methods.split(","), _words(options.part or ""),
            only, seeds,
            seconds or 60.0, options.max_evaluations or 2_000_000, _say,
        )  # fmt: skip
    else:
        from nbsr.benchmark import ablation

        choices, model = max(options.choices, default=256), options.model or "base"
        ablation.run(
            seconds or 2.0, choices, seeds, options.every, only, model, options.rows,
            _say,
        )  # fmt: skip


def _measure_speed(options: argparse.Namespace) -> None:
    """Time and memory."""
    seconds = options.seconds
    if options.suite == "evaluator":
        from nbsr.benchmark import evaluator

        evaluator.run(seconds or 12.0)
    elif options.suite == "startup":
        from nbsr.benchmark.startup import startup

        startup()
    elif options.suite == "large":
        from nbsr.benchmark.startup import large

        large(seconds or 30.0)
    elif options.suite == "decode":
        from nbsr.benchmark import decode

        choices = max(options.choices, default=1024)
        decode.run(options.sequences, options.tokens, seconds or 60.0, choices, options.model)
    elif options.suite == "train":
        from nbsr.benchmark import train

        train.run()
    elif options.suite == "workbench":
        from nbsr.benchmark import workbench

        workbench.run(_say)
    elif options.suite == "cluster":
        from nbsr.benchmark import cluster

        cluster.run(seconds or 10.0, _say)
    else:
        from nbsr.benchmark.startup import network_memory

        network_memory(options.model, seconds or 10.0)


def _train(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from nbsr.benchmark.held_out import benchmark_held_out
    from nbsr.config import load_config
    from nbsr.training import train

    config = load_config(options.config)
    if options.threads is not None:
        config = replace(config, train=replace(config.train, threads=options.threads))
    report = train(
        config,
        options.out,
        resume=options.resume,
        steps=options.steps,
        seconds=options.seconds,
        finish=options.finish,
        value=options.value,
        device=options.device,
        processes=options.processes,
        held_out=benchmark_held_out(config.tokenizer.vocabulary),
    )
    print(report)


def _finetune(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from nbsr.reinforcement import Tuning, finetune

    tables = [_table_in(file, options.formula) for file in options.tables]
    judging = options.validation and [_table_in(file, options.formula) for file in options.validation]
    tuning = Tuning() if options.steps is None else replace(Tuning(), steps=options.steps)
    tuned = finetune(
        options.model, tables, validation=judging, tuning=tuning, seconds=options.seconds, out=options.out,
        device=options.device, seed=options.seed,
    )  # fmt: skip
    print(tuned)
    print(tuned.table.round(3).to_string(index=False))
    print(tuned.says.round(3).to_string(index=False))
    print(f"use it as: --model {tuned.name}")


def _table_in(file: Path, formula: str | None) -> "Table":
    """The table in a file of comma-separated values; without a formula the last column is the target."""
    import pandas as pd

    from nbsr.table import Table

    try:
        frame = pd.read_csv(file)
    except OSError as failure:
        raise UsageError(f"'{file}' cannot be read: {failure.strerror or failure}.") from None
    except ValueError as failure:  # pandas' parsers have their own kinds of it
        raise UsageError(f"'{file}' is no table of comma-separated values: {failure}.") from None
    if formula is None:
        formula = f"`{frame.columns[-1]}` ~ ."
    return Table.from_frame(frame, formula)


def _doctor(options: argparse.Namespace) -> None:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from nbsr.network import summary
    from nbsr.notebook.extension import state
    from nbsr.refine import ready
    from nbsr.threads import cores

    print(f"nbsr {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in (
        "numpy",
        "scipy",
        "pandas",
        "numba",
        "sympy",
        "torch",
        "scikit-learn",
        "altair",
        "jupyterlab",
    ):
        try:
            print(f"{package} {version(package)}")
        except PackageNotFoundError:
            print(f"{package} is not installed")
    print(state())
    print(f"cores: {cores()}")
    print(f"device: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'}")
    print(summary())
    print(f"kernels: {'compiled' if ready() else 'not compiled yet; `nbsr warm` does it now'}")


def _warm(options: argparse.Namespace) -> None:
    import time

    from nbsr.refine import warm

    start = time.perf_counter()
    warm(background=False)
    print(f"The kernels are compiled ({time.perf_counter() - start:.1f}s).")


_PRINT_LAWS = """
import nbsr as _nbsr
for _name, _value in list(globals().items()):
    if isinstance(_value, _nbsr.Result) and not _name.startswith("_"):
        print(f"{_name}: {_value.table.target} = {_value.best.expression.infix(6)}")
"""


def _laws(options: argparse.Namespace) -> None:
    if not options.notebook.is_file():
        raise UsageError(f"there is no notebook {str(options.notebook)!r}.")
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    try:
        notebook = nbformat.read(options.notebook, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError):
        raise UsageError(f"{str(options.notebook)!r} is not a notebook.") from None
    notebook.cells.append(nbformat.v4.new_code_cell(_PRINT_LAWS))
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(options.notebook.parent)}},
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
    )
    try:
        client.execute()
    except CellExecutionError as failure:
        raise UsageError(f"a cell of {options.notebook} failed: {failure.ename}: {failure.evalue}") from None
    for output in notebook.cells[-1].outputs:
        print(output.get("text", ""), end="")


def _course(options: argparse.Namespace) -> None:
    from nbsr.course import notebooks

    if options.course == "copy":
        copied, kept = notebooks.copy(options.folder)
        print(f"{len(copied)} notebooks copied into {options.folder}.")
        if kept:
            print(f"{len(kept)} were there already and stay as they are: {', '.join(kept)}.")
    else:
        path, handed_in = notebooks.report(options.folder, options.out)
        for student in handed_in:
            solved = sum(entry.right for entry in student.entries.values())
            unread = f"; not readable: {', '.join(student.unread)}" if student.unread else ""
            print(f"{student.name}: {solved} solved, {len(student.entries)} tried{unread}")
        print(f"The page is {path}.")


if __name__ == "__main__":
    sys.exit(main())
