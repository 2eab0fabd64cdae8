/** What is forbidden, required and forced from here on, and one line to say more. */

import type { Changed, Context, View } from "../core/context";
import { isOver } from "../core/format";
import { button, h, icon, near, sentence } from "./dom";

export function rulesView(host: HTMLElement, context: Context): View {
  const { store } = context;
  const chips = h("ul.nbsr-chips", { "aria-label": "Rules in force" });
  const input = h("input.nbsr-input", {
    type: "text", placeholder: "exp, x1, sin(_) or a whole formula", "aria-label": "An operator, a column or a formula", spellcheck: false,
    autocomplete: "off", autocapitalize: "off",
  });
  const forbid = button("Forbid", { "data-verb": "forbid", title: "Propose nothing with this in it from here on" });
  const demand = button("Require", { "data-verb": "require", title: "Propose only what has this in it from here on" });
  const guess = button("Guess", { "data-verb": "guess", title: "Try this formula: it is fitted and joins the candidates" });
  const form = h("form.nbsr-steer", { "aria-label": "Steer the search" }, input, forbid, demand, guess);
  const element = h("div.nbsr-rules", {}, chips, form);
  host.append(element);
  let drawn = "";

  function draw(): void {
    const run = store.run;
    const steered = context.live() && !!run && !isOver(run.status);
    form.hidden = !steered;
    const rules = run?.rules ?? { forbid: [], require: [], forced: [] };
    const now = JSON.stringify([rules, steered]);
    if (now === drawn) return;
    drawn = now;
    const chip = (said: string, what: string, data: Record<string, string>, undo: string): HTMLElement =>
      h("li.nbsr-rule-chip", {}, h("span.nbsr-faint", {}, said), h("code", {}, what),
        steered && h("button.nbsr-chip-close", { type: "button", "aria-label": undo, title: undo, ...data }, icon("close")));
    chips.replaceChildren(
      ...rules.forbid.map((text) => chip("no", text, { "data-allow": text }, `Allow ${text} again`)),
      ...rules.require.map((text) => chip("with", text, { "data-allow": text }, `No longer require ${text}`)),
      ...rules.forced.map((tokens) => chip("begins", tokens.join(" "), { "data-rewind": "1" }, "Take the last forced token back")),
    );
    if (rules.forced.some((tokens) => tokens.length > 1) && steered)
      chips.append(h("li", {}, h("button.nbsr-link", { type: "button", "data-rewind": "1000000" }, "rewind all")));
    chips.hidden = chips.childElementCount === 0;
    element.hidden = chips.hidden && !steered;
  }

  async function tell(act: () => ReturnType<Context["act"]>): Promise<boolean> {
    try {
      const answer = await act();
      context.say(answer.said);
      if (answer.law !== undefined) context.select({ law: answer.law });
      return true;
    } catch (error) {
      context.say(sentence(error));
      return false;
    }
  }

  async function submit(verb: "forbid" | "require" | "guess"): Promise<void> {
    const text = input.value.trim();
    if (!text) {
      context.say("Type an operator, a column or a formula first.");
      input.focus();
    } else if (await tell(() => context.act(verb, { text }))) input.value = "";
  }

  chips.addEventListener("click", (event) => {
    const allow = near(event, "allow", chips)?.dataset.allow;
    const rewind = near(event, "rewind", chips)?.dataset.rewind;
    if (allow !== undefined) void tell(() => context.act("allow", { text: allow }));
    else if (rewind !== undefined) void tell(() => context.act("rewind", { tokens: Number(rewind) }));
  });
  form.addEventListener("click", (event) => {
    const verb = near(event, "verb", form)?.dataset.verb;
    if (verb) void submit(verb as "forbid" | "require" | "guess");
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // Enter guesses what looks like a formula; a bare word could mean any of the three, so the person says which.
    if (/[^A-Za-z0-9_]/.test(input.value.trim())) void submit("guess");
    else context.say("Press Forbid, Require or Guess.");
  });

  return {
    update(changed: Changed) {
      if (changed.has("run")) draw();
    },
    destroy: () => element.remove(),
  };
}
