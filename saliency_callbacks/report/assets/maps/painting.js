// What a tile shows: the pixels of a picture with its map, or words with their colors.

// `sheets` are those of the map, and of the one before it for a difference.
async function paintPixels(spec, [sheet, sheetBefore]) {
  const { run, method, sample } = spec;
  const { shared } = currentMonitor(run);
  const [plane, shape] = [planeOf(run), pictureSize(run)];
  const isShared = state.scale === "shared";
  const fullOf = (cell) => (isShared && shared[method] ? shared[method][sample] : cell.full);
  const size = backing(shape, spec.small);
  const heatIn = (cell) => heatOf(cell, shape, size, fullOf(cell));
  const style = { name: state.style, opacity: state.opacity };
  const [picture, mask] = await Promise.all([pictureOf(run, sample, size, plane), state.mask ? maskOf(sample) : null]);
  const image = new ImageData(new Uint8ClampedArray(picture.data), size.width, size.height);
  const cell = cellIn(sheet, sample, plane.at);
  const before = cellIn(sheetBefore, sample, spec.before ? planeOf(spec.before.run).at : 0);
  if (cell && spec.kind === "map") layOver(image, heatIn(cell), style);
  if (cell && spec.kind === "difference") layDifference(image, heatIn(before ?? cell), heatIn(cell));
  if (mask) outline(image, mask, size);
  if (spec.kind !== "difference") await drawOutlines(image, sheet, spec, plane.at);
  return { image, empty: spec.kind === "map" && Boolean(cell?.empty) };
}

function paintWords(spec, [sheet, sheetBefore]) {
  const monitor = currentMonitor(spec.run);
  const tokens = monitor.tokens ? monitor.tokens[spec.sample] : [];
  const special = monitor.special ? monitor.special[spec.sample] : [];
  const relative = (words) => (place) => {
    const shared = state.scale === "shared" && monitor.shared[spec.method];
    const full = shared ? shared[spec.sample] : words.full;
    return full > 0 ? clamp((words.values[place] ?? 0) / full, -1, 1) : 0;
  };
  const [found, other] = [wordsIn(sheet, spec.sample), wordsIn(sheetBefore, spec.sample)];
  const [now, before] = [found, other].map((words) => (words ? relative(words) : () => 0));
  const difference = (place) => (found && other ? clamp(now(place) - before(place), -1, 1) : 0);
  const unit = spec.kind === "difference" ? difference : now;
  const words = tokens.flatMap((token, place) => [wordOf(token, special[place], unit(place)), " "]);
  return { words, empty: spec.kind === "map" && Boolean(found?.empty) };
}

function wordOf(token, isSpecial, unit) {
  const word = element("span", { class: isSpecial ? "word special" : "word", title: number(unit) }, token);
  // A transparent color works on light and dark backgrounds, and the text stays legible.
  const [red, blue] = ["214, 39, 40", "31, 97, 200"];
  if (Math.abs(unit) > 0.01) word.style.backgroundColor = `rgba(${unit > 0 ? red : blue}, ${(0.72 * Math.abs(unit) ** 0.8).toFixed(3)})`;
  return word;
}
