// Numbers and names as words.

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

function percent(share) {
  return share === null || share === undefined ? "" : `${Math.round(100 * share)}%`;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.005 || size >= 10000)) return value.toExponential(1).replaceAll("-", "−");
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace("-", "−");
}

// Without a sign where nothing is left of it.
function hundredths(value) {
  return (Math.round(100 * value) / 100 + 0).toFixed(2).replace("-", "−");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

// A long name breaks where its words do.
function breakable(name) {
  return name.split(/(?<=_)/).flatMap((word) => [word, element("wbr")]);
}

function className(monitor, index) {
  const names = monitor.classNames;
  return names && names[index] !== undefined ? names[index] : String(index);
}

function sampleName(monitor, sample) {
  return `#${monitor.ids[sample] ?? sample}`;
}

function shortTitle(frame) {
  return { "the start": "start", "the end": "end" }[frame.title] ?? frame.title.replace("epoch ", "");
}
