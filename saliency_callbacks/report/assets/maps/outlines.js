// Boxes and masks: a solid blue line around what is explained, a dashed one, black and white, around what was found in a map.

const BLUE = [64, 196, 255];
const OUTLINE_KINDS = [["target", "target"], ["found", "found in the map"]];

// The kinds that a monitor has at any moment.
function outlineKinds(monitor = currentMonitor()) {
  return OUTLINE_KINDS.filter(([kind]) => monitor.frames.some((frame) => frame.outlines.includes(kind)));
}

// What the outline of a sample is called, such as the class of a detected object.
function targetName(run, frame, sample) {
  return currentMonitor(run).frames[frame].names?.[sample] ?? "";
}

async function drawOutlines(image, sheet, spec, at) {
  if (!state.outlines || !sheet?.outlines) return;
  for (const [kind] of OUTLINE_KINDS) {
    const found = sheet.outlines[kind];
    if (!found) continue;
    const box = found.boxes?.[spec.sample];
    if (found.masks) drawEdge(image, await insideMask(found.masks, mapKey(spec.run, spec.frame, spec.method), kind, image, spec.sample, at), kind, false);
    if (box) drawEdge(image, insideBox(box, image), kind, true);
  }
}

async function insideMask(masks, key, kind, { width, height }, sample, at) {
  const sheet = await remembered(`outline/${kind}/${key}`, async () => ({ ...masks, ...(await levelsOf(masks.data, "png")) }), (found) => found.levels.length);
  const cell = cellIn(sheet, sample, at);
  return (row, column) => cell.levels[cell.start + Math.floor((row * cell.height) / height) * cell.stride + Math.floor((column * cell.width) / width)] > 127;
}

// However small it is, there is a pixel of it; what is beyond the picture is not drawn.
function insideBox([x0, y0, x1, y1], { width, height }) {
  if (x1 <= 0 || y1 <= 0 || x0 >= 1 || y0 >= 1) return () => false;
  const [left, top] = [clamp(Math.round(x0 * width), 0, width - 1), clamp(Math.round(y0 * height), 0, height - 1)];
  const [right, bottom] = [Math.max(left + 1, Math.round(x1 * width)), Math.max(top + 1, Math.round(y1 * height))];
  return (row, column) => row >= top && row < bottom && column >= left && column < right;
}

// The edge of a picture is one of a box, but not of a mask.
function drawEdge(image, isInside, kind, isBox) {
  const { width, height } = image;
  const inside = new Uint8Array(width * height);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at++) inside[at] = isInside(row, column) ? 1 : 0;
  }
  const reach = Math.max(1, Math.round(Math.min(width, height) / 120));
  const isIn = (row, column) => (row < 0 || column < 0 || row >= height || column >= width ? null : inside[row * width + column] === 1);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at++) {
      const others = [isIn(row + reach, column), isIn(row - reach, column), isIn(row, column + reach), isIn(row, column - reach)];
      const color = inside[at] ? innerColor(others, kind, isBox, row + 2 * column, reach) : kind === "target" && others.includes(true) ? [0, 0, 0] : null;
      if (color) image.data.set(color, 4 * at);
    }
  }
}

function innerColor(others, kind, isBox, place, reach) {
  if (!others.includes(false) && !(isBox && others.includes(null))) return null;
  if (kind === "target") return BLUE;
  // Short dashes around a mask, long ones around a box; neither rows, columns nor diagonals are of one color.
  return Math.floor(place / ((isBox ? 12 : 4) * reach)) % 2 ? [0, 0, 0] : [255, 255, 255];
}

function outlineLegend() {
  return outlineKinds().map(([kind, words]) => element("span", { class: "outline-key" }, element("i", { class: `outline-line ${kind}`, "aria-hidden": "true" }), words));
}
