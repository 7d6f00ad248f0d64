// The report's data, and how elements are made from it: text is always set as text, never as markup.

const report = JSON.parse(document.getElementById("payload").textContent);
const runs = report.runs;
const RUN_NAMES = runs.length > 1 ? ["A", "B"] : [""];

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

function percent(share) {
  return share === null || share === undefined ? "" : `${Math.round(100 * share)} %`;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.005 || size >= 10000)) return value.toExponential(1).replace("-", "−");
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace("-", "−");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function className(monitor, index) {
  const names = monitor.classNames;
  return names && names[index] !== undefined ? names[index] : String(index);
}

function sampleName(monitor, sample) {
  return `#${monitor.ids[sample] ?? sample}`;
}

// A color for each method, the same in every chart; any other line takes the next color of the same palette.
const METHOD_NAMES = [
  ...new Set(runs.flatMap((run) => [
    ...run.monitors.flatMap((monitor) => monitor.methods.map((method) => method.name)),
    ...run.sections.flatMap((section) => section.charts.filter((chart) => chart.key === "similarity" || chart.key === "entropy")
      .flatMap((chart) => chart.series.map((series) => series.name))),
  ])),
];
const PALETTE_SIZE = 8;

function lineColor(name, place) {
  const known = METHOD_NAMES.indexOf(name);
  return `var(--line-${(known >= 0 ? known : place) % PALETTE_SIZE})`;
}
