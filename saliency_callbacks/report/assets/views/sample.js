// The view "sample": one sample by every method, and at every moment.

const SAMPLE_SCORES = [["drift_previous", "drift"], ["entropy", "entropy"], ["region_mass", "in mask"], ["region_iou", "IoU"]];

function scoresLine(run, method, sample) {
  const line = element("p", { class: "muted figures" });
  const update = () => {
    const scores = currentFrame(run).scores[method] || {};
    const shown = SAMPLE_SCORES.filter(([key]) => scores[key] && scores[key][sample] !== null);
    line.replaceChildren(...shown.map(([key, name]) => element("span", {}, `${name} ${key === "region_mass" ? percent(scores[key][sample]) : hundredths(scores[key][sample])}`)));
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
  const lines = everyRun().map((run) => verdictLine(() => ({ run, frame: frameOf(run), sample })));
  const updates = [];
  const rows = everyRun().map((run) => {
    const shown = monitor.methods.map((method) => {
      const tile = makeTile(() => ({ kind: "map", run, frame: frameOf(run), method: method.name, sample }));
      const scores = scoresLine(run, method.name, sample);
      updates.push(scores.update);
      const name = element("p", { class: "card-title" }, breakable(method.name), element("span", { class: "muted" }, method.layer ? ` at ${method.layer}` : ""));
      return methodButton(method.name, tile.node, name, scores.node);
    });
    const input = makeTile(() => ({ kind: "input", run, frame: frameOf(run), method: state.method, sample }));
    const first = element("div", { class: "method-tile of-input" }, input.node, element("p", { class: "card-title" }, "input"));
    const title = runs.length > 1 ? element("h3", { class: "run-title" }, `${runLetter(run)} · ${runs[run].name}`) : null;
    return element("div", {}, title, element("div", { class: `side-by-side ${monitor.pictures ? "" : "of-words"}` }, monitor.pictures ? first : null, shown));
  });
  const strips = everyRun().map((run) => (monitor.pictures ? stripOfPictures(run, sample) : stripOfWords(run, sample)));
  const head = element("div", { class: "sample-head" }, element("h2", {}, titleOf(sample), element("span", { class: "muted" }, ` ${sampleName(monitor, sample)}`)),
    lines.map((line) => line.node), element("button", { type: "button", class: "quiet", onclick: () => change({ view: "grid" }) }, "All samples"));
  const refresh = () => {
    lines.forEach((line) => line.update());
    updates.forEach((update) => update());
    strips.forEach((strip) => strip.refresh());
    rows.forEach((row) => row.querySelectorAll("[data-method]").forEach((node) => node.classList.toggle("chosen", node.dataset.method === state.method)));
  };
  return { node: element("div", { class: "sample-view" }, head, rows, strips.map((strip) => strip.node)), refresh };
}
