"""A result as text, Markdown and HTML: the law, the front with the picked row marked, how the run ended."""

import html
import math
from typing import TYPE_CHECKING

from nbsr.errors import UsageError
from nbsr.expression import Expression, Template, Vocabulary
from nbsr.result.digits import fitted_constants, spoken_error, spoken_fvu, with_names
from nbsr.result.units import units_of, with_unit
from nbsr.table import Table

if TYPE_CHECKING:
    from nbsr.result.core import Result

SHOWN_LAWS = 25  # rows of the front that are shown at most
SHOWN_GROUPS = 12
SHOWN_CHARACTERS = 400  # of a law within a table
TYPESET_CHARACTERS = 20_000  # of MathML; a longer law is there as text alone
# Where a page takes out what it does not trust, MathML and SVG among it, it takes out `all` as well: then what is left
# of them, words without meaning, is hidden, and the text beside them stays.
WHERE_TRUSTED = "display: none; all: revert"


def as_text(result: "Result") -> str:
    if not result.candidates_seen:
        return f"No law for {result.table.formula}. {result.ending}"
    parts = said_parts(result)
    lines = [
        _shortened(result.equation),
        *([f"with {', '.join(parts)}"] if parts else []),
        "",
        *_unit_lines(result),
        *_group_lines(result),
    ]
    for mark, *cells, law in [("", "row", "complexity", "fvu", "score", "law"), *_rows(result)]:
        row, complexity, fvu, score = cells
        lines.append(f"{mark:3}  {row:>3}  {complexity:>10}  {fvu:>9}  {score:>7}  {law}")
    if len(result.front_candidates) > SHOWN_LAWS:
        lines.append(f"     ... and {len(result.front_candidates) - SHOWN_LAWS} more in .front")
    return "\n".join([*lines, "", result.ending, *filter(None, [result.why]), *result.notes])


def as_markdown(result: "Result") -> str:
    if not result.candidates_seen:
        return as_text(result)
    lines = [
        f"$$ {result.latex()} $$",
        "",
        "| | row | complexity | FVU | score | law |",
        "|:-|-:|-:|-:|-:|:-|",
    ]
    for mark, row, complexity, fvu, score, law in _rows(result):
        code = "`` " + law.replace("|", "\\|") + " ``"
        lines.append(f"| {mark and '**>>>**'} | {row} | {complexity} | {fvu} | {score} | {code} |")
    if result.table.groups is not None:
        titles, *cells = _group_cells(result)
        lines += ["", "| " + " | ".join(titles) + " |", "|" + ":-|" * len(titles)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    parts = [f"`` {part.replace('|', chr(92) + '|')} ``" for part in said_parts(result)]
    return "\n".join([*lines, *(["", f"with {', '.join(parts)}"] if parts else []), "", result.ending])


def said_parts(result: "Result") -> list[str]:
    """What the best law has in each place of a template, and its constants; nothing where there was none."""
    if result.table.template is None:
        return []
    template, law = Template.parse(result.table.template, result.table.names), result.best.expression
    try:
        parts = result.parts
    except UsageError:  # a law that was chosen by hand may have another form
        return []
    said = [
        f"{name}({', '.join(of)}) = {_shortened(parts[name].infix(4))}"
        for name, of in template.places.items()
    ]
    for name, place in zip(template.constants, template.own_constants(law.tokens), strict=True):
        if name:
            said.append(f"{name} = {spoken_error(law.constants[place], result.best.errors[place])}")
    return said


def html_parts(result: "Result") -> str:
    """`said_parts` as HTML."""
    parts = said_parts(result)
    return f"<div>with {', '.join(map(_code, parts))}</div>" if parts else ""


def _group_cells(result: "Result", most: int = SHOWN_GROUPS) -> list[list[str]]:
    """The constants of each group as text, titles first; of many groups the first ones."""
    told = result.groups
    names = [name for name in told.columns if f"{name}_error" in told.columns]
    out = [[str(told.index.name), *names, "rows", "FVU"]]
    for label, row in told.iloc[:most].iterrows():
        known = [spoken_error(row[name], row[f"{name}_error"]) for name in names]
        out.append([str(label), *known, f"{int(row['rows']):,}", spoken_fvu(row["fvu"])])
    if len(told) > most:
        out.append([f"... and {len(told) - most} more in .groups", *[""] * (len(names) + 2)])
    return out


def _unit_lines(result: "Result") -> list[str]:
    """The constants with their units, where there are some."""
    best, table = result.best, result.table
    if table.units is None or table.groups is not None:
        return []
    units = units_of(best.expression, table)
    if not any(unit not in ("", "1") for unit in units):
        return []
    which = [
        i for i, unit in enumerate(units) if unit not in ("", "1") or i in fitted_constants(best.expression)
    ]
    names, named = with_names(best.expression, which)
    law = _shortened(f"with {table.target} = {named.infix(digits=6)}")
    width = max(map(len, names))
    return [
        law,
        *(
            f"  {name:{width}} = {with_unit(spoken_error(best.expression.constants[i], best.errors[i]), units[i])}"
            for name, i in zip(names, which)
        ),
        "",
    ]


def _group_lines(result: "Result") -> list[str]:
    if result.table.groups is None:
        return []
    cells = _group_cells(result)
    wide = [
        max(len(row[k]) for row in cells if len(cells) < 2 or not row[0].startswith("... and"))
        for k in range(len(cells[0]))
    ]
    return [*("  ".join(cell.ljust(w) for cell, w in zip(row, wide)).rstrip() for row in cells), ""]


def _rows(result: "Result") -> list[tuple[str, int, int, str, str, str]]:
    """What every form of the table shows: mark, row, complexity, FVU, score, law. The picked row is always
    among them."""
    laws, picked = result.front_candidates, result.front_picked
    start = min(max(0, picked - SHOWN_LAWS // 2), max(0, len(laws) - SHOWN_LAWS))
    return [
        (
            ">>>" if i == picked else "",
            i,
            laws[i].complexity,
            spoken_fvu(laws[i].fvu),
            f"{laws[i].score:.2f}",
            _shortened(result.text(i)),
        )
        for i in range(start, min(start + SHOWN_LAWS, len(laws)))
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 4]} ..."


_QUIET = "color:var(--jp-content-font-color2,inherit)"
_LINE = "border:none;border-bottom:1px solid var(--jp-border-color2,rgba(128,128,128,.35))"
_MARKED = "background:var(--jp-layout-color2,rgba(128,128,128,.15))"


def target_mathml(table: Table) -> str:
    """The target of a table, the inside of a <math> element."""
    try:
        return Expression.parse(table.target, Vocabulary((table.target_column,))).mathml()
    except UsageError:
        return f"<mi>{html.escape(table.target)}</mi>"


def typeset(table: Table, law: str, style: str = "") -> str:
    """`target = law` as browsers typeset it by themselves; nothing where the law is too long for that.

    law: the inside of a <math> element.
    """
    if len(law) > TYPESET_CHARACTERS:
        return ""
    whole = f"<mrow>{target_mathml(table)}<mo>=</mo>{law}</mrow>"
    scrolls = "overflow-x: auto; overflow-y: hidden; padding: 14px 0 10px"
    return f'<div style="{WHERE_TRUSTED}; {scrolls}; {style}"><math display="block">{whole}</math></div>'


def as_html(result: "Result") -> str:
    """The law typeset, its constants, the front as a table; no script, and styles of the page's own theme.

    Front-ends typeset what stands between dollars in HTML as they do in Markdown; dollars are written so that they
    do not.
    """
    if not result.candidates_seen:
        return f'<div class="nbsr-result">{_escaped(as_text(result))}</div>'
    parts = [
        typeset(result.table, result.printed()[1]),
        _html_constants(result),
        html_parts(result),
        html_groups(result),
    ]
    parts.append('<table style="border-collapse:collapse;margin:.5em 0;color:inherit"><thead><tr>')
    for title, side in (("", "left"), ("row", "right"), ("complexity", "right"), ("FVU", "right"),
                        ("score", "right"), ("law", "left")):  # fmt: skip
        parts.append(
            f'<th style="text-align:{side};padding:.2em .7em;white-space:nowrap;{_LINE}">{title}</th>'
        )
    parts.append("</tr></thead><tbody>")
    for mark, row, complexity, fvu, score, law in _rows(result):
        style = _MARKED + ";font-weight:600" if mark else "background:transparent"
        cells = [f'<td style="text-align:left;padding:.2em .7em;{_LINE}">{html.escape(mark)}</td>']
        for value in (row, complexity, html.escape(fvu), score):
            cells.append(
                f'<td style="text-align:right;padding:.2em .7em;white-space:nowrap;{_LINE}">{value}</td>'
            )
        wrapped = f"text-align:left;padding:.2em .7em;white-space:normal;overflow-wrap:anywhere;{_LINE}"
        cells.append(f'<td style="{wrapped}">{_code(law)}</td>')
        parts.append(f'<tr style="{style}">{"".join(cells)}</tr>')
    parts.append("</tbody></table>")
    hidden = len(result.front_candidates) - SHOWN_LAWS
    more = f"{hidden} more laws in .front" if hidden > 0 else ""
    notes = [*filter(None, [more, result.ending, result.why]), *result.notes[:10]]
    parts += [f'<div style="{_QUIET}">{_escaped(_shortened(note))}</div>' for note in notes]
    return (
        f'<div class="nbsr-result" style="color:var(--jp-content-font-color1,inherit)">{"".join(parts)}</div>'
    )


def _html_constants(result: "Result") -> str:
    """ "y = a**c0, with c0 = 1.5000 ± 0.0002", for the measured constants whose errors are known."""
    best = result.best
    which = [i for i in fitted_constants(best.expression) if math.isfinite(best.errors[i])]
    if not which:
        return ""
    units = [""] * len(best.errors) if result.table.units is None else units_of(best.expression, result.table)
    names, named = with_names(best.expression, which)
    said = [
        f"{name} = {with_unit(spoken_error(best.expression.constants[i], best.errors[i]), units[i])}"
        for name, i in zip(names, which)
    ]
    law = _shortened(f"{result.table.target} = {named.infix(digits=6)}")
    return f"<div>{_code(law)}, with {_code(_shortened(', '.join(said)))}</div>"


def html_groups(result: "Result") -> str:
    """The constants of each group as a table; nothing where there are no groups."""
    if result.table.groups is None or not result.candidates_seen:
        return ""
    titles, *rows = _group_cells(result)
    side = ["left", *["right"] * (len(titles) - 1)]
    head = "".join(
        f'<th style="text-align:{s};padding:.2em .7em;{_LINE}">{_escaped(t)}</th>'
        for s, t in zip(side, titles)
    )
    body = "".join(
        '<tr style="background:transparent">'
        + "".join(
            f'<td style="text-align:{s};padding:.2em .7em;white-space:nowrap;{_LINE}">{_escaped(cell)}</td>'
            for s, cell in zip(side, row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        '<table class="nbsr-groups" style="border-collapse:collapse;margin:.5em 0;color:inherit">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _code(text: str) -> str:
    return f'<code style="background:transparent;color:inherit">{_escaped(text)}</code>'


def _escaped(text: str) -> str:
    """Text for HTML in which no dollar starts a formula, and no newline is lost."""
    return html.escape(text).replace("$", "<span>&#36;</span>").replace("\n", "<br>")
