// The handles of ipywidgets' sliders have no name that a screen reader could say; they get that of their label.
function render({ el }) {
  let observer = null;
  const name = (root) => {
    for (const slider of root.querySelectorAll(".widget-slider")) {
      const label = slider.querySelector(".widget-label")?.textContent ?? "";
      for (const handle of slider.querySelectorAll("[role=slider]")) {
        if (handle.getAttribute("aria-label") !== label) handle.setAttribute("aria-label", label);
      }
    }
  };
  const begin = () => {
    const root = el.closest(".nbsr-stages");
    if (!root) return; // not on the page yet
    clearInterval(waiting);
    observer = new MutationObserver(() => name(root));
    observer.observe(root, { childList: true, subtree: true });
    name(root);
  };
  const waiting = setInterval(begin, 100);
  return () => {
    clearInterval(waiting);
    observer?.disconnect();
  };
}
export default { render };
