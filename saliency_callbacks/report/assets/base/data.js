// The data that is shown: one run or two. A source brings it, at once or again whenever a training has gone on.

let report = { title: "", alpha: 0.5, runs: [] };
let runs = report.runs;
let colors = {};
let methodNames = [];

function install(payload) {
  report = payload;
  runs = payload.runs;
  colors = { overlay: bytesOf(payload.colors.overlay), heatmap: bytesOf(payload.colors.heatmap), ground: payload.colors.ground };
  methodNames = [...new Set(runs.flatMap((run) => [
    ...run.monitors.flatMap((monitor) => monitor.methods.map((method) => method.name)),
    ...run.sections.flatMap((section) => section.charts.filter((chart) => chart.key === "similarity" || chart.key === "entropy")
      .flatMap((chart) => chart.series.map((series) => series.name))),
  ]))];
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// Runs are told apart by a letter where there are two.
function runLetter(run) {
  return runs.length > 1 ? "AB"[run] : "";
}

function everyRun() {
  return runs.map((_, run) => run);
}

// A color for each method, the same in every chart; any other line takes the next color of the same palette.
const PALETTE_SIZE = 8;

function lineColor(name, place) {
  const known = methodNames.indexOf(name);
  return `var(--line-${(known >= 0 ? known : place) % PALETTE_SIZE})`;
}
