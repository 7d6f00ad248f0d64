// What is shown. Views read `state`; those who listen are called once per animation frame after it changes.

const state = {
  monitor: 0,
  frame: 0,
  method: "",
  sample: 0,
  // Of volumes: the axis that they are cut across, and which slice; -1 is the middle one.
  axis: 0,
  slice: -1,
  view: "grid",
  style: "overlay",
  opacity: 0.5,
  scale: "shared",
  mask: false,
  // Boxes and masks of what is explained, and of what was found in a map.
  outlines: true,
  // What the view "compare" shows: the moment of `run` that the slider names, against another; frame -1 is the same.
  run: 0,
  against: { run: 0, frame: 0 },
  playing: false,
  // Whether the newest observation is shown as soon as it is there, and how many have arrived that were not.
  following: isLive,
  unseen: 0,
};
const listeners = [];
let scheduled = false;

function onChange(listener) {
  listeners.push(listener);
}

function change(changes) {
  if ("monitor" in changes && !("frame" in changes)) changes.frame = sameMoment(changes.monitor);
  Object.assign(state, changes);
  settle();
  if ("frame" in changes && !("following" in changes)) state.following = isLive && isAtNewest();
  if (isAtNewest()) state.unseen = 0;
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
  if (!hasMaps()) return;
  state.monitor = clamp(Math.trunc(state.monitor) || 0, 0, monitorsOf(0).length - 1);
  const monitor = currentMonitor();
  state.frame = clamp(Math.trunc(state.frame) || 0, 0, newestFrame());
  state.sample = clamp(Math.trunc(state.sample) || 0, 0, monitor.ids.length - 1);
  settleSlice();
  if (!monitor.methods.some((method) => method.name === state.method)) state.method = monitor.methods[0].name;
  if (!["grid", "sample", "compare"].includes(state.view)) state.view = "grid";
  if (!["overlay", "heatmap"].includes(state.style)) state.style = "overlay";
  if (!["shared", "map"].includes(state.scale)) state.scale = "shared";
  state.run = clamp(state.run, 0, runs.length - 1);
  const run = clamp(state.against.run, 0, runs.length - 1);
  state.against = { run, frame: clamp(state.against.frame, runs.length > 1 ? -1 : 0, currentMonitor(run).frames.length - 1) };
}

function monitorsOf(run) {
  return runs[run]?.monitors ?? [];
}

function hasMaps() {
  return monitorsOf(0).length > 0;
}

function currentMonitor(run = 0) {
  return monitorsOf(run)[state.monitor];
}

function currentFrame(run = 0) {
  return currentMonitor(run).frames[frameOf(run)];
}

function newestFrame() {
  return currentMonitor().frames.length - 1;
}

function isAtNewest() {
  return hasMaps() && state.frame === newestFrame();
}

// The frame of a run that belongs to the chosen one: of the same epoch and stage, else the nearest step.
function frameOf(run, chosen = state.frame) {
  return run === 0 ? chosen : placeOf(currentMonitor(run).frames, currentMonitor(0).frames[chosen], "epoch");
}

// The place of an observation among others: the same by `key` and stage, else the nearest step.
function placeOf(frames, wanted, key = "step") {
  const same = frames.findIndex((frame) => frame[key] === wanted[key] && frame.stage === wanted.stage);
  return same >= 0 ? same : nearest(frames.map((frame) => frame.step), wanted.step);
}

function sameMoment(monitor) {
  const frames = monitorsOf(0)[monitor]?.frames;
  if (!frames) return state.frame;
  return state.following ? frames.length - 1 : placeOf(frames, currentFrame());
}

function nearest(steps, step) {
  let best = 0;
  steps.forEach((other, place) => {
    if (Math.abs(other - step) <= Math.abs(steps[best] - step)) best = place;
  });
  return best;
}

function jumpToStep(step) {
  if (hasMaps()) change({ frame: nearest(currentMonitor().frames.map((frame) => frame.step), step), playing: false });
}
