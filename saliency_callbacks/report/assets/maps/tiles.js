// One tile: the input, a map over it, or the difference of two maps; words instead of pixels for text inputs.

const tileOf = new WeakMap();

// `spec` returns { kind: "input" | "map" | "difference", run, frame, method, sample, small, before: { run, frame } }.
function makeTile(spec) {
  const { pictures } = currentMonitor();
  const { small } = spec();
  const surface = pictures ? element("canvas", { role: "img" }) : element("p", { class: "words" });
  if (pictures) {
    // The size is known before the picture is, so nothing moves when it comes.
    const size = backing(pictureSize(), small);
    [surface.width, surface.height] = [size.width, size.height];
  }
  const note = element("span", { class: "tile-note", "aria-hidden": "true" });
  const node = element("div", { class: `tile ${small ? "small" : ""} ${pictures ? "" : "of-words"}` }, surface, note);
  tileOf.set(node, { node, surface, note, spec, isSeen: source().isEager, shown: "", wants: [], hasPainted: false, job: 0 });
  if (!source().isEager) whenSeen.observe(node);
  return { node };
}

// A tile far out of sight is left as it is: its map is asked for when it is looked at.
const whenSeen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const tile = tileOf.get(target);
    tile.isSeen = isIntersecting;
    if (isIntersecting) refreshTile(tile);
    else if (target.classList.contains("waiting")) stopWaiting(tile);
    if (!target.isConnected) whenSeen.unobserve(target);
  }
}, { rootMargin: "300px", scrollMargin: "200px" });

function stopWaiting(tile) {
  tile.job++;
  tile.shown = "";
  tile.wants = [];
  tile.node.classList.remove("waiting");
}

function tilesIn(place) {
  return [...place.querySelectorAll(".tile")].map((node) => tileOf.get(node));
}

function refreshTiles(place) {
  tilesIn(place).forEach(refreshTile);
}

// The maps that tiles in sight wait for, the large ones first.
function wantedMaps() {
  const waiting = [...document.querySelectorAll("#viewer .tile.waiting:not(.small)"), ...document.querySelectorAll("#viewer .tile.small.waiting")];
  return new Set(waiting.flatMap((node) => tileOf.get(node).wants));
}

async function refreshTile(tile) {
  if (!tile.isSeen) return;
  const spec = tile.spec();
  // What is drawn on the input comes with the map.
  const ofInput = state.outlines && currentMonitor(spec.run).frames[spec.frame]?.outlines.length ? [spec] : [];
  const sides = { input: ofInput, map: [spec], difference: [spec, spec.before] }[spec.kind];
  let isNow = () => tile.node.isConnected;
  try {
    const plane = planeOf(spec.run);
    const wants = sides.map(({ run, frame }) => mapKey(run, frame, spec.method));
    if (plane.isLazy) wants.push(sliceKey(spec.run, plane));
    const look = [state.style, state.opacity, state.scale, state.mask, state.outlines, state.monitor, spec.kind === "difference" && isDark()];
    const key = JSON.stringify([spec, spec.kind === "input" ? [state.mask, state.outlines, state.monitor] : look, runs[spec.run].id, wants, plane.key]);
    if (tile.shown === key) return;
    const job = ++tile.job;
    isNow = () => job === tile.job && tile.node.isConnected;
    Object.assign(tile, { shown: key, wants });
    tile.node.classList.add("waiting");
    tile.surface.setAttribute("aria-label", tileLabel(spec));
    const wished = Promise.all(sides.map(({ run, frame }) => sheetOf(run, frame, spec.method)));
    // The sample itself is there sooner than the first map of it.
    if (!tile.hasPainted && !source().isEager) await Promise.race([wished, show(tile, { ...spec, kind: "input" }, [], isNow)]);
    const sheets = await wished;
    await show(tile, spec, sheets, isNow);
    if (isNow()) settleTile(tile, spec, key, spec.kind === "input" ? [] : sides.filter((_, place) => !sheets[place]));
  } catch (problem) {
    if (!isNow()) return;
    await show(tile, { ...spec, kind: "input" }, [], isNow).catch(() => {});
    if (isNow()) tellProblem(tile, spec, problem);
  }
}

// `lacking` are the sides that have no maps.
function settleTile(tile, spec, key, lacking) {
  const letters = [...new Set(lacking.map(({ run }) => runLetter(run)))].filter(Boolean);
  const words = letters.length ? `${letters.join(" and ")} ${letters.length > 1 ? "have" : "has"} no maps of this method` : "No maps of this method";
  tile.node.classList.remove("waiting", "failed");
  tile.note.textContent = "";
  tile.node.removeAttribute("title");
  const name = spec.kind !== "difference" && state.outlines ? targetName(spec.run, spec.frame, spec.sample) : "";
  if (name) tile.node.title = `Target: ${name}`;
  if (lacking.length) tellInTile(tile, spec, words, "–");
  tile.surface.dataset.painted = key;
}

function tellProblem(tile, spec, problem) {
  tile.node.classList.remove("waiting", "empty");
  delete tile.surface.dataset.painted;
  // Unless it is gone for good, it is tried again when something changes.
  if (!problem.isFinal) tile.shown = "";
  if (problem.isDropped) return refreshTile(tile);
  tile.node.classList.add("failed");
  tellInTile(tile, spec, problem.message, "!");
}

// A small tile has room for a sign only.
function tellInTile(tile, spec, words, sign) {
  tile.node.title = words;
  tile.note.textContent = spec.small ? sign : words;
  tile.surface.setAttribute("aria-label", `${tileLabel(spec)}: ${words}`);
}

async function show(tile, spec, sheets, isNow) {
  const isText = tile.surface.localName === "p";
  const painted = isText ? paintWords(spec, sheets) : await paintPixels(spec, sheets);
  if (!isNow()) return;
  tile.hasPainted = true;
  tile.node.classList.toggle("empty", painted.empty);
  if (isText) return tile.surface.replaceChildren(...painted.words);
  const { width, height } = painted.image;
  // A canvas that is given a size is laid out again, and with it a table of hundreds.
  if (tile.surface.width !== width || tile.surface.height !== height) Object.assign(tile.surface, { width, height });
  tile.surface.getContext("2d").putImageData(painted.image, 0, 0);
}

function tileLabel(spec) {
  const monitor = currentMonitor(spec.run);
  const slice = sliceName();
  const name = `sample ${sampleName(monitor, spec.sample)}${slice && `, ${slice}`}`;
  if (spec.kind === "input") return `Input of ${name}`;
  const target = targetName(spec.run, spec.frame, spec.sample);
  const title = monitor.frames[spec.frame].title;
  const run = runLetter(spec.run) ? `, run ${runLetter(spec.run)}` : "";
  return spec.kind === "map" ? `${spec.method} map of ${name} at ${title}${run}${target && `, target ${target}`}` : `Difference of two ${spec.method} maps of ${name}`;
}
