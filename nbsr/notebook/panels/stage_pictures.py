"""The stages as HTML and inline SVG: every picture has the same numbers beside it as text or as a table."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nbsr.notebook.panels.shared import escaped, spoken
from nbsr.notebook.panels.stage_answers import Branch, Candidate, Number, Refined, Scored, Shuffled
from nbsr.refine import METHODS, Trajectory
from nbsr.result.digits import spoken_fvu
from nbsr.score import EPS

if TYPE_CHECKING:
    from nbsr.generate.stepwise import Choice, Found

__all__ = [
    "beginnings", "bits", "call", "candidates", "choices", "did", "heat_map", "law", "odds", "path", "refined", "score",
    "shuffled", "slip", "way",
]  # fmt: skip

_TWIGS = 5  # of a tree of beginnings that are shown at one place
_TOKENS = 14  # of a distribution that are shown
_LOWEST, _HIGHEST = math.log10(EPS), 2.0  # of log10 FVU in pictures; what lies beyond stands on the edge
_LINEAR = 50.0  # constants up to this size are drawn on a plain scale
_DASHES = ("", "6 3", "2 3", "9 3 2 3", "1 4", "12 4")  # of lines, beside their colours


# -- small parts


def html(*parts: str) -> str:
    """Parts in the frame to which the style belongs."""
    return f'<div class="st">{"".join(parts)}</div>'


def slip(sentence: str) -> str:
    """What could not be done, in a sentence."""
    return html(f'<p class="slip" role="alert">{escaped(sentence)}</p>')


def did(sentence: str) -> str:
    """What was done, in a sentence."""
    return html(f'<p class="did" role="status">{escaped(sentence)}</p>')


def call(text: str) -> str:
    """A call as text, all of which one click selects."""
    return html(
        '<p class="faint">One click selects the text; it runs wherever the frame is called <code>df</code>.</p>'
        f'<pre tabindex="0" aria-label="The call as Python">{escaped(text)}</pre>'
    )


def _table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], marked: Sequence[str] = ()
) -> str:
    """A table whose cells are HTML, and `marked` has the class of each row.

    A title that begins with `<` is of a column of text, one with `<<` of a column of laws.
    """
    kinds = {"<": "text", "<<": "text wide"}
    sides = [f' class="{kinds.get(title[: len(title) - len(title.lstrip("<"))], "")}"' for title in head]
    titles = "".join(
        f'<th scope="col"{side}>{escaped(title.lstrip("<"))}</th>' for side, title in zip(sides, head)
    )
    body = ""
    for place, row in enumerate(rows):
        kind = marked[place] if place < len(marked) else ""
        first, *others = row
        cells = "".join(f"<td{side}>{cell}</td>" for side, cell in zip(sides[1:], others))
        body += f'<tr class="{kind}"><th scope="row"{sides[0]}>{first}</th>{cells}</tr>'
    label = escaped(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><caption>{label}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _amount(share: float, text: str, kind: str = "") -> str:
    """A number with a bar beside it; share: of the longest bar."""
    width = 100 * min(max(share, 0.0), 1.0)
    return f'<span class="amount {kind}"><span>{text}</span><i style="width:{width:.1f}%"></i></span>'


def _percent(probability: float) -> str:
    if probability == 0:
        return "0"
    return f"{100 * probability:.1f} %" if probability >= 0.001 else f"{100 * probability:.1g} %"


def _svg(width: int, height: int, label: str, body: str) -> str:
    said = escaped(label)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}" '
        f'style="max-width:{width}px"><title>{said}</title>{body}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escaped(text)}</text>'


def law(text: str) -> str:
    """A law as text."""
    return f'<p class="law"><code>{escaped(text)}</code></p>'


_BREAKS = re.compile(r"(?<!\*)(?=[*/])")  # where a law may go on in the next line: before an operator


def _formula(text: str) -> str:
    """A law within a table."""
    return f"<code>{'<wbr>'.join(escaped(part) for part in _BREAKS.split(text))}</code>"


# -- encode

_POWER = re.compile(r"\^(-?\d+)")


def _raised(power: re.Match[str]) -> str:
    return f"<sup>{power[1].replace('-', '−')}</sup>"


def bits(number: Number) -> str:
    """The bits in their three named groups."""
    groups = (("sign", number.sign), ("exponent", number.exponent), ("fraction", number.fraction))
    figures = ""
    for name, text in groups:
        cells = "".join(f'<b class="{"one" if bit == "1" else "zero"}">{bit}</b>' for bit in text)
        figures += (
            f'<figure role="img" aria-label="{name}: {text}"><span>{cells}</span>'
            f"<figcaption>{name}, {len(text)} bit{'s' * (len(text) != 1)}</figcaption></figure>"
        )
    scaled = ""
    if number.shift:
        scaled = f", divided by 2<sup>{number.shift}</sup> to the typical size of 1 (every bit of its fraction stays)"
    return html(
        f"<p><code>{escaped(number.said)}</code>{scaled}</p>",
        f'<div class="bits">{figures}</div>',
        f"<p>{_POWER.sub(_raised, escaped(number.meaning))}.</p>",
    )


def heat_map(
    attention: Float[np.ndarray, "seeds rows"],
    rows: Sequence[int],
    names: Sequence[str],
    values: Float[np.ndarray, "rows columns"],
    who: str,
) -> str:
    """How much each memory vector looks at each row; below it the same as tables.

    names, values: of the columns, the target last, to stand beside the rows.
    """
    seeds, count = attention.shape
    left, top, cell, high = 64, 26, 22.0, 14
    most = float(attention.max())
    squares = []
    for seed in range(seeds):
        for place in range(count):
            weight = float(attention[seed, place])
            squares.append(
                f'<rect x="{left + cell * place:.1f}" y="{top + high * seed}" width="{cell - 1:.1f}" '
                f'height="{high - 1}" fill-opacity="{weight / most:.3f}"><title>memory vector {seed + 1}, row '
                f"{rows[place]}: {weight:.3f}</title></rect>"
            )
    width, bottom = int(left + cell * count + 8), top + high * seeds
    labels = [_text(left - 6, top + high * seed + 10, str(seed + 1), "end") for seed in range(seeds)]
    labels += [_text(left + cell * (k + 0.45), bottom + 13, str(rows[k]), "middle") for k in range(count)]
    labels += [
        _text(
            0, 14, f"Memory vectors (down) by rows of the table (across, by rising {names[-1]})", kind="title"
        ),
        _text(left, bottom + 30, "row"),
        _text(width - 190, bottom + 30, "weight 0", "end"),
        _text(width - 8, bottom + 30, f"{most:.2f}", "end"),
    ]
    steps = "".join(
        f'<rect x="{width - 184 + 14 * k}" y="{bottom + 21}" width="13" height="11" fill-opacity="{k / 9:.2f}"/>'
        for k in range(10)
    )
    frame = (
        f'<rect x="{left - 0.5}" y="{top - 0.5}" width="{cell * count:.1f}" height="{high * seeds}" class="axis" />'
        f'<rect x="{width - 185}" y="{bottom + 20}" width="141" height="13" class="axis"/>'
    )
    seed, place = np.unravel_index(int(attention.argmax()), attention.shape)
    label = (
        f"{who}: attention of {seeds} memory vectors over {count} rows. The largest weight, {most:.2f}, is that of "
        f"memory vector {seed + 1} on row {rows[int(place)]}; even attention would be {1 / count:.3f}."
    )
    drawn = f'<g style="fill:var(--st-accent)">{"".join(squares)}{steps}</g>{frame}{"".join(labels)}'
    picture = _svg(width, bottom + 38, label, drawn)
    mean, keen = attention.mean(axis=0), attention.argmax(axis=0)
    peak = max(float(mean.max()), 1e-9)
    by_row = _table(
        "The rows, by the attention that they get",
        ["row", *names, "mean weight", "most from vector", "weight there"],
        [
            (
                str(rows[k]),
                *(spoken(value) for value in values[k]),
                _amount(float(mean[k]) / peak, f"{mean[k]:.4f}"),
                str(keen[k] + 1),
                f"{attention[keen[k], k]:.3f}",
            )
            for k in np.argsort(-mean, kind="stable").tolist()
        ],
    )
    whole = _table(
        "All weights, memory vectors by rows",
        ["vector", *(f"row {row}" for row in rows)],
        [(str(k + 1), *(f"{weight:.3f}" for weight in attention[k])) for k in range(seeds)],
    )
    return html(
        picture,
        f'<p class="faint">{escaped(label)}</p>',
        f"<details><summary>The same as a table of rows</summary>{by_row}</details>",
        f"<details><summary>All {seeds * count} weights</summary>{whole}</details>",
    )


def odds(found: dict[str, float], shown: int = 8) -> str:
    """The operators that the code of the table speaks of."""
    rows = [
        (f"<code>{escaped(name)}</code>", _amount(chance, f"{chance:.2f}", "third"))
        for name, chance in list(found.items())[:shown]
    ]
    return html(
        _table("How likely the law is to hold each operator, by the code alone", ["<operator", "<odds"], rows)
    )


def shuffled(found: Shuffled) -> str:
    """What shuffling does to the code."""
    same = "the same code: rows are sorted by the target before they are read"
    other = "rows of equal targets are read in another order, or others of them"
    rows = [
        ("the rows of the table", f"{found.table:.2g}", other if found.table else same),
        (
            "the sorted rows, on their way to the encoder",
            f"{found.rows:.2g}",
            "a set has no order: rounding alone",
        ),
        ("the targets, against their inputs", f"{found.broken:.2g}", "another table, another code"),
    ]
    caption = f"Shuffling {found.times}: the largest difference in the code, whose numbers go up to {found.size:.2f}"
    return html(_table(caption, ["<what is shuffled", "max abs difference", "<what that means"], rows))


# -- decode


def choices(choice: "Choice", name: Callable[[int], str]) -> str:
    """The next token's probabilities: as the network says, under the mask, and as it is drawn."""
    weight = np.maximum(np.maximum(choice.plain, choice.masked), choice.shaped)
    order = np.argsort(-weight, kind="stable").tolist()
    shown = order[:_TOKENS]
    longest = max(float(weight.max()), 1e-9)
    rows, kinds = [], []
    for token in shown:
        legal = bool(choice.legal[token])
        rows.append(
            (
                f"<code>{escaped(name(token))}</code>",
                "legal" if legal else "not legal",
                *(
                    _amount(float(part[token]) / longest, _percent(float(part[token])), kind)
                    for part, kind in zip(
                        (choice.plain, choice.masked, choice.shaped), ("", "third", "second")
                    )
                ),
            )
        )
        kinds.append("" if legal else "struck")
    rest = order[_TOKENS:]
    if rest:
        left = [float(part[rest].sum()) for part in (choice.plain, choice.masked, choice.shaped)]
        legal = int(choice.legal[rest].sum())
        rows.append((f"{len(rest)} others", f"{legal} legal", *(_percent(share) for share in left)))
    value = "" if choice.value is None else (
        f" The value head expects a reward of {choice.value:.2f} (0 to 1) from the best law that begins so."
    )  # fmt: skip
    lost = float(choice.plain[~choice.legal].sum())
    said = f"{int(choice.legal.sum())} of {len(choice.legal)} tokens are legal; the mask takes {_percent(lost)} away."
    head = ["<token", "<mask", "<before the mask", "<after the mask", "<drawn from"]
    return html(_table("The next token", head, rows, kinds), f"<p>{escaped(said + value)}</p>")


def way(branches: Sequence[Branch], name: Callable[[int], str]) -> str:
    """The way to the prefix as an indented list, with the likeliest others at each step."""
    text = ""
    for branch in reversed(branches):
        others = ", ".join(f"<code>{escaped(name(token))}</code> {_percent(p)}" for token, p in branch.others)
        if branch.token is None:
            text = f'<li>next: <span class="faint">{others or "nothing"}</span></li>'
        else:
            taken = f'<span class="taken"><code>{escaped(name(branch.token))}</code></span>'
            share = _percent(branch.probability)
            beside = f' <span class="faint">beside {others}</span>' if others else ""
            text = (
                f"<li>{taken} {share}{beside}<ol>{text}</ol></li>"
                if text
                else f"<li>{taken} {share}{beside}</li>"
            )
    return html("<h4>The way through the tree</h4>", f'<ol class="way">{text}</ol>')


def beginnings(found: "Sequence[Found]", name: Callable[[int], str]) -> str:
    """What a search found as a tree of beginnings, the likeliest first."""
    words = [(one.tokens, one.log_prob) for one in found]
    title = "What the search found, by beginnings"
    tree = f'<ol class="way">{_branches(words, 0, name)}</ol>'
    return html(
        f'<h4>{title}</h4><p class="faint">Each law in prefix order, with its log-probability.</p>',
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">{tree}</div>',
    )


def _branches(words: Sequence[tuple[tuple[int, ...], float]], depth: int, name: Callable[[int], str]) -> str:
    """Words that agree in their first tokens, parted by the next one; where only one goes on, in one line."""
    groups: dict[int, list[tuple[tuple[int, ...], float]]] = {}
    for word in words:
        groups.setdefault(word[0][depth], []).append(word)
    text = ""
    order = sorted(groups, key=lambda token: -max(best for _, best in groups[token]))
    for token in order[:_TWIGS]:
        group = groups[token]
        likeliest = max(best for _, best in group)
        if len(group) == 1:
            rest = " ".join(name(one) for one in group[0][0][depth:])
            text += f'<li><code>{escaped(rest)}</code> <span class="faint">{likeliest:.2f}</span></li>'
            continue
        said = f"{len(group)} laws, the likeliest {likeliest:.2f}"
        text += (
            f'<li><span class="taken"><code>{escaped(name(token))}</code></span> <span class="faint">{said}</span>'
            f"<ol>{_branches(group, depth + 1, name)}</ol></li>"
        )
    rest = sum(len(groups[token]) for token in order[_TWIGS:])
    return text + (f'<li class="faint">and {rest} more</li>' if rest else "")


def candidates(laws: Sequence[Candidate], shown: int = 100) -> str:
    """The laws that were completed, the latest first."""
    if not laws:
        return html('<p class="faint">No law is complete yet.</p>')
    rows = [
        (
            str(number),
            _formula(str(laws[number])),
            "" if math.isnan(laws[number].log_prob) else f"{laws[number].log_prob:.2f}",
            escaped(laws[number].source),
            "chosen" if laws[number].chosen else "",
        )
        for number in range(len(laws) - 1, max(-1, len(laws) - 1 - shown), -1)
    ]
    caption = f"{len(laws)} candidate{'s' * (len(laws) != 1)}, the latest first"
    return html(_table(caption, ["number", "<<law", "log-probability", "<from", "<to refine"], rows))


# -- refine


def refined(found: Sequence[Refined]) -> str:
    """Laws by methods: FVU and time side by side; below it, how each refinement ended."""
    methods = list(dict.fromkeys(one.method for one in found))
    by_law: dict[int, dict[str, Refined]] = {}
    for one in found:
        by_law.setdefault(one.number, {})[one.method] = one
    rows = []
    for number, row in by_law.items():
        best = min(row.values(), key=lambda one: one.fvu)
        cells = [str(number), _formula(best.law.infix(4))]
        for method in methods:
            one = row[method]
            ties = math.isfinite(one.fvu) and one.fvu <= best.fvu * (1 + 1e-6) + EPS
            cells += [f"{spoken_fvu(one.fvu)}{' ✓' if ties else ''}", f"{1000 * one.seconds:.1f} ms"]
        rows.append(cells)
    seconds = {m: sum(one.seconds for one in found if one.method == m) for m in methods}
    rows.append(["all", ""] + [cell for m in methods for cell in ("", f"{seconds[m]:.2f} s")])
    head = ["law", "<<fitted", *(title for m in methods for title in (f"{m}: FVU", "time"))]
    endings = [
        (
            str(one.number), escaped(one.method), _formula(one.law.infix(8)), f"{one.passes:,}",
            escaped(one.status.sentence),
        )
        for one in found
    ]  # fmt: skip
    detail = _table("Every refinement", ["law", "<method", "<<fitted", "passes", "<how it ended"], endings)
    names = "; ".join(f"{method}: {METHODS[method]}" for method in methods)
    return html(
        _table("FVU and time of each law by each method; ✓ marks the best FVU of a law", head, rows),
        f'<p class="faint">{escaped(names)}.</p>',
        f"<details><summary>How each refinement ended, and its constants</summary>{detail}</details>",
    )


def path(found: Trajectory, names: Sequence[str]) -> str:
    """The climb of one law: the FVU from every start, the constants from the best, step by step."""
    best = found.constants[found.chosen]  # [looks, constants]
    looks = len(best)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.clip(np.log10(found.fvu), _LOWEST, _HIGHEST)
    width, height, left, gap = 820, 250, 52, 70
    half = (width - left - gap) // 2 - 40
    top, bottom = 30, height - 34
    parts = [_text(left, 16, "log10 FVU, every start", kind="title")]
    finite = errors[np.isfinite(errors)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 0.0)
    low, high = math.floor(low - 0.2), math.ceil(high + 0.2)
    parts.append(_axes(left, half, top, bottom, (0, looks - 1), (low, high), "step"))
    order = [k for k in range(len(errors)) if k != found.chosen] + [found.chosen]
    for k in order:
        chosen = k == found.chosen
        color = "var(--st-accent)" if chosen else "var(--st-edge)"
        line = _line(errors[k], left, half, top, bottom, low, high)
        parts.append(
            f'<path d="{line}" fill="none" style="stroke:{color}" stroke-width="{3 if chosen else 1.5}" '
            f'stroke-dasharray="{"" if chosen else _DASHES[1 + k % (len(_DASHES) - 1)]}"/>'
        )
    many_sizes = float(np.abs(best[np.isfinite(best)]).max(initial=0.0)) > _LINEAR
    scaled = np.arcsinh(best) if many_sizes else best
    right = left + half + gap
    low, high = _span(scaled[np.isfinite(scaled)])
    scale = ", arsinh scale" if many_sizes else ""
    parts.append(_text(right, 16, f"constants, from the best start{scale}", kind="title"))
    marks = _sizes(low, high) if many_sizes else None
    parts.append(_axes(right, half, top, bottom, (0, looks - 1), (low, high), "step", marks))
    ends = []
    for k, name in enumerate(names):
        line = _line(scaled[:, k], right, half, top, bottom, low, high)
        color = ("var(--st-accent)", "var(--st-second)", "var(--st-third)", "var(--st-ink)")[k % 4]
        look = f'style="stroke:{color}" stroke-width="2" stroke-dasharray="{_DASHES[k % len(_DASHES)]}"'
        parts.append(f'<path d="{line}" fill="none" {look}/>')
        if np.isfinite(scaled[-1, k]):
            ends.append((bottom - (bottom - top) * (scaled[-1, k] - low) / (high - low), name, best[-1, k]))
    for y, (_, name, value) in zip(_apart([end[0] for end in sorted(ends)], 13), sorted(ends)):
        parts.append(_text(right + half + 6, y + 4, f"{name} = {spoken(float(value))}"))
    last = found.fvu[found.chosen, -1]
    label = (
        f"The climb from {len(errors)} start{'s' * (len(errors) != 1)} over {looks - 1} steps; the best, drawn "
        f"thick, ends at an FVU of {spoken_fvu(float(last)) if np.isfinite(last) else 'no value'}."
    )
    rows = [
        (str(step), spoken_fvu(float(found.fvu[found.chosen, step])), *(spoken(float(c)) for c in best[step]))
        for step in range(looks)
    ]
    table = _table("The best start, step by step", ["step", "FVU", *names], rows)
    return html(
        _svg(width, height, label, "".join(parts)),
        f'<p class="faint">{escaped(label)}</p>',
        f"<details><summary>The same as a table</summary>{table}</details>",
    )


def _line(values: np.ndarray, left: int, width: int, top: int, bottom: int, low: float, high: float) -> str:
    """A line over equal steps, broken where there is no number."""
    out, pen = [], "M"
    for k, value in enumerate(values.tolist()):
        if not math.isfinite(value):
            pen = "M"
            continue
        x = left + width * k / max(1, len(values) - 1)
        out.append(f"{pen}{x:.1f} {bottom - (bottom - top) * (value - low) / (high - low):.1f}")
        pen = "L"
    return "".join(out)


def _span(values: np.ndarray) -> tuple[float, float]:
    """A range around numbers, of which none lies on the edge."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    margin = 0.08 * (high - low) or max(0.5, 0.1 * abs(high))
    return low - margin, high + margin


def _apart(places: Sequence[float], least: float) -> list[float]:
    """Rising places, moved down where they are closer than that."""
    out: list[float] = []
    for place in places:
        out.append(max(place, out[-1] + least) if out else place)
    return out


def _axes(
    left: int, width: int, top: int, bottom: int, across: tuple[float, float], up: tuple[float, float], title: str,
    marks: Sequence[tuple[float, str]] | None = None,
) -> str:  # fmt: skip
    """A frame with ticks; marks: those upwards and what they say, round numbers by default."""
    parts = [f'<path class="axis" d="M{left} {top}V{bottom}H{left + width}"/>']
    for value, said in [(value, spoken(value)) for value in _ticks(*up, 5)] if marks is None else marks:
        y = bottom - (bottom - top) * (value - up[0]) / (up[1] - up[0])
        parts.append(f'<path class="grid" d="M{left} {y:.1f}h{width}"/>{_text(left - 6, y + 4, said, "end")}')
    for value in _ticks(*across, 6):
        x = left + width * (value - across[0]) / max(across[1] - across[0], 1e-9)
        parts.append(
            f'<path class="axis" d="M{x:.1f} {bottom}v4"/>{_text(x, bottom + 16, spoken(value), "middle")}'
        )
    parts.append(_text(left + width / 2, bottom + 30, title, "middle"))
    return "".join(parts)


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from low to high."""
    rough = max(high - low, 1e-12) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _sizes(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten with both signs and 0, on an arsinh scale from low to high; not more than fit."""
    most = max(1, math.ceil(max(abs(low), abs(high)) / math.log(10)))
    step = 1 + most // 4
    sizes = [0.0, *(sign * 10.0**power for power in range(0, most + 1, step) for sign in (-1.0, 1.0))]
    found = [(place, spoken(size)) for size in sizes if low <= (place := math.asinh(size)) <= high]
    return found if len(found) > 1 else [(place, f"{math.sinh(place):.3g}") for place in (low, high)]


# -- score


def score(found: Scored, target: str) -> str:
    """All candidates as dots with the front, the formula with its numbers, and the front as a table."""
    return html(_dots(found), _sums(found, target), _fronts(found))


def _height(fvu: float) -> float:
    return min(max(math.log10(max(fvu, EPS)), _LOWEST), _HIGHEST)


def _dots(found: Scored) -> str:
    width, height, left, top = 820, 320, 52, 30
    bottom, wide = height - 36, 820 - 52 - 180
    known = [k for k in range(len(found.fvu)) if np.isfinite(found.fvu[k])]
    heights = {k: _height(float(found.fvu[k])) for k in known}
    low, high = math.floor(min(heights.values()) - 0.3), math.ceil(max(heights.values()) + 0.3)
    most = int(found.complexity[known].max()) + 1

    def place(k: int) -> tuple[float, float]:
        x = left + wide * float(found.complexity[k]) / most
        return x, bottom - (bottom - top) * (heights[k] - low) / (high - low)

    parts = [_text(left, 16, "log10 FVU against complexity, every candidate a dot", kind="title")]
    parts.append(_axes(left, wide, top, bottom, (0, most), (low, high), "complexity"))
    stairs = ""
    for k in found.front:
        x, y = place(k)
        stairs += f"H{x:.1f}V{y:.1f}" if stairs else f"M{x:.1f} {top}V{y:.1f}"
    parts.append(
        f'<path d="{stairs}H{left + wide}" fill="none" style="stroke:var(--st-accent)" stroke-opacity="0.6"/>'
    )
    for k in known:
        x, y = place(k)
        on_front = k in found.front
        tip = f"{k}: {found.laws[k].infix(4)}, complexity {found.complexity[k]}, FVU {spoken_fvu(float(found.fvu[k]))}"
        style = "fill:var(--st-accent)" if on_front else "fill:none;stroke:var(--st-edge)"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4.5 if on_front else 3.5}" style="{style}">'
                     f"<title>{escaped(tip)}</title></circle>")  # fmt: skip
    marks = [(found.picked, "picked", "var(--st-second)")]
    if found.runner_up is not None:
        marks.append((found.runner_up, "runner-up", "var(--st-third)"))
    ends = sorted((place(k)[1], *place(k), k, name, color) for k, name, color in marks)
    for where, (_, x, y, k, name, color) in zip(_apart([end[0] for end in ends], 15), ends):
        shape = (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9"' if name == "picked"
            else f'<rect x="{x - 8:.1f}" y="{y - 8:.1f}" width="16" height="16"'
        )  # fmt: skip
        parts.append(f'{shape} fill="none" stroke-width="2.5" style="stroke:{color}"/>')
        parts.append(f'<path class="grid" d="M{x + 10:.1f} {y:.1f}L{left + wide + 8} {where:.1f}"/>')
        parts.append(_text(left + wide + 12, where + 4, f"{name}: {k}, complexity {found.complexity[k]}"))
    lost = len(found.fvu) - len(known)
    label = (
        f"{len(known)} candidates, {len(found.front)} of them on the front; picked is candidate {found.picked} of "
        f"complexity {found.complexity[found.picked]} and FVU {spoken_fvu(float(found.fvu[found.picked]))}."
        + (
            f" {lost} more {'are' if lost != 1 else 'is'} not finite on every row and cannot win."
            if lost
            else ""
        )
    )
    return _svg(width, height, label, "".join(parts)) + f'<p class="faint">{escaped(label)}</p>'


def _sums(found: Scored, target: str) -> str:
    rows = []
    for name, k in (("picked", found.picked), ("runner-up", found.runner_up)):
        if k is None:
            continue
        fvu, nodes = float(found.fvu[k]), int(found.complexity[k])
        accuracy, price = math.log10(max(fvu, EPS)), found.parsimony * nodes
        floor = f" (counts as {EPS:.1e})" if fvu < EPS else ""
        total = f"{float(found.value[k]):.3f}"
        rows.append(
            (
                f"{name}, {k}",
                _formula(f"{target} = {found.laws[k].infix(4)}"),
                f"log10({spoken_fvu(fvu)}{floor}) + {found.parsimony:g} × {nodes}",
                f"{accuracy:.3f} + {price:.3f} = {total}",
            )
        )
    sums = _table(
        "log10 FVU + parsimony × complexity, the lowest wins",
        ["<which", "<<law", "<<the formula", "<<its numbers"], rows, ["marked"],
    )  # fmt: skip
    left = f"<mtext>{escaped(target)}</mtext><mo>=</mo>"
    return f'<p class="law"><math>{left}{found.laws[found.picked].mathml(4)}</math></p>{sums}'


def _fronts(found: Scored) -> str:
    rows = [
        (
            str(k), _formula(found.laws[k].infix(4)), str(int(found.complexity[k])),
            spoken_fvu(float(found.fvu[k])), f"{float(found.value[k]):.3f}",
            escaped(", ".join(rule for rule, which in found.picks.items() if which == k)),
        )
        for k in sorted({*found.front, *found.picks.values()}, key=lambda k: (found.complexity[k], found.fvu[k]))
    ]  # fmt: skip
    marks = ["marked" if row[0] == str(found.picked) else "" for row in rows]
    head = ["number", "<<law", "complexity", "FVU", "score", "<picked by the rule"]
    return _table("The front, and what the other rules would pick", head, rows, marks)
