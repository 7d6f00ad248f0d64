// The view "compare": any two moments, or two runs, side by side with their difference.

function sides() {
  const against = state.against;
  const before = { run: against.run, frame: against.frame === -1 ? frameOf(against.run) : against.frame };
  return { before, after: { run: state.run, frame: frameOf(state.run) } };
}

function momentName({ run, frame }) {
  const name = runLetter(run) ? `run ${runLetter(run)}, ` : "";
  return `${name}${currentMonitor(run).frames[frame].title}`;
}

function momentPicker() {
  const frames = element("select", { id: "against-frame", "aria-label": "Observation to compare with", onchange: () => change({ against: { ...state.against, frame: Number(frames.value) } }) });
  const option = (value, text) => ({ id: value, from: text, make: () => element("option", { value }, text) });
  const offer = () => {
    const options = currentMonitor(state.against.run).frames.map((frame, place) => option(place, capital(frame.title)));
    fill(frames, [...(runs.length > 1 ? [option(-1, "Same epoch")] : []), ...options]);
    frames.value = String(state.against.frame);
  };
  const runPicker = (id, label, get, set) => {
    if (runs.length < 2) return null;
    const select = element("select", { id, "aria-label": label, onchange: () => set(Number(select.value)) },
      runs.map((run, place) => element("option", { value: place }, `${runLetter(place)} · ${run.name}`)));
    select.value = String(get());
    return select;
  };
  const first = runPicker("against-run", "Run to compare with", () => state.against.run, (run) => change({ against: { run, frame: -1 } }));
  const second = runPicker("compared-run", "Run shown second", () => state.run, (run) => change({ run }));
  const now = element("b", {});
  const refresh = () => {
    offer();
    now.textContent = momentName(sides().after);
    for (const { unit, node } of swatches) node.style.backgroundColor = `rgb(${divergingColor(unit).join(",")})`;
  };
  const swatches = [0.9, -0.9].map((unit) => ({ unit, node: element("i", { class: "swatch" }) }));
  const node = element("div", { class: "compare-head" },
    element("label", { for: "against-frame" }, "First"), first, frames,
    element("span", {}, "then"), second, now, element("span", { class: "muted" }, "(set by the slider)"),
    element("span", { class: "legend" }, "Difference:", swatches[0].node, "grew", swatches[1].node, "faded"));
  return { node, refresh };
}

function compareView() {
  const monitor = currentMonitor();
  const picker = momentPicker();
  const cards = monitor.ids.map((_, sample) => {
    const spec = (kind, side) => () => ({ kind, ...sides()[side], method: state.method, sample, before: sides().before });
    const tiles = [makeTile(spec("map", "before")), makeTile(spec("map", "after")), makeTile(spec("difference", "after"))];
    const lines = ["before", "after"].map((side) => {
      const line = verdictLine(() => ({ ...sides()[side], sample }));
      line.node.dataset.side = side;
      return line;
    });
    // Text inputs are stacked, so each tile needs a label.
    if (!monitor.pictures) tiles.forEach((tile, place) => tile.node.prepend(element("span", { class: "side" }, ["first", "then", "difference"][place])));
    return sampleCard(sample, tiles, lines, "of-three");
  });
  const grid = element("div", { class: `grid columns-3 ${gridKind()}` }, cards.map((card) => card.node));
  const refresh = () => {
    picker.refresh();
    cards.forEach((card) => card.refresh());
  };
  return { node: element("div", {}, picker.node, grid), refresh };
}
