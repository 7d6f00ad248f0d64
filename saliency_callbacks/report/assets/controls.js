// The bar above the maps: when, what and how.

const PLAY_MILLISECONDS = 650;

// A group of buttons, one of which is pressed; `options` are [value, text, hint].
function segmented(name, key, options) {
  const buttons = options.map(([value, text, hint]) => element("button", { type: "button", "data-value": value, title: hint, onclick: () => change({ [key]: value }) }, text));
  const node = element("div", { class: "segmented", role: "group", "aria-label": name, id: `choose-${key}` }, buttons);
  const refresh = () => buttons.forEach((button) => button.setAttribute("aria-pressed", button.dataset.value === String(state[key])));
  return { node, refresh };
}

function timeline() {
  const slider = element("input", { type: "range", id: "epoch", min: 0, step: 1, "aria-label": "Epoch", oninput: () => change({ frame: Number(slider.value), playing: false }) });
  const play = element("button", { type: "button", id: "play", class: "play", onclick: () => change(startOrStop()) });
  const ticks = element("div", { class: "ticks", "aria-hidden": "true" });
  const title = element("output", { id: "moment", for: "epoch" });
  let built = -1;
  const build = () => {
    const frames = currentMonitor().frames;
    const every = Math.ceil(frames.length / 16);
    const alarms = new Set(runs[0].sections.flatMap((section) => section.charts.flatMap((chart) => chart.since ?? [])).map((step) => nearest(frames.map((frame) => frame.step), step)));
    slider.max = frames.length - 1;
    ticks.replaceChildren(...frames.map((frame, place) => {
      const tick = element("span", { class: alarms.has(place) ? "alarm" : "", title: alarms.has(place) ? "The alarm went on" : "" }, place % every === 0 || place === frames.length - 1 && place % every > every / 2 ? shortTitle(frame) : "");
      tick.style.left = `${frames.length > 1 ? (100 * place) / (frames.length - 1) : 0}%`;
      return tick;
    }));
    built = state.monitor;
  };
  const refresh = () => {
    if (built !== state.monitor) build();
    const frame = currentFrame();
    slider.value = String(state.frame);
    slider.setAttribute("aria-valuetext", frame.title);
    title.replaceChildren(element("b", {}, capital(frame.title)), element("span", { class: "muted" }, ` step ${frame.step}`));
    play.textContent = state.playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", state.playing ? "Pause" : "Play the epochs");
  };
  return { node: element("div", { class: "timeline" }, play, element("div", { class: "track" }, slider, ticks), title), refresh };
}

function startOrStop() {
  const isAtEnd = state.frame === currentMonitor().frames.length - 1;
  return state.playing ? { playing: false } : { playing: true, frame: isAtEnd ? 0 : state.frame };
}

function playOn() {
  let timer = null;
  onChange(() => {
    if (state.playing && timer === null) timer = setInterval(() => {
      const next = state.frame + 1;
      const end = currentMonitor().frames.length - 1;
      change({ frame: Math.min(next, end), playing: next < end });
    }, PLAY_MILLISECONDS);
    else if (!state.playing && timer !== null) {
      clearInterval(timer);
      timer = null;
    }
  });
}

function colorLegend() {
  const bar = element("canvas", { class: "color-bar", width: 96, height: 1, "aria-hidden": "true" });
  const isText = !currentMonitor().pictures;
  const [low, high] = [element("span"), element("span")];
  const node = element("span", { class: "legend" }, low, bar, high);
  const refresh = () => {
    const isSigned = isText && currentMonitor().methods.find((method) => method.name === state.method).signed;
    [low.textContent, high.textContent] = isSigned ? ["against", "for"] : ["low", "high"];
    const context = bar.getContext("2d");
    const image = context.createImageData(96, 1);
    for (let place = 0; place < 96; place++) {
      const level = Math.round((place / 95) * 255);
      const color = isText ? divergingColor(isSigned ? (place / 95) * 2 - 1 : place / 95) : COLORS[state.style].subarray(3 * level, 3 * level + 3);
      image.data.set([...color, 255], 4 * place);
    }
    context.putImageData(image, 0, 0);
    const largest = state.scale === "shared" ? "the largest 99th percentile that maps of the sample reach in the run" : "the 99th percentile of each map";
    node.title = `The full color is ${largest}`;
  };
  return { node, refresh };
}

function buildControls() {
  const monitor = currentMonitor();
  const several = (name, key, options) => (options.length > 1 ? segmented(name, key, options) : null);
  const names = runs[0].monitors.map((one, place) => [place, one.name]);
  const monitors = names.length > 1 ? segmented("Monitor", "monitor", names) : null;
  if (monitors) monitors.node.addEventListener("click", (event) => event.target.dataset.value && change({ monitor: Number(event.target.dataset.value) }));
  const opacity = element("input", { type: "range", id: "opacity", min: 0, max: 1, step: 0.05, "aria-label": "Opacity of the overlay", oninput: () => change({ opacity: Number(opacity.value) }) });
  const mask = element("input", { type: "checkbox", id: "mask", onchange: () => change({ mask: mask.checked }) });
  const parts = [
    timeline(),
    segmented("View", "view", [["grid", "Grid", "All samples at one epoch (g)"], ["sample", "Sample", "One sample, all methods (s)"], ["compare", "Compare", "Two moments and their difference (c)"]]),
    several("Method", "method", monitor.methods.map((method) => [method.name, method.name, method.setting || method.layer || ""])),
    monitor.pictures ? segmented("Style", "style", [["overlay", "Overlay", "The map over the picture (o)"], ["heatmap", "Heatmap", "The map alone (o)"]]) : null,
    segmented("Color scale", "scale", [["shared", "Shared scale", "One scale for all epochs of a sample: shows whether attention grows or fades (n)"], ["map", "Per map", "Each map on its own scale (n)"]]),
  ];
  const legend = colorLegend();
  const [time, ...choices] = parts;
  const fine = element("div", { class: "fine" },
    monitor.pictures ? element("label", {}, "Opacity", opacity) : null,
    monitor.masks ? element("label", { class: "check" }, mask, "Mask") : null, legend.node);
  const bar = element("div", { class: "choices" }, monitors?.node, choices.map((part) => part?.node), fine);
  document.getElementById("controls").replaceChildren(time.node, bar);
  const made = [monitors, ...parts, legend].filter(Boolean);
  return () => {
    made.forEach((part) => part.refresh());
    opacity.value = String(state.opacity);
    opacity.disabled = state.style !== "overlay";
    mask.checked = state.mask;
  };
}
