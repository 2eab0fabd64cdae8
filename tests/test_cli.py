"""The command line: what it prints, and that a slip is one sentence and status 2."""

import nbformat
import pytest

from nbsr.cli import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["bnech"], "bnech"),
        (["bench"], "SUITE"),
        (["bench", "fastsrv"], "Did you mean 'fastsrb'?"),
        (["bench", "nguyen", "--seconds", "0"], "positive number of seconds"),
        (["bench", "nguyen", "--seconds", "nan"], "positive number of seconds"),
        (["bench", "nguyen", "--seconds", "inf"], "positive number of seconds"),
        (["bench", "nguyen", "--rows", "2.5"], "whole number"),
        (["bench", "nguyen", "--noise", "-1"], "share"),
        (["bench", "nguyen", "--every", "0"], "whole number"),
        (["bench", "nguyen", "--method", "autp"], "Did you mean 'auto'?"),
        (["bench", "nguyen", "--peer", "eureqa"], "pyoperon"),
        (["bench", "nguyen", "--peer", "gplearn", "--choices", "8"], "leave them out with --peer"),
        (["bench", "nguyen", "--choices", "32,few"], "whole number"),
        (
            ["bench", "nguyen", "--only", "Nguyen-8", "--method", "softmax", "--model", "none"],
            "leaves it out",
        ),
        (["bench", "nguyen", "--only", "Nguyen-99"], "Nguyen-99"),
        (["laws", "no such notebook.ipynb"], "no such notebook"),
    ],
)
def test_a_slip_is_one_sentence(arguments, says, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err and printed.err.count("\n") == 1
    assert "Traceback" not in printed.err


def test_bench_runs_one_problem(capsys):
    assert main(["bench", "nguyen", "--seconds", "10", "--rows", "30", "--only", "Nguyen-8"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("Nguyen-8")
    assert last.startswith("nguyen auto 10s: recovered 1/1 (100.0%) symbolic 1/1 (100.0%) median ")


def test_bench_compares_numbers_of_choices(capsys):
    asked = [
        "bench",
        "nguyen",
        "--method",
        "prior",
        "--choices",
        "4,16",
        "--rows",
        "30",
        "--only",
        "Nguyen-8",
    ]
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if " choices " in line and ":" in line] == [
        "nguyen prior 4 choices 60s",
        "nguyen prior 16 choices 60s",
    ]
    head, four, sixteen = lines[-3:]
    assert head.split() == ["choices", "recovered", "symbolic", "median"]
    assert four.split()[0] == "4" and sixteen.split()[0] == "16" and sixteen.endswith("s")


def test_doctor_tells_versions_cores_and_kernels(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for word in (
        "nbsr 0.",
        "numba ",
        "torch ",
        "cores: ",
        "device: ",
        "networks: ",
        "kernels: ",
        "JupyterLab: ",
    ):
        assert word in printed


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("nbsr 0.")


def test_laws_runs_a_notebook_and_prints_its_results(tmp_path, capsys):
    search = (
        "import numpy as np, pandas as pd, nbsr\n"
        "x = np.linspace(1, 2, 30)\n"
        "double = nbsr.regress(pd.DataFrame({'x': x, 'y': 2 * x}), 'y ~ x', seconds=5)\n"
    )
    cells = [nbformat.v4.new_code_cell(search)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    assert main(["laws", str(tmp_path / "one.ipynb")]) == 0
    assert capsys.readouterr().out == "double: y = 2*x\n"


def test_laws_names_the_cell_error(tmp_path, capsys):
    cells = [nbformat.v4.new_code_cell("1/0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "bad.ipynb")
    assert main(["laws", str(tmp_path / "bad.ipynb")]) == 2
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().err
