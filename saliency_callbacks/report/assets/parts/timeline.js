// When: one slider over all observations, and whether the newest is followed.

const PLAY_MILLISECONDS = 650;
const LABEL_PIXELS = 44;
const TICK_PIXELS = 4;
const ROUND_STEPS = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000, 5000, 10000];

function timeline() {
  const slider = element("input", { type: "range", id: "epoch", min: 0, step: 1, "aria-label": "Epoch", oninput: () => change({ frame: Number(slider.value), playing: false }) });
  const play = element("button", { type: "button", id: "play", class: "play", onclick: () => change(startOrStop()) });
  const ticks = element("div", { class: "ticks", "aria-hidden": "true" });
  const title = element("output", { id: "moment", for: "epoch" });
  const newest = isLive ? newestButtons() : null;
  const track = element("div", { class: "track" }, slider, ticks);
  new ResizeObserver(() => drawTicks(ticks)).observe(track);
  let built = "";
  const refresh = () => {
    const { name, frames } = currentMonitor();
    const key = JSON.stringify([runs[0].id, name, frames.map((one) => [one.step, one.title]), alarmSteps()]);
    slider.max = frames.length - 1;
    if (built !== key) drawTicks(ticks);
    built = key;
    const frame = currentFrame();
    slider.value = String(state.frame);
    slider.setAttribute("aria-valuetext", frame.title);
    title.replaceChildren(element("b", {}, capital(frame.title)), element("span", { class: "muted" }, ` step ${frame.step}`));
    play.textContent = state.playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", state.playing ? "Pause" : "Play the epochs");
    newest?.refresh();
  };
  return { node: element("div", { class: "timeline" }, play, track, element("div", { class: "when-shown" }, title, newest?.node)), refresh };
}

function alarmSteps() {
  return runs[0].sections.flatMap((section) => section.charts.flatMap((chart) => chart.since ?? []));
}

// As many labels as are legible, at round epochs; alarms always.
function drawTicks(ticks) {
  if (!hasMaps()) return;
  const { frames } = currentMonitor();
  const steps = frames.map((frame) => frame.step);
  const alarms = new Set(alarmSteps().map((step) => nearest(steps, step)));
  const gap = ticks.clientWidth / Math.max(1, frames.length - 1);
  const labels = labeledPlaces(frames, gap);
  const shown = frames.map((_, place) => place).filter((place) => gap >= TICK_PIXELS || labels.has(place) || alarms.has(place));
  ticks.replaceChildren(...shown.map((place) => {
    const isAlarm = alarms.has(place);
    const tick = element("span", { class: isAlarm ? "alarm" : "", title: isAlarm ? "The alarm fired" : "" }, labels.has(place) ? shortTitle(frames[place]) : "");
    tick.style.left = `${frames.length > 1 ? (100 * place) / (frames.length - 1) : 0}%`;
    return tick;
  }));
}

function labeledPlaces(frames, gap) {
  const last = frames.length - 1;
  const isFar = (one, other) => Math.abs(one - other) * gap >= LABEL_PIXELS;
  const firstOfEpoch = frames.map((_, place) => place).filter((place) => place === 0 || frames[place].epoch !== frames[place - 1].epoch || frames[place - 1].title === "the start");
  for (const step of ROUND_STEPS) {
    const places = firstOfEpoch.filter((place) => place > 0 && place < last && frames[place].epoch % step === 0);
    if (places.every((place, at) => at === 0 || isFar(place, places[at - 1]))) return new Set([0, ...places.filter((place) => isFar(place, 0) && isFar(place, last)), last]);
  }
  return new Set([0, last]);
}

// Live only: stay with the newest observation, or be told of new ones.
function newestButtons() {
  const follow = element("button", { type: "button", id: "follow", class: "pill", "aria-label": "Follow the newest observation", title: "Show each new observation as it arrives (f)", onclick: () => change(followOrStay()) }, "Follow");
  const unseen = element("button", { type: "button", id: "unseen", class: "pill new", title: "Go to the newest observation", onclick: () => change({ frame: newestFrame(), playing: false }) });
  const refresh = () => {
    follow.setAttribute("aria-pressed", state.following);
    follow.textContent = state.following ? "Following" : "Follow";
    unseen.hidden = state.unseen === 0;
    unseen.textContent = counted(state.unseen, "new observation");
  };
  return { node: element("div", { class: "newest" }, unseen, follow), refresh };
}

function followOrStay() {
  return state.following ? { following: false } : { following: true, frame: newestFrame(), playing: false };
}

function startOrStop() {
  return state.playing ? { playing: false } : { playing: true, frame: isAtNewest() ? 0 : state.frame };
}

function playOn() {
  let timer = null;
  onChange(() => {
    if (state.playing && timer === null) timer = setInterval(() => {
      const next = state.frame + 1;
      change({ frame: Math.min(next, newestFrame()), playing: next < newestFrame() });
    }, PLAY_MILLISECONDS);
    else if (!state.playing && timer !== null) {
      clearInterval(timer);
      timer = null;
    }
  });
}
