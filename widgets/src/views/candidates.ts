/** All distinct laws seen: sorted, asked for by a query, pinned, and compared side by side. */

import { shownLaw, type Changed, type Context, type View } from "../core/context";
import { fitOf } from "../core/fit";
import { plural, rSquared, seconds, spokenFvu } from "../core/format";
import type { Asks, Law } from "../core/types";
import { arrange, button, h, icon, near, s, sentence, set, uid } from "./dom";
import { drawPoints, residualPoints } from "./fit";
import { togglePin } from "./law";
import { method } from "./marks";
import { typeset } from "./mathml";
import { nothing } from "./panel";

const PAGE = 50;
const COMPARED = 4;
const PAUSE = 2000; // milliseconds between two looks at a search that goes on
type Sort = Asks["query"]["args"]["sort"];
const COLUMNS: [Sort, string, boolean][] = [
  ["complexity", "nodes", true], ["fvu", "FVU", true], ["score", "score", true], ["source", "method", false],
  ["born", "found", true], ["law", "law", false],
];

export function candidatesView(host: HTMLElement, context: Context): View {
  const { store } = context;
  const hint = h("span.nbsr-faint", { id: uid("hint") }, "or a pattern such as sin(_*x1)+_");
  const input = h("input.nbsr-input", {
    type: "search", "aria-label": "Which candidates", "aria-describedby": hint.id, spellcheck: false, autocomplete: "off",
    placeholder: 'complexity < 9 and "exp" not in law',
  });
  const found = h("span.nbsr-faint", { "aria-live": "polite" });
  const problem = h("p.nbsr-problem", { role: "alert", hidden: true });
  const heads = new Map<Sort, HTMLTableCellElement>();
  for (const [sort, name, numeric] of COLUMNS)
    heads.set(sort, h("th", { scope: "col", ...(numeric ? { class: "nbsr-number" } : {}) },
      h("button.nbsr-sort", { type: "button", "data-sort": sort }, name)));
  const body = h("tbody");
  const grid = h("table.nbsr-table.nbsr-rows", {},
    h("caption.nbsr-hidden", {}, "Candidates"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span.nbsr-hidden", {}, "pinned")), ...heads.values())), body);
  const previous = button("Previous", { "data-page": -1 });
  const next = button("Next", { "data-page": 1 });
  const where = h("span.nbsr-faint");
  const pages = h("div.nbsr-row.nbsr-pages", { hidden: true }, previous, where, next);
  const compare = h("section.nbsr-compare", { "aria-label": "Pinned laws side by side", hidden: true });
  const scroll = h("div.nbsr-scroll", { tabindex: 0, role: "group", "aria-label": "Candidates, a list that scrolls" }, grid);
  host.append(h("div.nbsr-row.nbsr-query", {}, input, hint, found), problem, compare, scroll, pages);

  let sort: Sort = "fvu";
  let down = false;
  let first = 0;
  let asked = 0; // questions so far: an answer to an older one is let go
  let waiting = false; // for the answer to the last one
  let laws: Law[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let answered = -Infinity; // when the last answer came
  let outdated = false; // more has come since the last question

  async function ask(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    waiting = true;
    const mine = ++asked;
    try {
      const answer = await context.ask("query", { text: input.value, sort, down, first, count: PAGE });
      if (mine !== asked) return;
      laws = answer.laws;
      problem.hidden = true;
      set(input, "aria-invalid", null);
      found.textContent = plural(answer.total, "law");
      pages.hidden = answer.total <= PAGE;
      where.textContent = `${first + 1} to ${first + laws.length} of ${plural(answer.total, "law")}`;
      previous.disabled = first === 0;
      next.disabled = first + PAGE >= answer.total;
      context.draw(drawRows);
    } catch (error) {
      if (mine !== asked) return;
      problem.textContent = sentence(error);
      problem.hidden = false;
      set(input, "aria-invalid", "true");
    } finally {
      if (mine === asked) {
        waiting = false;
        answered = performance.now();
        if (outdated) look();
      }
    }
  }

  function soon(delay: number): void {
    if (timer === undefined) timer = setTimeout(() => void ask(), delay);
  }

  /** Looks anew, once the last question is answered: asked faster than a busy kernel answers, none would be shown. */
  function look(): void {
    outdated = waiting;
    if (!waiting) soon(Math.max(0, PAUSE - (performance.now() - answered)));
  }

  function rowOf(law: Law, pinned: boolean, chosen: boolean): HTMLElement {
    const name = pinned ? "Take the pin away" : "Pin";
    return h("tr", { "data-law": law.id, class: chosen ? "nbsr-chosen" : "" },
      h("td", {}, h("button.nbsr-pin", { type: "button", "data-pin": law.id, "aria-pressed": String(pinned), "aria-label": `${name}: ${law.text}`, title: name }, icon("pin"))),
      h("td.nbsr-number", {}, String(law.complexity)),
      h("td.nbsr-number", {}, spokenFvu(law.fvu)),
      h("td.nbsr-number", {}, law.score.toFixed(2)),
      h("td", {}, method(store.sources, law.source)),
      h("td.nbsr-number", {}, seconds(law.born)),
      h("td.nbsr-formula-cell", {}, h("button.nbsr-link", { type: "button", "data-choose": law.id, "aria-pressed": String(chosen) }, law.text)));
  }

  function drawRows(): void {
    for (const [name, head] of heads) set(head, "aria-sort", name === sort ? (down ? "descending" : "ascending") : null);
    const focused = body.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset : {};
    const chosen = shownLaw(context);
    const { pinnedLaws } = context.selection;
    const before = new Map([...body.children].map((row) => [(row as HTMLElement).dataset.law, row]));
    arrange(body, laws.map((law) => {
      const row = rowOf(law, pinnedLaws.includes(law.id) || law.pinned, law.id === chosen);
      const known = before.get(String(law.id));
      return known?.isEqualNode(row) ? known : row;
    }));
    if (laws.length === 0) body.append(h("tr", {}, h("td", { colspan: COLUMNS.length + 1 }, nothing(input.value ? "No law is like that." : "No candidates yet."))));
    for (const name of ["pin", "choose"]) if (focused[name]) body.querySelector<HTMLElement>(`[data-${name}="${focused[name]}"]`)?.focus({ preventScroll: true });
  }

  let compared = "";
  function drawCompared(): void {
    const pinned = context.selection.pinnedLaws.flatMap((id) => store.laws.get(id) ?? []);
    const shown = pinned.slice(-COMPARED);
    const now = JSON.stringify([shown, shownLaw(context), !!store.data]);
    compare.hidden = shown.length === 0;
    if (now === compared) return;
    compared = now;
    compare.replaceChildren(
      ...shown.map((law) => {
        const fit = store.data ? fitOf(law, store.data) : null;
        const plot = s("svg.nbsr-mini", { role: "img", "aria-label": `Residuals of ${law.text}` });
        if (fit) drawPoints(plot, residualPoints(fit), 220, 84, true);
        const fitted = law.constants.filter((constant) => !constant.exact).map((constant) => constant.reading);
        return h("article.nbsr-card", { class: `nbsr-card${law.id === shownLaw(context) ? " nbsr-chosen" : ""}` },
          h("div.nbsr-card-head", {},
            h("button.nbsr-link", { type: "button", "data-choose": law.id }, `R² ${rSquared(law.fvu)}`),
            h("button.nbsr-pin", { type: "button", "data-pin": law.id, "aria-pressed": "true", "aria-label": `Take the pin away: ${law.text}`, title: "Take the pin away" }, icon("close"))),
          h("div.nbsr-faint", {}, `FVU ${spokenFvu(law.fvu)} · ${plural(law.complexity, "node")}`),
          h("div.nbsr-card-law", {}, typeset(law.mathml, law.text, true)),
          fitted.length > 0 && h("div.nbsr-faint", {}, fitted.join(" · ")),
          fit && plot);
      }),
      pinned.length > COMPARED && h("p.nbsr-faint", {}, `and ${plural(pinned.length - COMPARED, "more pinned law")}`) || "",
    );
  }

  input.addEventListener("input", () => {
    first = 0;
    clearTimeout(timer);
    timer = undefined;
    soon(250);
  });
  host.addEventListener("click", (event) => {
    const pin = near(event, "pin", host);
    const sorted = near(event, "sort", host);
    const page = near(event, "page", host);
    const choice = near(event, "choose", host) ?? near(event, "law", host);
    if (pin) {
      const id = Number(pin.dataset.pin);
      const law = laws.find((one) => one.id === id);
      if (law && !store.laws.has(id)) store.keep(law);
      void togglePin(context, id);
    } else if (sorted) {
      const wanted = sorted.dataset.sort as Sort;
      [sort, down, first] = [wanted, wanted === sort && !down, 0];
      void ask();
    } else if (page) {
      first = Math.max(0, first + PAGE * Number(page.dataset.page));
      scroll.scrollTop = 0;
      void ask();
    } else if (choice) {
      const id = Number(choice.dataset.choose ?? choice.dataset.law);
      const law = laws.find((one) => one.id === id);
      if (law && !store.laws.has(id)) store.keep(law);
      context.select({ law: id });
    }
  });

  return {
    update(changed: Changed) {
      if (changed.has("dots") || changed.has("run") || laws.length === 0) look();
      if (changed.has("selection") || changed.has("sources")) drawRows();
      drawCompared();
    },
    destroy() {
      clearTimeout(timer);
      asked += 1;
      host.replaceChildren();
    },
  };
}
