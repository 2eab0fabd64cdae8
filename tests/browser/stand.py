"""A widget that only talks: what a view and its kernel must do for a person to be heard while a cell runs."""

# Every button says one word: on the comm, by the event, or by the event of a stop. `data-replies` counts what came
# back, and `data-log` has it: the milliseconds between click and answer, and the thread that heard.
PAGE = """
function render({ model, el }) {
  const sent = new Map(), log = [], data = el.dataset;
  Object.assign(data, { replies: 0, ticks: 0, unheard: 0, log: "[]" });
  el.classList.add("stand");
  const say = (way, act) => {
    const message = { kind: "act", act, id: sent.size + 1 };
    sent.set(message.id, performance.now());
    if (way === "comm") return model.send(message);
    const unheard = () => { data.unheard = 1 + Number(data.unheard); };
    const detail = { view: model.get("view_id"), message, unheard };
    const free = el.dispatchEvent(new CustomEvent(way, { bubbles: true, composed: true, cancelable: true, detail }));
    if (free) { data.free = "yes"; model.send(message); }
  };
  for (const [name, way, act] of [
    ["comm", "comm", "nod"], ["event", "nbsr:send", "nod"],
    ["comm-stop", "comm", "stop"], ["stop", "nbsr:stop", "stop"],
  ]) {
    const button = el.appendChild(document.createElement("button"));
    button.textContent = button.className = name;
    button.addEventListener("click", () => say(way, act));
  }
  model.on("msg:custom", ({ kind, id, thread }) => {
    if (kind === "tick") data.ticks = 1 + Number(data.ticks);
    if (kind !== "reply") return;
    log.push({ id, thread, ms: performance.now() - sent.get(id) });
    Object.assign(data, { replies: log.length, log: JSON.stringify(log) });
  });
  setTimeout(() => say("nbsr:send", "hello"));
}
export default { render };
"""

KERNEL = f"""
import threading, time, uuid
import anywidget, traitlets
from IPython import get_ipython

class Stand(anywidget.AnyWidget):
    _esm = {PAGE!r}
    view_id = traitlets.Unicode().tag(sync=True)

    def __init__(self):
        own = uuid.uuid4().hex
        super().__init__(model_id=own, view_id=own)
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, subshell: subshell
        self.on_msg(lambda _, message, buffers: self.hear(message))
        self.stopped, self.interrupted_by_button = threading.Event(), threading.Event()

    def hear(self, message, interrupts=False):
        if interrupts:
            self.interrupted_by_button.set()
        if message["act"] == "stop":
            self.stopped.set()
        self.send({{"kind": "reply", "id": message["id"], "thread": threading.current_thread().name.split("-")[0]}})

    def block(self):
        display(self)
        while not self.stopped.wait(0.1):
            self.send({{"kind": "tick"}})
        return "stopped"

kernel = get_ipython().kernel
views = {{}}

def answer(stream, ident, parent):
    content = parent["content"]
    view = views.get(content["view"])
    kernel.session.send(stream, "nbsr_reply", {{"status": "ok", "heard": view is not None}}, parent, ident=ident)
    if view is not None:
        view.hear(content["message"], content["interrupts"])

kernel.control_handlers["nbsr_request"] = answer
stand = Stand()
views[stand.view_id] = stand
"""
