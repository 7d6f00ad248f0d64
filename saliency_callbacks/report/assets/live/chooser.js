// Which run is shown, and which beside it.

const SEARCH_FROM = 8;
const MOST_LISTED = 200;

const chooser = {
  isSecond: false,
  // Those that were there when the list was last looked at.
  known: null,
  search: element("input", { type: "search", id: "run-search", "aria-label": "Search runs", placeholder: "Search", oninput: () => chooser.refresh() }),
  title: element("h2", { id: "run-title" }),
  count: element("p", { class: "muted", role: "status" }),
  list: element("ul", { class: "run-list" }),
  dialog: element("dialog", { id: "run-dialog", "aria-labelledby": "run-title" }),
  openButton: element("button", { type: "button", class: "quiet", id: "choose-run", "aria-haspopup": "dialog", onclick: () => chooser.open() }),
  secondButton: element("button", { type: "button", class: "quiet", id: "choose-second", "aria-haspopup": "dialog", onclick: () => chooser.open(true) }, "Compare with…"),

  build() {
    const close = element("button", { type: "button", class: "quiet", onclick: () => chooser.dialog.close() }, "Close");
    chooser.dialog.append(chooser.title, chooser.search, chooser.count, chooser.list, close);
    chooser.dialog.addEventListener("keydown", moveInList);
    // A click beside the dialog closes it.
    chooser.dialog.addEventListener("click", (event) => event.target === chooser.dialog && chooser.dialog.close());
    document.body.append(chooser.dialog);
    document.querySelector(".top-buttons").prepend(chooser.openButton, chooser.secondButton);
    chooser.refresh();
  },

  open(isSecond = false) {
    if (live.list.length === 0) return;
    chooser.isSecond = isSecond;
    tell("");
    chooser.search.value = "";
    chooser.list.replaceChildren();
    chooser.known = idsOfList();
    chooser.refresh();
    chooser.dialog.showModal();
    (chooser.search.hidden ? chooser.dialog.querySelector("[aria-current]") ?? chooser.dialog : chooser.search).focus();
  },

  refresh() {
    const words = chooser.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = live.list.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
    const others = chooser.isSecond ? found.filter(({ id }) => id !== live.ids[0]) : found;
    if (live.list.length) chooser.known ??= idsOfList();
    const fresh = live.list.filter(({ id }) => !chooser.known.has(id)).length;
    chooser.openButton.textContent = live.list.length > 1 ? `Runs (${live.list.length}${fresh ? `, ${fresh} new` : ""})` : "Runs";
    chooser.openButton.classList.toggle("new", fresh > 0);
    chooser.openButton.disabled = live.list.length === 0;
    chooser.secondButton.hidden = live.ids.length === 0 || live.list.filter(({ problem }) => !problem).length < 2;
    chooser.title.textContent = chooser.isSecond ? `Compare ${live.list.find(({ id }) => id === live.ids[0])?.name ?? "the run"} with` : "Choose a run";
    chooser.search.hidden = live.list.length < SEARCH_FROM;
    const left = others.length > MOST_LISTED ? `; showing the newest ${MOST_LISTED}` : "";
    chooser.count.textContent = chooser.search.hidden ? "" : `${others.length} of ${counted(live.list.length, "run")}${left}`;
    const none = { id: "none", make: () => element("li", {}, element("button", { type: "button", class: "run", onclick: () => choose(null) }, "None (stop comparing)")) };
    fill(chooser.list, [...(chooser.isSecond && live.ids.length > 1 ? [none] : []), ...others.slice(0, MOST_LISTED).map(entryOf)]);
  },
};

function idsOfList() {
  return new Set(live.list.map(({ id }) => id));
}

function entryOf(run) {
  const isShown = live.ids[chooser.isSecond ? 1 : 0] === run.id;
  const ago = element("span", { class: "muted ago" });
  const make = () => element("li", {}, run.problem
    ? element("div", { class: "run" }, element("span", { class: "run-id" }, run.name), ago, element("span", { class: "run-problem" }, run.problem))
    : element("button", { type: "button", class: "run", "aria-current": isShown ? "true" : null, onclick: () => choose(run.id) }, element("span", { class: "run-id" }, run.name), ago));
  return { id: `run/${run.id}`, from: [run.name, run.problem, isShown, chooser.isSecond], make, update: (node) => { node.querySelector(".ago").textContent = agoOf(run.updated); } };
}

function choose(id) {
  chooser.dialog.close();
  const [first, second] = live.ids;
  const ids = chooser.isSecond ? [first, id] : [id, second === id ? null : second];
  const wanted = ids.filter(Boolean);
  if (wanted.join("\n") !== live.ids.join("\n")) tryToOpen(wanted);
}

function moveInList(event) {
  const buttons = [...chooser.list.querySelectorAll("button")];
  if (event.key === "Enter" && event.target === chooser.search) buttons[0]?.click();
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || buttons.length === 0) return;
  const next = buttons.indexOf(document.activeElement) + step;
  (next < 0 && !chooser.search.hidden ? chooser.search : buttons[clamp(next, 0, buttons.length - 1)]).focus();
  event.preventDefault();
}

function agoOf(seconds) {
  if (!seconds) return "";
  const minutes = Math.max(0, Date.now() / 1000 - seconds) / 60;
  if (minutes < 1.5) return "just now";
  if (minutes < 90) return `${Math.round(minutes)} min ago`;
  if (minutes < 36 * 60) return `${Math.round(minutes / 60)} h ago`;
  return new Date(1000 * seconds).toISOString().slice(0, 10);
}

const welcome = element("section", { id: "welcome", "aria-label": "No runs", hidden: true });

function showWelcome() {
  const damaged = live.list.map(({ id, name, problem }) => ({ id, from: [name, problem], make: () => element("li", {}, element("b", {}, name), ` ${problem}`) }));
  welcome.hidden = false;
  fill(welcome, [
    { id: "title", from: damaged.length, make: () => element("h2", {}, damaged.length ? "No run can be shown" : "No runs yet") },
    { id: "what to do", from: live.title, make: () => element("p", {}, "Attach ", element("code", {}, "SaliencyMonitor()"), " to your Trainer, with or without a logger. Runs below ", element("code", {}, live.title), " appear here while they train.") },
    { id: "code", make: () => element("pre", {}, element("code", {}, "from saliency_callbacks import SaliencyMonitor\n\ntrainer = L.Trainer(callbacks=[SaliencyMonitor()])")) },
    ...live.notes.map((note) => ({ id: note, make: () => element("p", { class: "muted" }, note) })),
    { id: "damaged", make: () => element("ul"), update: (node) => fill(node, damaged) },
  ]);
}
