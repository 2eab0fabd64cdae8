/** The search tree: its picture, its list and its table, and beside them the node that is looked at. */

import type { Changed, MakeView } from "../core/context";
import { count, digits, isOver, plural } from "../core/format";
import { Expansion, lattice, ROOTS, shownPart, tidy, type Placed } from "../core/layout";
import { TreeStore } from "../core/treestore";
import { DROPPED } from "../core/types";
import { button, h, say, set } from "./dom";
import { nothing, panel, table } from "./panel";
import { TreeCanvas, type Hit } from "./treecanvas";
import { NodeDetail, NodeMenu } from "./treedetail";
import { TreeList } from "./treelist";
import { ALL_STATES, glyph, labelOf, signed, spelled, spoken, stateSentence, stateWord, tokenOf } from "./treetext";

const PACE = 250; // milliseconds between two layouts while a search runs
const BUDGETS = [60, 300, 1000, 10_000];
const LATTICE_LIMIT = 100_000; // a beam with more nodes is shown in part, as a tree
const TABLE_ROWS = 200;
const MATCHES = 500;
const AWAITED = "The tree appears with the first beginnings that the search tries; only tree search and beam search have one.";
const TREELESS = "There is no tree: only tree search and beam search grow one, the other methods write whole laws.";

export const treeView: MakeView = (host, context) => {
  const { store } = context;
  const tree = new TreeStore(store);
  const frame = panel(host, "Search tree", draw);
  frame.element.classList.add("nbsr-tree");

  // Controls
  const which = h("select.nbsr-select", { "aria-label": "Which tree" });
  const amount = h("select.nbsr-select", { "aria-label": "How much of it is shown" },
    ...BUDGETS.map((budget) => h("option", { value: budget }, `${count(budget)} nodes`)));
  const shape = h("select.nbsr-select", { "aria-label": "How it is drawn" },
    h("option", { value: "lattice" }, "by steps"), h("option", { value: "tree" }, "as a tree"));
  const follow = button("Follow the best", { "aria-pressed": "false", title: "Opens the way to the best law, and keeps it in sight" });
  const fit = button("Fit", { title: "All that is shown, in sight (0)" });
  const closer = button("+", { "aria-label": "Closer", title: "Closer (+)" });
  const farther = button("−", { "aria-label": "Farther", title: "Farther (−)" });
  const outline = button("List", { "aria-pressed": "false", title: "The tree as a list beside its picture" });
  const search = h("input.nbsr-input", { type: "search", "aria-label": "Find a beginning, such as + sin x1", placeholder: "Find: + sin x1" });
  const found = h("span.nbsr-tree-found", { role: "status" });
  frame.controls.append(which, shape, amount, search, found, follow, outline, h("span.nbsr-tree-zoom", { role: "group", "aria-label": "Zoom" }, farther, fit, closer));

  // Places of picture, list and detail
  const stale = h("p.nbsr-tree-stale", { role: "status", hidden: true });
  const more = h("p.nbsr-faint.nbsr-tree-more");
  const stage = h("div.nbsr-tree-stage");
  const tip = h("div.nbsr-tree-tip", { hidden: true, "aria-hidden": "true" });
  const empty = nothing(AWAITED);
  const legend = legendOf();
  frame.picture.append(empty, stage, more, legend);
  const main = h("div.nbsr-tree-main", {}, frame.picture, frame.table);
  const body = h("div.nbsr-tree-body", {}, main);
  frame.element.append(stale, body);

  // What is shown
  let tab = 0; // place of the tree in `trees`
  const expansions = new Map<number, Expansion>();
  const shapes = new Map<number, string>(); // chosen by hand
  let placed: Placed | null = null;
  let laidAt = 0;
  let late: ReturnType<typeof setTimeout> | undefined;
  let isFollowing = false;
  let followed = -1; // end of the best way
  let matches: number[] = [];
  let match = -1;
  let activeNode = -1;
  let sortBy = "visits";
  let hadSize = false;

  const canvas = new TreeCanvas(stage, {
    click: (hit) => {
      if (!hit) return;
      if (hit.handle || placed!.hidden[hit.place]) toggle(hit.place);
      else select(hit.place);
      list.activate(Math.min(hit.place, placed!.length - 1));
    },
    toggle: (hit: Hit) => toggle(hit.place),
    menu: (hit, x, y) => openMenu(hit.place, x, y),
    hover: showTip,
    sized: () => place(),
  });
  const list = new TreeList(stage, {
    words: (place) => words(place),
    select: (place) => select(place),
    toggle: (place) => toggle(place),
    menu: (place) => {
      const at = canvas.spot(place);
      openMenu(place, at.x + at.width / 2, at.y + 14);
    },
    focus: (place) => {
      if (place >= 0 && placed) {
        activeNode = placed.hidden[place] ? activeNode : placed.node[place];
        canvas.reveal(place);
      }
      canvas.mark(selectedPlace(), place);
    },
  });
  list.openable = (place) => !placed!.hidden[place] && tree.firstChild[placed!.node[place]] >= 0;
  stage.append(tip);
  const detail = new NodeDetail(body, context, tree, goTo);
  const menu = new NodeMenu(stage, context, tree, detail.tell);

  const expansion = (): Expansion => {
    let one = expansions.get(tab);
    if (!one) expansions.set(tab, (one = new Expansion()));
    return one;
  };
  const isBeam = (): boolean => /beam/i.test(store.trees[tab] ?? "");
  const asLattice = (): boolean =>
    (shapes.get(tab) ?? (isBeam() ? "lattice" : "tree")) === "lattice" && (tree.sizes[tab] ?? 0) <= LATTICE_LIMIT;
  const selectedPlace = (): number => (placed && context.selection.node !== null ? placed.placeOf(context.selection.node) : -1);

  function words(place: number): { shown: Node[]; heard: string } {
    const { node, hidden } = placed!;
    if (hidden[place]) {
      const text = node[place] === ROOTS ? `${count(hidden[place])} more beginnings of trees` : node[place] < 0 ? `step ${-1 - node[place]}: ${count(hidden[place])} more left behind` : `${count(hidden[place])} more`;
      return { shown: [h("span.nbsr-faint", {}, text)], heard: `${text}, press Enter to show them` };
    }
    const at = node[place];
    const level = h("span.nbsr-tree-level", { "aria-hidden": "true" });
    const fill = h("i");
    fill.style.width = `${tree.visits[at] ? Math.max(4, 100 * tree.best[at]) : 0}%`;
    level.append(fill);
    return {
      shown: [
        h("b", {}, labelOf(tree, store, at)), level,
        h("span.nbsr-faint", {}, `${tree.visits[at] ? `${digits(tree.best[at], 2)} · ${count(tree.visits[at])}` : "–"}${tree.state[at] ? ` · ${stateWord(tree.state[at])}` : ""}`),
      ],
      heard: spoken(tree, store, at),
    };
  }

  function select(place: number): void {
    if (!placed || placed.hidden[place]) return;
    context.select({ node: placed.node[place] });
  }

  function toggle(place: number): void {
    if (!placed) return;
    const node = placed.node[place];
    if (placed.hidden[place]) expansion().widen(node);
    else if (tree.firstChild[node] < 0) return;
    else expansion().set(node, placed.open[place] !== 1);
    layOut(Math.max(0, placed.hidden[place] ? placed.node[Math.max(0, placed.above[place])] : node));
  }

  /** Shows a node, wherever it is, and selects it. */
  function goTo(node: number): void {
    if (node < 0 || node >= tree.length) return;
    const other = tree.nodes.tree[node];
    if (other !== tab) {
      tab = other;
      canvas.mark(-1, -1);
      placed = null;
    }
    for (const at of tree.path(node).slice(0, -1)) if (!expansion().isOpen(at)) expansion().set(at, true);
    context.select({ node });
    activeNode = node;
    layOut(node);
    if (placed) {
      canvas.reveal(placed.placeOf(node), true);
      list.activate(placed.placeOf(node), list.hasFocus);
    }
    draw();
  }

  function openMenu(place: number, x: number, y: number): void {
    if (!placed || placed.hidden[place]) return;
    const node = placed.node[place];
    context.select({ node });
    list.activate(place, false);
    const open = placed.open[place] === 1;
    menu.open(node, x, y,
      tree.firstChild[node] >= 0 ? { name: open ? "Collapse" : "Expand", run: () => toggle(placed!.placeOf(node)) } : null,
      () => list.activate(placed?.placeOf(node) ?? 0));
  }

  function showTip(hit: Hit | null, x: number, y: number): void {
    tip.hidden = !hit || !placed;
    if (!hit || !placed) return;
    const node = placed.node[hit.place];
    if (placed.hidden[hit.place]) tip.textContent = "Show more";
    else {
      const { prior, log_prob } = tree.nodes;
      tip.replaceChildren(
        h("b", {}, spelled(tree, store, node)), h("br"),
        `${stateWord(tree.state[node])} · ${plural(tree.visits[node], "visit")}`, tree.visits[node] ? ` · best ${digits(tree.best[node], 3)}, mean ${digits(tree.mean(node), 3)}` : "",
        h("br"), `probability ${signed(prior[node], 2)} · log ${signed(log_prob[node])}`);
    }
    tip.style.left = `${Math.max(0, Math.min(x + 14, stage.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 18 + tip.offsetHeight > stage.clientHeight ? y - tip.offsetHeight - 10 : y + 18}px`;
  }

  /** The end with the best reward, from the first root of this tree that leads to one. */
  function bestWay(): number[] {
    const roots = tree.roots[tab] ?? [];
    let best = -1;
    for (const root of roots) if (tree.visits[root] && (best < 0 || tree.best[root] > tree.best[best])) best = root;
    return best < 0 ? [] : tree.bestPath(best);
  }

  function layOut(anchor = canvas.isMoved ? (selectedPlace() >= 0 ? context.selection.node! : canvas.middle()) : -1): void {
    clearTimeout(late);
    laidAt = performance.now();
    const way = bestWay();
    const end = way.length ? way[way.length - 1] : -1;
    if (isFollowing) for (const node of way.slice(0, -1)) if (!expansion().isOpen(node)) expansion().openUnasked(node);
    const first = placed === null;
    const looked = context.selection.node ?? -1;
    placed = asLattice()
      ? lattice(tree, tab, expansion())
      : tidy(shownPart(tree, tab, expansion(), looked >= 0 && looked < tree.length && tree.nodes.tree[looked] === tab ? looked : isFollowing ? end : -1));
    const root = tree.roots[tab]?.[0] ?? -1;
    canvas.show({ tree, placed, label: (node) => labelOf(tree, store, node), best: new Set(way), visits: root >= 0 ? tree.visits[root] : 1 }, anchor);
    if (first || (!canvas.isMoved && !isFollowing)) place();
    if (isFollowing && end !== followed) {
      followed = end;
      canvas.reveal(placed.placeOf(end), true);
    }
    list.show(placed, selectedPlace(), activeNode);
    canvas.mark(selectedPlace(), list.hasFocus ? list.activePlace : -1);
    const rest = store.uncounted.nodes;
    say(more, `${count(placed.length)} of ${plural(tree.sizes[tab] ?? 0, "node")} shown.${rest ? ` ${plural(rest, "more node")} of this search ${rest === 1 ? "was" : "were"} counted, not kept.` : ""}${tree.orphans ? ` ${plural(tree.orphans, "node")} without a known parent ${tree.orphans === 1 ? "stands" : "stand"} as roots.` : ""}`);
  }

  /** The camera where it starts: all of the drawing, or what can be read of it. */
  function place(): void {
    canvas.fit(0.72);
    if (isFollowing && placed && followed >= 0) canvas.reveal(placed.placeOf(followed), true);
  }

  function draw(): void {
    const size = tree.sizes[tab] ?? 0;
    const dropped = size ? tree.inState(tab, DROPPED) : 0;
    empty.hidden = size > 0;
    say(empty, store.run && isOver(store.run.status) ? TREELESS : AWAITED);
    stage.hidden = legend.hidden = more.hidden = size === 0;
    stale.hidden = dropped === 0;
    if (dropped) say(stale, `Edited: ${plural(dropped, "node")} of this tree ${dropped === 1 ? "holds" : "hold"} what a rule forbids now. ${dropped === 1 ? "It stays" : "They stay"} here crossed out, and the search has left ${dropped === 1 ? "it" : "them"}.`);
    shape.value = asLattice() ? "lattice" : "tree";
    amount.value = String(expansion().budget);
    amount.hidden = asLattice();
    shape.hidden = !isBeam();
    detail.show(context.selection.node ?? -1);
    if (size && !placed) layOut();
    if (frame.asTable()) drawTable();
    if (!hadSize && size) {
      hadSize = true;
      canvas.redraw();
    }
  }

  function drawTable(): void {
    if (!placed) return frame.table.replaceChildren(nothing(empty.textContent ?? ""));
    const nodes = [...placed.node].filter((_, i) => !placed!.hidden[i]);
    const { log_prob, depth } = tree.nodes;
    const keys: Record<string, (node: number) => number> = {
      visits: (node) => -tree.visits[node], best: (node) => -(tree.best[node] || 0), depth: (node) => depth[node], "log-probability": (node) => -log_prob[node],
    };
    nodes.sort((a, b) => keys[sortBy](a) - keys[sortBy](b) || a - b);
    const order = h("select.nbsr-select", { "aria-label": "Order of the rows" }, ...Object.keys(keys).map((key) => h("option", { value: key, selected: key === sortBy }, `by ${key}`)));
    order.addEventListener("change", () => {
      sortBy = order.value;
      drawTable();
      frame.table.querySelector("select")?.focus();
    });
    const rows = nodes.slice(0, TABLE_ROWS).map((node) => {
      const link = h("button.nbsr-link", { type: "button" }, spelled(tree, store, node));
      link.addEventListener("click", () => context.select({ node }));
      return [link, stateWord(tree.state[node]), String(depth[node]), count(tree.visits[node]), tree.visits[node] ? digits(tree.mean(node), 3) : "–", tree.visits[node] ? digits(tree.best[node], 3) : "–", signed(log_prob[node])];
    });
    frame.table.replaceChildren(
      h("p.nbsr-row", {}, order, h("span.nbsr-faint", {}, rows.length < nodes.length ? `the first ${count(rows.length)} of ${count(nodes.length)} nodes shown` : plural(rows.length, "node"))),
      table("Nodes of the search tree", ["beginning", "state", "#depth", "#visits", "#mean reward", "#best reward", "#log-probability"], rows));
  }

  /** Nodes whose beginning starts with these tokens; the last may be half a name. */
  function find(): void {
    const asked = search.value.trim().split(/[\s,]+/).filter(Boolean);
    matches = [];
    match = -1;
    if (asked.length) {
      const fits = (node: number, word: string, whole: boolean): boolean => {
        const name = tokenOf(tree, store, node);
        return [name, glyph(name)].some((one) => (whole ? one === word : one.startsWith(word)));
      };
      const walk = (tree.roots[tab] ?? []).map((node) => ({ node, at: 0 }));
      for (let next = 0; next < walk.length && matches.length < MATCHES; next++) {
        const { node, at } = walk[next];
        let taken = at;
        if (tree.nodes.token[node] !== -1) {
          if (!fits(node, asked[at], at < asked.length - 1)) continue;
          taken += 1;
        }
        if (taken === asked.length) matches.push(node);
        else for (let child = tree.firstChild[node]; child >= 0; child = tree.nextSibling[child]) walk.push({ node: child, at: taken });
      }
      matches.sort((a, b) => tree.visits[b] - tree.visits[a] || a - b);
    }
    say(found, asked.length ? (matches.length ? `${count(matches.length)}${matches.length === MATCHES ? " or more" : ""} found` : "none in this tree") : "");
  }

  function nextMatch(step: number): void {
    if (!matches.length) return;
    match = (match + step + matches.length) % matches.length;
    say(found, `${match + 1} of ${count(matches.length)}`);
    goTo(matches[match]);
  }

  function offerTrees(): void {
    const names = store.trees.length ? store.trees : tree.sizes.map((_, i) => `tree ${i + 1}`);
    const texts = names.map((name, i) => `${name} (${count(tree.sizes[i] ?? 0)})`);
    if (which.options.length !== texts.length) which.replaceChildren(...texts.map((text, i) => h("option", { value: i }, text)));
    else texts.forEach((text, i) => say(which.options[i], text));
    which.hidden = names.length < 2;
    which.value = String(tab);
  }

  /** The first tree that has grown, where the one that is looked at has nothing to show. */
  function chooseTree(): void {
    if (tree.sizes[tab]) return;
    const grown = tree.sizes.findIndex((size) => size > 0);
    if (grown < 0 || grown === tab) return;
    tab = grown;
    placed = null;
  }

  which.addEventListener("change", () => {
    tab = Number(which.value);
    placed = null;
    if (context.selection.node !== null) context.select({ node: null });
    followed = -1;
    find();
    draw();
  });
  amount.addEventListener("change", () => {
    const budget = Number(amount.value);
    expansion().budget = budget;
    expansion().breadth = budget >= 10_000 ? 200 : budget >= 1000 ? 24 : budget >= 300 ? 10 : 5;
    expansion().forgetUnasked();
    layOut();
    canvas.fit(budget > 300 ? undefined : 0.72);
  });
  shape.addEventListener("change", () => {
    shapes.set(tab, shape.value);
    placed = null;
    draw();
  });
  follow.addEventListener("click", () => {
    isFollowing = !isFollowing;
    followed = -1;
    set(follow, "aria-pressed", String(isFollowing));
    layOut();
    context.say(isFollowing ? (followed >= 0 ? `Following the best: ${spelled(tree, store, followed)}.` : "Following the best, as soon as there is one.") : "No longer following the best.");
  });
  outline.addEventListener("click", () => {
    const shown = stage.classList.toggle("nbsr-tree-with-list");
    set(outline, "aria-pressed", String(shown));
    list.show(placed ?? shownPart(tree, tab, expansion()), selectedPlace(), activeNode);
  });
  fit.addEventListener("click", () => canvas.fit());
  closer.addEventListener("click", () => canvas.zoom(1.3));
  farther.addEventListener("click", () => canvas.zoom(1 / 1.3));
  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (match < 0) find();
    nextMatch(event.shiftKey ? -1 : 1);
  });
  stage.addEventListener("keydown", (event) => {
    const pans: Record<string, [number, number]> = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey && event.key in pans) canvas.pan(...pans[event.key]);
    else if (event.key === "+" || event.key === "=") canvas.zoom(1.3);
    else if (event.key === "-") canvas.zoom(1 / 1.3);
    else if (event.key === "0") canvas.fit();
    else return;
    event.preventDefault();
  });

  return {
    update(changed: Changed) {
      const growth = tree.sync();
      if (growth.restarted) {
        // What was opened belongs to numbers that may mean other nodes now, unless the same search was sent anew.
        detail.forget();
        if (context.selection.node !== null && context.selection.node >= tree.length) context.select({ node: null });
      }
      chooseTree();
      const looking = context.selection.node ?? -1;
      if (changed.has("selection") && looking >= 0 && looking < tree.length && tree.nodes.tree[looking] !== tab) {
        tab = tree.nodes.tree[looking];
        placed = null;
      }
      offerTrees();
      const came = growth.firstNew < tree.length || growth.restarted;
      const seen = growth.restarted || !placed || asLattice() || isFollowing || someAreSeen(growth.firstNew);
      const looked = changed.has("selection") && looking >= 0 && looking < tree.length && selectedPlace() < 0;
      if (looked || growth.restarted) layOut();
      else if ((came && seen) || (isFollowing && growth.figures)) {
        clearTimeout(late);
        const wait = laidAt + PACE - performance.now();
        if (wait <= 0) layOut();
        else late = setTimeout(() => context.draw(layOut), wait);
      }
      if (changed.has("selection")) {
        canvas.reveal(selectedPlace());
        canvas.mark(selectedPlace(), list.hasFocus ? list.activePlace : -1);
        if (placed) list.show(placed, selectedPlace(), activeNode);
      }
      // Everything changes at once when a view opens and when the theme turns.
      if (changed.has("selection") && changed.has("run")) canvas.forgetColours();
      if (growth.figures || growth.states || changed.has("tokens")) {
        canvas.redraw();
        if (placed) list.refresh();
      }
      draw();
    },
    destroy() {
      clearTimeout(late);
      canvas.destroy();
      detail.destroy();
      frame.element.remove();
    },
  };

  /** Whether a new node changes what is shown: its parent is in sight. */
  function someAreSeen(firstNew: number): boolean {
    for (let node = firstNew; node < tree.length; node++) {
      const parent = tree.parent(node);
      if (tree.nodes.tree[node] === tab && (parent < 0 || placed!.placeOf(parent) >= 0)) return true;
    }
    return false;
  }
};

/** What the signs mean. */
function legendOf(): HTMLElement {
  const states = ALL_STATES.map((state) =>
    h("li", {}, h("span", { class: `nbsr-tree-key nbsr-tree-key-${state}`, "aria-hidden": "true" }, ["x", "x", "x", "= x", "⊘ x", "✕ x"][state]), h("b", {}, stateWord(state)), ` ${stateSentence(state)}`));
  return h("details.nbsr-tree-legend", {}, h("summary", {}, "What the signs mean"),
    h("ul", {}, ...states,
      h("li", {}, h("b", {}, "Number on a node"), " the log-probability of its beginning."),
      h("li", {}, h("b", {}, "Filled length and tint"), " the best reward below it: a full bar is a reward of 1, eight decades of FVU."),
      h("li", {}, h("b", {}, "Width of a line"), " how often the search went there."),
      h("li", {}, h("b", {}, "Strong outline"), " the way to the best law of this tree.")),
    h("p.nbsr-faint", {}, "Drag to move. Ctrl and wheel, two fingers, + and − zoom; 0 shows all. Arrows walk through the tree, Shift and arrows move it; Enter selects, the menu key or Shift F10 steers."));
}
