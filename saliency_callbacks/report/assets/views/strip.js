// A sample at every moment of a run. Moments that arrive while it is looked at are added to it.

// A moment keeps its place in the strip by its step and stage: earlier ones may have gone.
function momentOf(run, { step, stage }) {
  return placeOf(currentMonitor(run).frames, { step, stage });
}

function momentButton(run, moment, sample) {
  const frame = momentOf(run, moment);
  const verdict = verdictOf(run, frame, sample);
  const title = currentMonitor().pictures ? shortTitle(moment) : capital(moment.title);
  return element("button", { type: "button", class: verdict.isWrong ? "moment wrong" : "moment", "aria-label": `Show ${moment.title}`, "data-frame": frame,
    onclick: () => showMoment(run, moment) }, element("span", {}, title), element("span", { class: "muted" }, `${verdict.text} ${verdict.sure ?? ""}`));
}

function showMoment(run, moment) {
  const frame = run === 0 ? momentOf(0, moment) : nearest(currentMonitor().frames.map((one) => one.step), moment.step);
  change({ frame, playing: false });
}

// One entry for each moment, made again only if what is said about it has changed.
function momentEntries(run, sample, make) {
  return currentMonitor(run).frames.map((frame, place) => ({
    id: `${frame.step}/${frame.stage}`,
    from: [place, frame.title, verdictOf(run, place, sample)],
    make: () => make({ step: frame.step, stage: frame.stage, title: frame.title }),
  }));
}

// Fill a strip when there is other data, and mark the chosen moment; `nodesAt` returns all nodes of a moment.
function refreshStrip(run, fillStrip, nodesAt, onMove) {
  let filled = null;
  let now = -1;
  const mark = (isNow) => nodesAt(now).forEach((node) => markNow(node, isNow));
  return () => {
    const { frames } = currentMonitor(run);
    if (filled === frames && now === frameOf(run)) return;
    if (now >= 0) mark(false);
    if (filled !== frames) fillStrip();
    const hasMoved = now !== frameOf(run);
    [filled, now] = [frames, frameOf(run)];
    mark(true);
    if (hasMoved) onMove(now);
  };
}

function markNow(node, isNow) {
  node.classList.toggle("now", isNow);
  const button = node.querySelector(".moment");
  button?.classList.toggle("now", isNow);
  button?.setAttribute("aria-pressed", isNow);
}

function smallTile(run, moment, sample, method) {
  return makeTile(() => ({ kind: "map", run, frame: momentOf(run, moment), method: method ?? state.method, sample, small: true })).node;
}

// One column per moment, one row per method.
function stripOfPictures(run, sample) {
  const corner = { id: "corner", make: () => element("td") };
  const head = element("tr");
  const rows = currentMonitor().methods.map(({ name }) => ({ name, node: element("tr") }));
  const title = runs.length > 1 ? `Every epoch of run ${runLetter(run)}` : "Every epoch";
  const table = element("table", { class: "strip", "aria-label": title },
    element("thead", {}, head), element("tbody", {}, rows.map((row) => row.node)));
  const box = element("div", { class: "scroll" }, table);
  const fillTable = () => {
    fill(head, [corner, ...momentEntries(run, sample, (moment) => element("th", { scope: "col" }, momentButton(run, moment, sample)))]);
    for (const row of rows) {
      const name = { id: "name", make: () => element("th", { scope: "row" }, row.name) };
      const cells = momentEntries(run, sample, (moment) => element("td", { class: "at", onclick: () => showMoment(run, moment) }, smallTile(run, moment, sample, row.name)));
      // A map does not depend on what the model said then.
      fill(row.node, [name, ...cells.map((cell) => ({ ...cell, from: null }))]);
    }
  };
  const nodesAt = (place) => [head, ...rows.map((row) => row.node)].map((row) => row.children[1 + place]).filter(Boolean);
  const bring = (place) => bringIntoView(box, head.children[1 + place], rows[0]?.node.firstElementChild.offsetWidth ?? 0);
  return { node: element("div", {}, element("h3", { class: "strip-title" }, title), box), refresh: refreshStrip(run, fillTable, nodesAt, bring) };
}

// Sideways only: the page stays where it is.
function bringIntoView(box, cell, hidden) {
  const left = cell.offsetLeft - hidden;
  const right = cell.offsetLeft + cell.offsetWidth - box.clientWidth;
  if (box.scrollLeft > left) box.scrollLeft = left - box.clientWidth / 4;
  else if (box.scrollLeft < right) box.scrollLeft = right + box.clientWidth / 4;
}

// Text inputs need room: one row per moment, of the chosen method.
function stripOfWords(run, sample) {
  const node = element("div", { class: "text-strip" });
  const fillRows = () => fill(node, momentEntries(run, sample, (moment) =>
    element("div", { class: "text-moment" }, momentButton(run, moment, sample), smallTile(run, moment, sample))));
  return { node, refresh: refreshStrip(run, fillRows, (place) => [node.children[place]].filter(Boolean), () => {}) };
}
