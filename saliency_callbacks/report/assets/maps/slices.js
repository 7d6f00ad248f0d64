// Of volumes and videos one slice is looked at, the same of every sample: by default the middle one, which does not move when
// another epoch or method is chosen.

const MIDDLE = -1;

// The slices across an axis that are there: in a file there may be fewer than there are, and an earlier version kept one.
function slicesOf(axis) {
  return axis.kept ?? Array.from({ length: axis.count }, (_, index) => index);
}

// The axes of a run across which its volumes can be cut; none where they are pictures.
function axesOfRun(run) {
  return currentMonitor(run).volume?.axes ?? [];
}

// The axes that all shown runs have, each with the `slices` that all of them have.
function axesOf() {
  const [own, ...others] = everyRun().map(axesOfRun);
  return own.flatMap((axis) => {
    const same = others.map((axes) => axes.find((other) => other.axis === axis.axis));
    if (same.includes(undefined)) return [];
    const kept = same.map((other) => new Set(slicesOf(other)));
    return [{ ...axis, slices: slicesOf(axis).filter((slice) => kept.every((slices) => slices.has(slice))) }];
  });
}

// The one that is chosen; null where there are none.
function axisOf() {
  const axes = axesOf();
  return axes.find(({ axis }) => axis === state.axis) ?? axes[0] ?? null;
}

function ownAxis(run) {
  return axesOfRun(run).find(({ axis }) => axis === state.axis);
}

// The size of a picture of a run's samples.
function pictureSize(run = 0) {
  return ownAxis(run) ?? currentMonitor(run).pictures;
}

function settleSlice() {
  const axis = axisOf();
  if (!axis) return;
  const wanted = Number.isInteger(state.slice) && state.slice >= 0 ? state.slice : Math.floor(axis.count / 2);
  Object.assign(state, { axis: axis.axis, slice: axis.slices[nearest(axis.slices, wanted)] });
}

// The slice before or after, among those that are there.
function sliceBy(step) {
  const slices = axisOf()?.slices;
  return slices ? { slice: slices[clamp(slices.indexOf(state.slice) + step, 0, slices.length - 1)] } : {};
}

function nextAxis() {
  const axes = axesOf();
  const place = axes.findIndex(({ axis }) => axis === state.axis);
  return axes.length ? { axis: axes[(place + 1) % axes.length].axis, slice: MIDDLE } : {};
}

// What is looked at of a run's samples: which slice, and the place of it among those that come together.
function planeOf(run) {
  const { volume } = currentMonitor(run);
  if (!volume) return { key: "", at: 0, isLazy: false };
  const { axis, slice } = state;
  const at = volume.lazy ? 0 : slicesOf(ownAxis(run)).indexOf(slice);
  return { key: `${axis}/${slice}`, axis, slice, at, isLazy: volume.lazy };
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
  const axes = axesOf();
  const slider = element("input", { type: "range", id: "slice", min: 0, step: 1, oninput: () => change({ slice: axisOf().slices[Number(slider.value)] }) });
  const name = element("output", { id: "slice-name", for: "slice" });
  const plane = element("span", { class: "muted", id: "slice-plane" });
  const across = axes.length > 1 ? element("select", { id: "slice-axis", title: "Cut across this axis (a)", "aria-label": "Cut across", onchange: () => change({ axis: Number(across.value), slice: MIDDLE }) },
    axes.map(({ axis, name }) => element("option", { value: axis }, capital(name)))) : null;
  const refresh = () => {
    const axis = axisOf();
    const { slices } = axis;
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
