// The view "grid", and cards of samples. A view is built once for what it shows, and refreshed when only the moment changes.

// Whether the model was right about a sample: ✓ or ✕, so that color is not the only sign.
function verdictOf(run, frame, sample) {
  const monitor = currentMonitor(run);
  const { predictions, confidences } = monitor.frames[frame];
  if (!predictions) return { text: targetName(run, frame, sample), isWrong: false };
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
    const name = runLetter(run) ? element("b", { class: "run-name" }, `${runLetter(run)} `) : null;
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
  return { node: card, refresh };
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
    const maps = everyRun().map((run) => makeTile(() => ({ kind: "map", run, frame: frameOf(run), method: state.method, sample })));
    const lines = everyRun().map((run) => verdictLine(() => ({ run, frame: frameOf(run), sample })));
    return sampleCard(sample, monitor.pictures ? [input, ...maps] : maps, lines);
  });
  const columns = monitor.pictures ? 1 + runs.length : 0;
  const grid = element("div", { class: `grid columns-${columns} ${gridKind()}` }, cards.map((card) => card.node));
  return { node: grid, refresh: () => cards.forEach((card) => card.refresh()) };
}
