import type { MakeView } from "../core/context";

export const refinementView: MakeView = (host) => {
  host.textContent = "This view is on its way.";
  return { update() {}, destroy: () => host.replaceChildren() };
};
