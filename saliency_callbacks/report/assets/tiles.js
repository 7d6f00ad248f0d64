// One tile: the input, a map over it, or the difference of two maps; words instead of pixels for text inputs.

// `spec` is { kind: "input" | "map" | "difference", run, frame, method, sample, small, before: { run, frame } }.
function makeTile(spec) {
  const isText = !currentMonitor().pictures;
  const surface = isText ? element("p", { class: "words" }) : element("canvas", { role: "img" });
  const tile = element("div", { class: `tile ${spec().small ? "small" : ""} ${isText ? "of-words" : ""}` }, surface);
  return { node: tile, surface, spec, isText, shown: "", job: 0 };
}

async function refreshTile(tile) {
  const spec = tile.spec();
  const look = [state.style, state.opacity, state.scale, state.mask, state.monitor, spec.kind === "difference" && isDark()];
  const key = JSON.stringify([spec, spec.kind === "input" ? [state.mask, state.monitor] : look]);
  if (tile.shown === key) return;
  tile.shown = key;
  const job = ++tile.job;
  tile.surface.setAttribute("aria-label", tileLabel(spec));
  const painted = tile.isText ? paintWords(spec) : await paintPixels(spec);
  if (job !== tile.job) return;
  tile.node.classList.toggle("empty", painted.empty);
  if (tile.isText) tile.surface.replaceChildren(...painted.words);
  else {
    tile.surface.width = painted.image.width;
    tile.surface.height = painted.image.height;
    tile.surface.getContext("2d").putImageData(painted.image, 0, 0);
    tile.surface.dataset.painted = key;
  }
}

function tileLabel(spec) {
  const monitor = currentMonitor(spec.run);
  const name = `sample ${sampleName(monitor, spec.sample)}`;
  if (spec.kind === "input") return `Input of ${name}`;
  const title = monitor.frames[spec.frame].title;
  const run = RUN_NAMES[spec.run] ? `, run ${RUN_NAMES[spec.run]}` : "";
  return spec.kind === "map" ? `${spec.method} map of ${name} at ${title}${run}` : `Difference of two ${spec.method} maps of ${name}`;
}

async function paintPixels(spec) {
  const pictures = currentMonitor(spec.run).pictures;
  const size = backing(pictures, spec.small);
  const monitorThen = state.monitor;
  const image = enlarged(await pictureOf(spec.run, spec.sample), size);
  const cell = spec.kind === "input" ? null : await cellOf(spec.run, spec.frame, spec.method, spec.sample);
  let empty = spec.kind !== "input" && (!cell || cell.empty);
  if (monitorThen === state.monitor && cell) {
    const heat = heatOf(cell, pictures, size, fullColor(spec.run, spec.method, spec.sample, cell.full));
    if (spec.kind === "map") layOver(image, heat);
    else {
      const other = await cellOf(spec.before.run, spec.before.frame, spec.method, spec.sample);
      const before = other ? heatOf(other, pictures, size, fullColor(spec.before.run, spec.method, spec.sample, other.full)) : heat;
      layDifference(image, before, heat);
      empty = false;
    }
  }
  const mask = state.mask ? await maskOf(spec.sample) : null;
  if (mask) outline(image, mask, size);
  return { image, empty };
}

function paintWords(spec) {
  const monitor = currentMonitor(spec.run);
  const tokens = monitor.tokens ? monitor.tokens[spec.sample] : [];
  const special = monitor.special ? monitor.special[spec.sample] : [];
  const found = spec.kind === "input" ? null : wordsOf(spec.run, spec.frame, spec.method, spec.sample);
  let unit = () => 0;
  if (found) {
    const relative = (words, run) => (place) => {
      const full = fullColor(run, spec.method, spec.sample, words.full);
      return full > 0 ? clamp((words.values[place] ?? 0) / full, -1, 1) : 0;
    };
    const now = relative(found, spec.run);
    const other = spec.kind === "difference" ? wordsOf(spec.before.run, spec.before.frame, spec.method, spec.sample) : null;
    const before = other ? relative(other, spec.before.run) : null;
    unit = spec.kind === "difference" ? (place) => (before ? clamp(now(place) - before(place), -1, 1) : 0) : now;
  }
  const words = tokens.flatMap((token, place) => [wordOf(token, special[place], unit(place)), " "]);
  return { words, empty: spec.kind === "map" && (!found || found.empty) };
}

function wordOf(token, isSpecial, unit) {
  const word = element("span", { class: isSpecial ? "word special" : "word", title: number(unit) }, token);
  // A transparent color works on light and dark backgrounds, and the text stays legible.
  const [red, blue] = ["214, 39, 40", "31, 97, 200"];
  if (Math.abs(unit) > 0.01) word.style.backgroundColor = `rgba(${unit > 0 ? red : blue}, ${(0.72 * Math.abs(unit) ** 0.8).toFixed(3)})`;
  return word;
}
