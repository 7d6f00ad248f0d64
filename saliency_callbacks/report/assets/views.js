// The views "grid" and "sample". Each is built once for what it shows, and refreshed when only the moment changes.

const everyRun = runs.map((_, run) => run);

// Whether the model was right about a sample: ✓ or ✕, so that color is not the only sign.
function verdictOf(run, frame, sample) {
  const monitor = currentMonitor(run);
  const { predictions, confidences } = monitor.frames[frame];
  if (!predictions) return { text: "", isWrong: false };
  const label = monitor.labels ? monitor.labels[sample] : null;
  const isWrong = label !== null && predictions[sample] !== label;
  const sign = label === null ? "" : isWrong ? "✕ " : "✓ ";
  const sure = confidences ? confidences[sample] : null;
  return { text: `${sign}${className(monitor, predictions[sample])}`, sure: percent(sure), isWrong };
}

function titleOf(sample) {
  const monitor = currentMonitor();
  return monitor.labels ? className(monitor, monitor.labels[sample]) : sampleName(monitor, sample);
}

function verdictLine(place) {
  const line = element("p", { class: "verdict" });
  const update = () => {
    const { run, frame, sample } = place();
    const verdict = verdictOf(run, frame, sample);
    line.className = verdict.isWrong ? "verdict wrong" : "verdict";
    const name = RUN_NAMES[run] ? element("b", { class: "run-name" }, `${RUN_NAMES[run]} `) : null;
    const told = verdict.text ? [verdict.text, element("span", { class: "muted" }, ` ${verdict.sure ?? ""}`)] : [];
    line.replaceChildren(...(name ? [name] : []), ...told);
    return verdict.isWrong;
  };
  return { node: line, update };
}

function sampleCard(sample, tiles, lines, kind = "") {
  const monitor = currentMonitor();
  const head = element("p", { class: "card-title" }, titleOf(sample), element("span", { class: "muted" },
    monitor.labels ? ` ${sampleName(monitor, sample)}` : "", monitor.groups ? ` · ${monitor.groups[sample]}` : ""));
  const open = () => change({ view: "sample", sample });
  const card = element("button", { type: "button", class: `card ${kind}`, onclick: open, "data-sample": sample,
    "aria-label": `Open sample ${sampleName(monitor, sample)}, ${titleOf(sample)}` },
  element("div", { class: "row" }, tiles.map((tile) => tile.node)), element("div", { class: "caption" }, head, lines.map((line) => line.node)));
  const refresh = () => {
    card.classList.toggle("chosen", state.sample === sample);
    const wrong = lines.map((line) => line.update());
    card.classList.toggle("is-wrong", kind === "of-three" ? wrong[1] : wrong.some(Boolean));
  };
  return { node: card, tiles, refresh };
}

// Long names get a line of their own, in every card.
function gridKind() {
  const monitor = currentMonitor();
  const longest = Math.max(...monitor.ids.map((_, sample) => titleOf(sample).length));
  return `${monitor.pictures ? "" : "of-words"} ${monitor.pictures && longest > 7 ? "stacked" : ""}`;
}

function gridView() {
  const monitor = currentMonitor();
  const cards = monitor.ids.map((_, sample) => {
    const input = makeTile(() => ({ kind: "input", run: 0, frame: state.frame, method: state.method, sample }));
    const maps = everyRun.map((run) => makeTile(() => ({ kind: "map", run, frame: frameOf(run), method: state.method, sample })));
    const lines = everyRun.map((run) => verdictLine(() => ({ run, frame: frameOf(run), sample })));
    return sampleCard(sample, monitor.pictures ? [input, ...maps] : maps, lines);
  });
  const columns = monitor.pictures ? 1 + runs.length : 0;
  const grid = element("div", { class: `grid columns-${columns} ${gridKind()}` }, cards.map((card) => card.node));
  return { node: grid, tiles: cards.flatMap((card) => card.tiles), refresh: () => cards.forEach((card) => card.refresh()) };
}

const SAMPLE_SCORES = [["drift_previous", "drift"], ["entropy", "entropy"], ["region_mass", "in mask"]];

function scoresLine(run, method, sample) {
  const line = element("p", { class: "muted figures" });
  const update = () => {
    const scores = currentFrame(run).scores[method] || {};
    const shown = SAMPLE_SCORES.filter(([key]) => scores[key] && scores[key][sample] !== null);
    line.replaceChildren(...shown.map(([key, name]) => element("span", {}, `${name} ${key === "region_mass" ? percent(scores[key][sample]) : number(scores[key][sample])}`)));
  };
  return { node: line, update };
}

function methodButton(method, ...inside) {
  return element("button", { type: "button", class: "method-tile", onclick: () => change({ method }), "data-method": method,
    "aria-label": `Choose ${method}` }, inside);
}

function sampleView() {
  const { sample } = state;
  const monitor = currentMonitor();
  const lines = everyRun.map((run) => verdictLine(() => ({ run, frame: frameOf(run), sample })));
  const tiles = [];
  const updates = [];
  const rows = everyRun.map((run) => {
    const shown = monitor.methods.map((method) => {
      const tile = makeTile(() => ({ kind: "map", run, frame: frameOf(run), method: method.name, sample }));
      const scores = scoresLine(run, method.name, sample);
      tiles.push(tile);
      updates.push(scores.update);
      const name = element("p", { class: "card-title" }, method.name, element("span", { class: "muted" }, method.layer ? ` at ${method.layer}` : ""));
      return methodButton(method.name, tile.node, name, scores.node);
    });
    const input = makeTile(() => ({ kind: "input", run, frame: state.frame, method: state.method, sample }));
    tiles.push(input);
    const first = element("div", { class: "method-tile of-input" }, input.node, element("p", { class: "card-title" }, "input"));
    const title = runs.length > 1 ? element("h3", { class: "run-title" }, `${RUN_NAMES[run]} · ${runs[run].name}`) : null;
    return element("div", {}, title, element("div", { class: `side-by-side ${monitor.pictures ? "" : "of-words"}` }, monitor.pictures ? first : null, shown));
  });
  const strip = stripOf(sample, tiles);
  const head = element("div", { class: "sample-head" }, element("h2", {}, titleOf(sample), element("span", { class: "muted" }, ` ${sampleName(monitor, sample)}`)),
    lines.map((line) => line.node), element("button", { type: "button", class: "quiet", onclick: () => change({ view: "grid" }) }, "All samples"));
  const refresh = () => {
    lines.forEach((line) => line.update());
    updates.forEach((update) => update());
    strip.refresh();
    rows.forEach((row) => row.querySelectorAll("[data-method]").forEach((node) => node.classList.toggle("chosen", node.dataset.method === state.method)));
  };
  return { node: element("div", { class: "sample-view" }, head, rows, strip.node), tiles, refresh };
}

// One column per moment, one row per method; for text inputs, whose tiles need room, one row per moment of the chosen method.
function stripOf(sample, tiles) {
  const monitor = currentMonitor();
  const heads = [];
  const columnHead = (run, frame) => {
    const verdict = verdictOf(run, frame, sample);
    const title = currentMonitor(run).frames[frame].title;
    const button = element("button", { type: "button", class: verdict.isWrong ? "moment wrong" : "moment", "data-run": run, "data-frame": frame,
      "aria-label": `Show ${title}`, onclick: () => change({ frame: run === 0 ? frame : nearest(monitor.frames.map((one) => one.step), currentMonitor(run).frames[frame].step), playing: false }) },
    element("span", {}, monitor.pictures ? shortTitle(currentMonitor(run).frames[frame]) : capital(title)), element("span", { class: "muted" }, `${verdict.text} ${verdict.sure ?? ""}`));
    heads.push(button);
    return button;
  };
  const tables = everyRun.map((run) => {
    const frames = currentMonitor(run).frames;
    const tileAt = (frame, method) => {
      const tile = makeTile(() => ({ kind: "map", run, frame, method: method ?? state.method, sample, small: true }));
      tiles.push(tile);
      return tile.node;
    };
    if (!monitor.pictures) {
      return element("div", { class: "text-strip" }, frames.map((_, frame) => element("div", { class: "text-moment" }, columnHead(run, frame), tileAt(frame))));
    }
    const caption = element("caption", {}, runs.length > 1 ? `Every epoch of run ${RUN_NAMES[run]}` : "Every epoch");
    const head = element("tr", {}, element("td"), frames.map((_, frame) => element("th", { scope: "col" }, columnHead(run, frame))));
    const body = monitor.methods.map((method) => element("tr", {}, element("th", { scope: "row" }, method.name), frames.map((_, frame) =>
      element("td", { "data-frame": frame, "data-run": run, onclick: () => heads.find((one) => one.dataset.run === String(run) && one.dataset.frame === String(frame)).click() }, tileAt(frame, method.name)))));
    return element("div", { class: "scroll" }, element("table", { class: "strip" }, caption, element("thead", {}, head), element("tbody", {}, body)));
  });
  const node = element("div", {}, tables);
  const refresh = () => node.querySelectorAll("[data-frame]").forEach((cell) => {
    const isNow = Number(cell.dataset.frame) === frameOf(Number(cell.dataset.run));
    cell.classList.toggle("now", isNow);
    if (cell.tagName === "BUTTON") cell.setAttribute("aria-pressed", isNow);
  });
  return { node, refresh };
}

function shortTitle(frame) {
  return { "the start": "start", "the end": "end" }[frame.title] ?? frame.title.replace("epoch ", "");
}
