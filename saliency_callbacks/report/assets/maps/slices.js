// Of volumes and videos one slice is looked at, the same of every sample: by default the middle one, which does not move when
// another epoch or method is chosen.

const MIDDLE = -1;

// The axis across which the volumes of a run are cut; null where they are pictures.
function axisOf(run = 0) {
  const volume = currentMonitor(run)?.volume;
  return volume ? volume.axes[Math.min(state.axis, volume.axes.length - 1)] : null;
}

// The size of a picture of a run's samples.
function pictureSize(run = 0) {
  return axisOf(run) ?? currentMonitor(run).pictures;
}

// Where the slices of an axis stand that are there: in a file there may be fewer than there are.
function slicesOf(axis) {
  return axis.kept ?? Array.from({ length: axis.count }, (_, index) => index);
}

function settleSlice() {
  const volume = currentMonitor().volume;
  if (!volume) return;
  state.axis = clamp(Math.trunc(state.axis) || 0, 0, volume.axes.length - 1);
  const axis = axisOf();
  const wanted = Number.isInteger(state.slice) && state.slice >= 0 ? state.slice : Math.floor(axis.count / 2);
  const slices = slicesOf(axis);
  state.slice = slices[nearest(slices, wanted)];
}

// The slice before or after, among those that are there.
function sliceBy(step) {
  const axis = axisOf();
  if (!axis) return {};
  const slices = slicesOf(axis);
  return { slice: slices[clamp(slices.indexOf(state.slice) + step, 0, slices.length - 1)] };
}

function nextAxis() {
  const volume = currentMonitor().volume;
  return volume ? { axis: (state.axis + 1) % volume.axes.length, slice: MIDDLE } : {};
}

// What is looked at of a run's samples: which slice, and the place of it among those that come together.
function planeOf(run) {
  const axis = axisOf(run);
  if (!axis) return { key: "", at: 0, isLazy: false };
  const slices = slicesOf(axis);
  const place = nearest(slices, state.slice);
  const { lazy } = currentMonitor(run).volume;
  return { key: `${state.axis}/${slices[place]}`, axis: state.axis, slice: slices[place], at: lazy ? 0 : place, isLazy: lazy };
}

function sliceKey(run, plane) {
  return `slice/${runs[run].id ?? run}/${currentMonitor(run).name}/${plane.key}`;
}

// Pictures and masks of the samples, of volumes those of the slice.
function samplesOf(run, plane) {
  const monitor = currentMonitor(run);
  if (!plane.isLazy) return Promise.resolve(monitor);
  const key = sliceKey(run, plane);
  return remembered(key, () => source().slice({ key, run: runs[run], monitor, plane }), (found) => found.pictures.data.join("").length);
}

function sliceName(axis = axisOf()) {
  return axis ? `${axis.noun} ${state.slice + 1} of ${axis.count}` : "";
}

function slicePicker() {
  const { axes } = currentMonitor().volume;
  const slider = element("input", { type: "range", id: "slice", min: 0, step: 1, oninput: () => change({ slice: slicesOf(axisOf())[Number(slider.value)] }) });
  const name = element("output", { id: "slice-name", for: "slice" });
  const plane = element("span", { class: "muted", id: "slice-plane" });
  const across = axes.length > 1 ? element("select", { id: "slice-axis", title: "Cut across this axis (a)", "aria-label": "Cut across", onchange: () => change({ axis: Number(across.value), slice: MIDDLE }) },
    axes.map((axis, place) => element("option", { value: place }, capital(axis.name)))) : null;
  const refresh = () => {
    const axis = axisOf();
    const slices = slicesOf(axis);
    slider.max = slices.length - 1;
    slider.value = String(slices.indexOf(state.slice));
    slider.disabled = slices.length < 2;
    slider.setAttribute("aria-label", capital(axis.noun));
    slider.setAttribute("aria-valuetext", sliceName(axis));
    slider.title = `${capital(axis.noun)} before or after: , and .`;
    name.textContent = capital(sliceName(axis));
    plane.textContent = `${axes.length > 1 ? "" : `${axis.name}; `}plane: ${axis.plane}`;
    if (across) across.value = String(state.axis);
  };
  return { node: element("div", { class: "slices" }, name, slider, across, plane), refresh };
}
