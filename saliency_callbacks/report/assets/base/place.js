// Where a person is, in words that stay true when observations come and go: they are the address of the page, and how one
// stays in one's place while the data changes.

const LOOKS = ["method", "sample", "axis", "slice", "view", "style", "scale"];

function placeNow() {
  const words = Object.fromEntries(LOOKS.map((key) => [key, String(state[key])]));
  if (!hasMaps()) return words;
  words.monitor = currentMonitor().name;
  if (!axisOf()) ["axis", "slice"].forEach((key) => delete words[key]);
  if (!state.following) Object.assign(words, wordsOfFrame(currentFrame(), "step", "stage"));
  const { run, frame } = state.against;
  if (frame >= 0) Object.assign(words, wordsOfFrame(currentMonitor(run).frames[frame], "against", "againstStage"));
  return words;
}

function wordsOfFrame(frame, step, stage) {
  return { [step]: String(frame.step), [stage]: frame.stage };
}

function goTo(words) {
  for (const key of LOOKS) if (key in words) state[key] = typeof state[key] === "number" ? Number(words[key]) : words[key];
  if (!hasMaps()) return;
  const named = monitorsOf(0).findIndex((monitor) => monitor.name === words.monitor);
  state.monitor = named >= 0 ? named : 0;
  const find = (run, step, stage) => placeOf(currentMonitor(run).frames, { step: Number(words[step]), stage: words[stage] });
  if (isLive) state.following = !("step" in words);
  state.frame = "step" in words ? find(0, "step", "stage") : newestFrame();
  const { run } = state.against;
  if ("against" in words && currentMonitor(run)) state.against = { run, frame: find(run, "against", "againstStage") };
}

function wordsOfAddress() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

// In a frame, such as a tab of TensorBoard, the address is not seen and does not outlive a reload.
const isFramed = window !== window.top;
const KEPT_PLACE = "saliency-place";

function remember() {
  const { against, againstStage, ...place } = placeNow();
  const compared = state.view === "compare" && against ? { against, againstStage } : {};
  const words = new URLSearchParams({ ...source().address?.(), ...place, ...compared });
  try {
    // In full: a page may have a base elsewhere.
    history.replaceState(null, "", `${location.pathname}${location.search}#${words}`);
    if (isFramed) sessionStorage.setItem(KEPT_PLACE, String(words));
  } catch {
    // Some browsers refuse it for files; the page works without.
  }
}

function rememberedWords() {
  if (location.hash.length > 1 || !isFramed) return wordsOfAddress();
  try {
    return Object.fromEntries(new URLSearchParams(sessionStorage.getItem(KEPT_PLACE) ?? ""));
  } catch {
    return {};
  }
}

let isOpen = false;

// Show new data; a person stays where they are, unless they follow the newest observation.
function adopt(payload, words = isOpen ? placeNow() : rememberedWords()) {
  const newest = isOpen && hasMaps() ? currentMonitor().frames.at(-1) : null;
  const count = runs.length;
  const wasOpen = isOpen;
  install(payload);
  if (count !== runs.length) {
    state.run = runs.length - 1;
    state.against = { run: 0, frame: runs.length > 1 ? -1 : 0 };
    if (wasOpen) delete words.against;
  }
  if (!isOpen) state.opacity = report.alpha;
  isOpen = true;
  goTo(words);
  settle();
  if (newest && hasMaps() && !state.following) state.unseen += Math.max(0, newestFrame() - placeOf(currentMonitor().frames, newest));
  refreshData();
  change({});
}
