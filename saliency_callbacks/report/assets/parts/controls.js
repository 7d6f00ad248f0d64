// The bar above the maps: when, what and how.

// A group of buttons, one of which is pressed; `options` are [value, text, hint].
function segmented(name, key, options) {
  const buttons = options.map(([value, text, hint]) => element("button", { type: "button", "data-value": value, title: hint, onclick: () => change({ [key]: value }) }, text));
  const node = element("div", { class: "segmented", role: "group", "aria-label": name, id: `choose-${key}` }, buttons);
  const refresh = () => buttons.forEach((button) => button.setAttribute("aria-pressed", button.dataset.value === String(state[key])));
  return { node, refresh };
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
      const color = isText ? divergingColor(isSigned ? (place / 95) * 2 - 1 : place / 95) : colors[state.style].subarray(3 * level, 3 * level + 3);
      image.data.set([...color, 255], 4 * place);
    }
    context.putImageData(image, 0, 0);
    const largest = state.scale === "shared" ? "the largest 99th percentile among the sample's maps in the run" : "the 99th percentile of each map";
    node.title = `The strongest color stands for ${largest}`;
  };
  return { node, refresh };
}

let refreshControls = () => {};

// Built again only if there is something else to choose from.
function fillControls() {
  const { name, methods, pictures, masks } = currentMonitor();
  const offered = [runs.map((run) => run.id), monitorsOf(0).map((monitor) => monitor.name), name, methods, pictures === null, masks === null, outlineKinds(), axesOf()];
  fill(document.getElementById("controls"), [{ id: "controls", from: offered, make: buildControls }]);
}

function buildControls() {
  const monitor = currentMonitor();
  const several = (name, key, options) => (options.length > 1 ? segmented(name, key, options) : null);
  const opacity = element("input", { type: "range", id: "opacity", min: 0, max: 1, step: 0.05, "aria-label": "Opacity of the overlay", oninput: () => change({ opacity: Number(opacity.value) }) });
  const mask = element("input", { type: "checkbox", id: "mask", onchange: () => change({ mask: mask.checked }) });
  const outlines = element("input", { type: "checkbox", id: "outlines", onchange: () => change({ outlines: outlines.checked }) });
  const time = timeline();
  const slices = axisOf() ? slicePicker() : null;
  const choices = [
    several("Monitor", "monitor", runs[0].monitors.map((one, place) => [place, one.name])),
    segmented("View", "view", [["grid", "Grid", "All samples at one epoch (g)"], ["sample", "Sample", "One sample, all methods (s)"], ["compare", "Compare", "Two moments and their difference (c)"]]),
    several("Method", "method", monitor.methods.map((method) => [method.name, method.name, method.setting || method.layer || ""])),
    monitor.pictures ? segmented("Style", "style", [["overlay", "Overlay", "The map drawn over the image (o)"], ["heatmap", "Heatmap", "The map alone (o)"]]) : null,
    segmented("Color scale", "scale", [["shared", "Shared scale", "One scale for all epochs of a sample, so that maps can be compared across epochs (n)"], ["map", "Per map", "Each map on its own scale (n)"]]),
  ].filter(Boolean);
  const legend = colorLegend();
  const fine = element("div", { class: "fine" },
    monitor.pictures ? element("label", {}, "Opacity", opacity) : null,
    monitor.masks ? element("label", { class: "check" }, mask, "Mask") : null,
    monitor.pictures && outlineKinds().length ? element("label", { class: "check", title: "Show or hide boxes and outlines (b)" }, outlines, "Outlines", outlineLegend()) : null, legend.node);
  refreshControls = () => {
    [time, slices, ...choices, legend].forEach((part) => part?.refresh());
    opacity.value = String(state.opacity);
    opacity.disabled = state.style !== "overlay";
    mask.checked = state.mask;
    outlines.checked = state.outlines;
  };
  return element("div", {}, time.node, slices?.node, element("div", { class: "choices" }, choices.map((part) => part.node), fine));
}
