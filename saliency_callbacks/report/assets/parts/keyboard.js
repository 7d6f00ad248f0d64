// Everything by keyboard; `?` lists the keys.

const KEYS = [
  ["←  →", "previous, next epoch"],
  ["PgDn  PgUp", "ten epochs back, forward"],
  ["Home  End", "first, last epoch"],
  ["Space", "play, pause"],
  ["↑  ↓  or  k  j", "previous, next sample"],
  [",  .", "previous, next slice or frame (volumes)"],
  ["a", "cut across the next axis (volumes)"],
  ["m  M", "next, previous method"],
  ["g  s  c", "grid, sample, compare"],
  ["o", "overlay or heatmap"],
  ["n", "shared or per-map color scale"],
  ["x", "show or hide the mask"],
  ["b", "show or hide boxes and outlines"],
  ...(isLive ? [["f", "follow the newest observation"], ["r", "choose a run"]] : []),
  ["t", "light or dark theme"],
  ["?", "show this list"],
];

function actionOf(key) {
  const step = (by) => ({ frame: state.frame + by, playing: false });
  const methods = currentMonitor().methods.map((method) => method.name);
  const method = (by) => ({ method: methods[(methods.indexOf(state.method) + by + methods.length) % methods.length] });
  const actions = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    PageUp: () => step(10),
    PageDown: () => step(-10),
    Home: () => ({ frame: 0, playing: false }),
    End: () => ({ frame: newestFrame(), playing: false }),
    ArrowUp: () => ({ sample: state.sample - 1 }),
    ArrowDown: () => ({ sample: state.sample + 1 }),
    k: () => ({ sample: state.sample - 1 }),
    j: () => ({ sample: state.sample + 1 }),
    " ": startOrStop,
    ",": () => sliceBy(-1),
    ".": () => sliceBy(1),
    a: nextAxis,
    m: () => method(1),
    M: () => method(-1),
    g: () => ({ view: "grid" }),
    s: () => ({ view: "sample" }),
    c: () => ({ view: "compare" }),
    o: () => ({ style: state.style === "overlay" ? "heatmap" : "overlay" }),
    n: () => ({ scale: state.scale === "shared" ? "map" : "shared" }),
    x: () => ({ mask: !state.mask }),
    b: () => ({ outlines: !state.outlines }),
    ...(isLive && { f: followOrStay }),
  };
  return actions[key];
}

// Space presses a button, arrows move a slider: keys that an element handles itself are left to it.
function belongsToElement(event) {
  const target = event.target;
  if (target.closest("select, textarea, dialog")) return true;
  if (target.matches('input[type="range"]')) return ["opacity", "slice"].includes(target.id) && /^(Arrow|Page|Home|End)/.test(event.key);
  return event.key === " " && target.closest("button, summary, input, a") !== null;
}

function listenToKeys(help) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || belongsToElement(event)) return;
    if (event.key === "?") help.showModal();
    else if (event.key === "t") switchTheme();
    else if (event.key === "r" && isLive) chooser.open();
    else if (hasMaps() && actionOf(event.key)) change(actionOf(event.key)());
    else return;
    event.preventDefault();
    if (/^(Arrow(Up|Down)|j|k)$/.test(event.key)) followSample();
    if (/^[,.a]$/.test(event.key) && hasMaps() && axisOf()) say(sliceName());
  });
}

function followSample() {
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const card = document.querySelector(`#viewer [data-sample="${state.sample}"]`);
    if (card) card.scrollIntoView({ block: "nearest" });
    say(`Sample ${sampleName(currentMonitor(), state.sample)}, ${titleOf(state.sample)}`);
  }));
}

function buildHelp() {
  const help = document.getElementById("help");
  const close = element("button", { type: "button", class: "quiet", onclick: () => help.close() }, "Close");
  help.append(element("h2", { id: "help-title" }, "Keys"), element("dl", {}, KEYS.flatMap(([keys, text]) => [element("dt", {}, element("kbd", {}, keys)), element("dd", {}, text)])), close);
  document.getElementById("help-button").addEventListener("click", () => help.showModal());
  return help;
}

function switchTheme() {
  const root = document.documentElement;
  root.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
  change({});
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function nameTheme() {
  document.getElementById("theme").textContent = isDark() ? "Light" : "Dark";
}
