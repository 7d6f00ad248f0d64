// Scores over the steps: small multiples with one marker for the moment that is shown.

const SIZE = { width: 340, height: 150, right: 330, top: 8, bottom: 130, gap: 5, digit: 7.5 };

function niceTicks(low, high) {
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power;
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step) ticks.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  return ticks.map((value) => ({ value, text: `${+value.toPrecision(9)}`.replaceAll("-", "−") }));
}

// The same score of both runs in one chart; lines of the second are dashed.
function chartsOfRuns() {
  const sections = new Map();
  runs.forEach((run, place) => run.sections.forEach((section) => {
    const known = sections.get(section.name) ?? { name: section.name, moments: [], charts: new Map() };
    sections.set(section.name, known);
    if (section.moments.length > known.moments.length) known.moments = section.moments;
    for (const chart of section.charts) {
      const merged = known.charts.get(chart.key) ?? { ...chart, series: [], since: [] };
      known.charts.set(chart.key, merged);
      merged.series.push(...chart.series.map((series) => ({ ...series, run: place })));
      merged.since.push(...(chart.since ?? []).map((step) => ({ step, run: place })));
    }
  }));
  return [...sections.values()].filter((section) => section.charts.size > 0);
}

function drawChart(chart, moments) {
  const points = chart.series.flatMap((series) => series.points);
  const values = points.map((point) => point[1]).concat(chart.threshold ?? []);
  const steps = [...points.map((point) => point[0]), ...moments.map((moment) => moment[0])];
  let [low, high] = [Math.min(...values, chart.low ?? Infinity), Math.max(...values, chart.high ?? -Infinity)];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  if (chart.low === null) low -= 0.06 * (high - low);
  if (chart.high === null) high += 0.06 * (high - low);
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  const ticks = niceTicks(low, high);
  const left = SIZE.gap + SIZE.digit * Math.max(4, ...ticks.map(({ text }) => text.length));
  const x = (step) => left + ((step - first) / Math.max(1, last - first)) * (SIZE.right - left);
  const y = (value) => SIZE.bottom - ((value - low) / (high - low)) * (SIZE.bottom - SIZE.top);
  const across = (value, name) => svg("line", { class: name, x1: left, x2: SIZE.right, y1: y(value), y2: y(value) });
  const drawing = svg("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": `${chart.title} over the epochs` });
  for (const { value, text } of ticks) {
    drawing.append(across(value, value ? "gridline" : "gridline zero"), label(text, left - SIZE.gap, y(value) + 3.5, "end"));
  }
  drawMoments(drawing, moments, x);
  if ((chart.threshold ?? null) !== null) {
    drawing.append(across(chart.threshold, "threshold"),
      label(`threshold ${number(chart.threshold)}`, SIZE.right, y(chart.threshold) - 4, "end", "threshold-label"));
  }
  for (const { step } of chart.since) {
    const isLate = x(step) > SIZE.width * 0.7;
    drawing.append(svg("line", { class: "alarm-line", x1: x(step), x2: x(step), y1: SIZE.top, y2: SIZE.bottom }),
      label("alarm on", x(step) + (isLate ? -4 : 4), SIZE.top + 8, isLate ? "end" : "start", "alarm-label"));
  }
  chart.series.forEach((series) => drawing.append(lineOf(series, namesOf(chart).indexOf(series.name), x, y)));
  const marker = svg("line", { class: "marker", y1: SIZE.top - 4, y2: SIZE.bottom });
  drawing.append(marker);
  return { drawing, marker, x, first, last };
}

function label(text, x, y, anchor, name = "tick") {
  const node = svg("text", { class: name, x, y, "text-anchor": anchor });
  node.textContent = text;
  return node;
}

function drawMoments(drawing, moments, x) {
  const epochs = moments.filter(([, title]) => title.startsWith("epoch "));
  const every = Math.ceil(epochs.length / 8);
  epochs.forEach(([step, title], place) => {
    if (place % every === 0) drawing.append(label(title.replace("epoch ", ""), x(step), SIZE.height - 6, "middle"));
  });
}

function lineOf(series, place, x, y) {
  const group = svg("g", { class: series.run ? "line of-b" : "line" });
  group.style.color = lineColor(series.name, place);
  const path = series.points.map(([step, value], at) => `${at ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  group.append(svg("path", { d: path }));
  if (series.points.length < 16) group.append(...series.points.map(([step, value]) => svg("circle", { cx: x(step), cy: y(value), r: 2 })));
  return group;
}

function makeChart(chart, moments) {
  const { drawing, marker, x, first, last } = drawChart(chart, moments);
  const readout = element("ul", { class: "readout" });
  const when = element("span", { class: "muted when" });
  const title = element("figcaption", {}, element("b", {}, chart.title), when, element("span", { class: "hint muted" }, chart.hint));
  const steps = [...new Set([...moments.map((moment) => moment[0]), ...chart.series.flatMap((series) => series.points.map((point) => point[0]))])];
  const show = (step, isHovered) => {
    marker.setAttribute("x1", x(clamp(step, first, last)));
    marker.setAttribute("x2", x(clamp(step, first, last)));
    marker.classList.toggle("hovered", isHovered);
    const moment = moments.find((one) => one[0] === step);
    when.textContent = moment ? moment[1] : `step ${step}`;
    readout.replaceChildren(...namesOf(chart).map((name, place) => {
      const key = element("i", { class: "key" });
      key.style.color = lineColor(name, place);
      return element("li", {}, key, name, element("b", {}, everyRun().map((run) => valueAt(chart, name, run, step)).join(" | ")));
    }));
  };
  const refresh = () => show(hasMaps() ? nearestStep(steps, currentFrame().step) : last, false);
  const stepAt = (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * SIZE.width;
    return steps.reduce((best, step) => (Math.abs(x(step) - at) < Math.abs(x(best) - at) ? step : best), steps[0]);
  };
  drawing.addEventListener("pointermove", (event) => show(stepAt(event), true));
  drawing.addEventListener("pointerleave", refresh);
  drawing.addEventListener("click", (event) => jumpToStep(stepAt(event)));
  return { node: element("figure", { class: "chart", "data-chart": chart.key }, title, drawing, readout), refresh };
}

function namesOf(chart) {
  return [...new Set(chart.series.map((series) => series.name))];
}

function valueAt(chart, name, run, step) {
  const series = chart.series.find((one) => one.name === name && one.run === run);
  const point = series?.points.find((one) => one[0] === step);
  return number(point?.[1]);
}

function nearestStep(steps, step) {
  return steps[nearest(steps, step)];
}

const refreshChart = new WeakMap();

// The charts that lead come first; the rest are drawn when they are opened.
function fillCharts() {
  const plot = (chart, moments) => ({ id: chart.key, from: [chart, moments], make: () => {
    const { node, refresh } = makeChart(chart, moments);
    refreshChart.set(node, refresh);
    return node;
  } });
  const multiples = (id, plots) => ({ id, make: () => element("div", { class: "multiples" }), update: (node) => fill(node, plots) });
  const more = (id, plots) => {
    const update = (node) => {
      node.firstElementChild.textContent = `${plots.length} more`;
      node.ontoggle = () => {
        if (node.open) fill(node.lastElementChild, plots);
        refreshCharts();
      };
      if (node.open) fill(node.lastElementChild, plots);
    };
    return { id, make: () => element("details", {}, element("summary"), element("div", { class: "multiples" })), update };
  };
  const entries = chartsOfRuns().flatMap(({ name, moments, charts }) => {
    const plots = [...charts.values()];
    const [first, rest] = [plots.filter((chart) => chart.first), plots.filter((chart) => !chart.first)].map((some) => some.map((chart) => plot(chart, moments)));
    const title = { id: `${name}/title`, from: runs.length, make: () => element("h2", {}, "Scores of ", element("span", { class: "tag" }, name),
      element("span", { class: "muted which" }, runs.length > 1 ? " solid A, dashed B" : "")) };
    return [title, multiples(`${name}/first`, first.length ? first : rest), ...(first.length && rest.length ? [more(`${name}/rest`, rest)] : [])];
  });
  fill(document.getElementById("charts"), entries);
}

function refreshCharts() {
  for (const node of document.querySelectorAll("#charts .chart")) refreshChart.get(node)();
}
