// What is shown. Views read `state` and are notified once per animation frame after it changes.

const monitorsOf = (run) => runs[run].monitors;
const hasMaps = monitorsOf(0).length > 0;

const state = {
  monitor: 0,
  frame: hasMaps ? monitorsOf(0)[0].frames.length - 1 : 0,
  method: hasMaps ? monitorsOf(0)[0].methods[0].name : "",
  sample: 0,
  view: "grid",
  style: "overlay",
  opacity: report.alpha,
  scale: "shared",
  mask: false,
  // What the view "compare" shows: the moment of `run` that the slider names, against another; frame -1 is the same.
  run: runs.length - 1,
  against: { run: 0, frame: runs.length > 1 ? -1 : 0 },
  playing: false,
};
const REMEMBERED = ["monitor", "frame", "method", "sample", "view", "style", "scale"];
const listeners = [];
let scheduled = false;

function onChange(listener) {
  listeners.push(listener);
}

function change(changes) {
  Object.assign(state, changes);
  settle();
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    remember();
    for (const listener of listeners) listener();
  });
}

// Whatever a link or a key asks for, end up with something that exists.
function settle() {
  if (!hasMaps) return;
  state.monitor = clamp(Math.trunc(state.monitor) || 0, 0, monitorsOf(0).length - 1);
  const monitor = currentMonitor();
  state.frame = clamp(Math.trunc(state.frame) || 0, 0, monitor.frames.length - 1);
  state.sample = clamp(Math.trunc(state.sample) || 0, 0, monitor.ids.length - 1);
  if (!monitor.methods.some((method) => method.name === state.method)) state.method = monitor.methods[0].name;
  if (!["grid", "sample", "compare"].includes(state.view)) state.view = "grid";
  if (!["overlay", "heatmap"].includes(state.style)) state.style = "overlay";
  if (!["shared", "map"].includes(state.scale)) state.scale = "shared";
  state.against.frame = clamp(state.against.frame, -1, monitorsOf(state.against.run)[state.monitor].frames.length - 1);
}

function currentMonitor(run = 0) {
  return monitorsOf(run)[state.monitor];
}

function currentFrame(run = 0) {
  return currentMonitor(run).frames[frameOf(run)];
}

// The frame of a run that belongs to the chosen one: of the same epoch and stage, else the nearest step.
function frameOf(run, chosen = state.frame) {
  if (run === 0) return chosen;
  const wanted = currentMonitor(0).frames[chosen];
  const frames = currentMonitor(run).frames;
  const same = frames.findIndex((frame) => frame.epoch === wanted.epoch && frame.stage === wanted.stage);
  return same >= 0 ? same : nearest(frames.map((frame) => frame.step), wanted.step);
}

function nearest(steps, step) {
  let best = 0;
  steps.forEach((other, place) => {
    if (Math.abs(other - step) <= Math.abs(steps[best] - step)) best = place;
  });
  return best;
}

function jumpToStep(step) {
  if (hasMaps) change({ frame: nearest(currentMonitor().frames.map((frame) => frame.step), step), playing: false });
}

function remember() {
  const words = new URLSearchParams(REMEMBERED.map((key) => [key, String(state[key])]));
  try {
    history.replaceState(null, "", `#${words}`);
  } catch {
    // Some browsers refuse it for files; the report works without.
  }
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  for (const key of REMEMBERED) {
    if (!words.has(key)) continue;
    state[key] = typeof state[key] === "number" ? Number(words.get(key)) : words.get(key);
  }
  settle();
}
