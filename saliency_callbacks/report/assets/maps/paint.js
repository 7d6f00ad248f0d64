// A map and a picture → the pixels of a canvas.

const OPACITY_EXPONENT = 0.7;
const LEGIBLE_SIDE = 240;
const SHARP_FROM = 160;

// Small pictures are enlarged by a whole number, so that their pixels stay crisp and maps between them smooth.
function backing(pictures, small) {
  const longest = Math.max(pictures.width, pictures.height);
  const factor = longest >= SHARP_FROM || small ? Math.max(1, Math.floor(96 / longest)) : Math.ceil(LEGIBLE_SIDE / longest);
  return { factor, width: pictures.width * factor, height: pictures.height * factor };
}

// For each column or row of the canvas: the two cells it lies between, and how near it is to the second.
function axis(cells, pixels, isSmooth) {
  const low = new Int32Array(pixels);
  const high = new Int32Array(pixels);
  const weight = new Float32Array(pixels);
  for (let at = 0; at < pixels; at++) {
    const place = isSmooth ? clamp(((at + 0.5) * cells) / pixels - 0.5, 0, cells - 1) : Math.floor((at * cells) / pixels);
    low[at] = Math.floor(place);
    high[at] = Math.min(cells - 1, low[at] + 1);
    weight[at] = place - low[at];
  }
  return { low, high, weight };
}

// The map relative to `full`, at the canvas's size.
function heatOf(cell, pictures, size, full) {
  const unit = new Float32Array(256);
  for (let level = 0; level < 256; level++) unit[level] = full > 0 ? (cell.clip * (level / 255) ** 2) / full : 0;
  const x = axis(cell.width, size.width, cell.width !== pictures.width);
  const y = axis(cell.height, size.height, cell.height !== pictures.height);
  const heat = new Float32Array(size.width * size.height);
  for (let row = 0, at = 0; row < size.height; row++) {
    const top = cell.start + y.low[row] * cell.stride;
    const bottom = cell.start + y.high[row] * cell.stride;
    const down = y.weight[row];
    for (let column = 0; column < size.width; column++, at++) {
      const left = x.low[column];
      const value = unit[cell.levels[top + left]];
      const right = x.weight[column];
      if (right === 0 && down === 0) {
        heat[at] = value;
        continue;
      }
      const far = x.high[column];
      const upper = value + (unit[cell.levels[top + far]] - value) * right;
      const lower = unit[cell.levels[bottom + left]];
      heat[at] = upper + (lower + (unit[cell.levels[bottom + far]] - lower) * right - upper) * down;
    }
  }
  return heat;
}

function enlarged(picture, size) {
  const image = new ImageData(size.width, size.height);
  const target = new Uint32Array(image.data.buffer);
  const source = new Uint32Array(picture.data.buffer);
  for (let row = 0, at = 0; row < size.height; row++) {
    const start = Math.floor(row / size.factor) * picture.width;
    for (let column = 0; column < size.width; column++, at++) target[at] = source[start + Math.floor(column / size.factor)];
  }
  return image;
}

function layOver(image, heat, style) {
  const table = colors[style.name];
  const isHeatmap = style.name === "heatmap";
  // In 256ths: integers are several times as fast, and a million pixels are painted at each step of the slider.
  const opacity = Int32Array.from({ length: 256 }, (_, level) => Math.round(256 * (isHeatmap ? 1 : style.opacity * (level / 255) ** OPACITY_EXPONENT)));
  const { data } = image;
  // Heat is laid over a dimmed grey picture, which it is brighter than.
  const [red, green, blue] = colors.ground;
  for (let place = 0, at = 0; place < heat.length; place++, at += 4) {
    const ground = (red * data[at] + green * data[at + 1] + blue * data[at + 2]) >> 8;
    const level = Math.min(255, heat[place] * 256) | 0;
    const paint = opacity[level];
    const color = 3 * level;
    data[at] = ground + (((table[color] - ground) * paint) >> 8);
    data[at + 1] = ground + (((table[color + 1] - ground) * paint) >> 8);
    data[at + 2] = ground + (((table[color + 2] - ground) * paint) >> 8);
  }
}

// Red where the second map is stronger, blue where the first is, the background color where they agree.
function layDifference(image, before, after) {
  const table = isDark() ? DARK_DIVERGING : LIGHT_DIVERGING;
  const { data } = image;
  for (let place = 0, at = 0; place < before.length; place++, at += 4) {
    const change = Math.min(1, after[place]) - Math.min(1, before[place]);
    const color = table[Math.round((change + 1) * 255)];
    data[at] = color[0];
    data[at + 1] = color[1];
    data[at + 2] = color[2];
    data[at + 3] = 255;
  }
}

const LIGHT_STOPS = [[-1, 16, 52, 150], [-0.55, 98, 142, 224], [0, 255, 255, 255], [0.55, 240, 104, 86], [1, 158, 8, 30]];
const DARK_STOPS = [[-1, 140, 190, 255], [-0.55, 62, 108, 190], [0, 28, 31, 37], [0.55, 190, 62, 56], [1, 255, 128, 110]];
const [LIGHT_DIVERGING, DARK_DIVERGING] = [LIGHT_STOPS, DARK_STOPS].map((stops) => Array.from({ length: 511 }, (_, place) => {
  const at = place / 255 - 1;
  const above = clamp(stops.findIndex((stop) => stop[0] >= at), 1, stops.length - 1);
  const [from, to] = [stops[above - 1], stops[above]];
  const share = (at - from[0]) / (to[0] - from[0]);
  return [1, 2, 3].map((channel) => Math.round(from[channel] + (to[channel] - from[channel]) * share));
}));

function divergingColor(unit) {
  return (isDark() ? DARK_DIVERGING : LIGHT_DIVERGING)[clamp(Math.round((unit + 1) * 255), 0, 510)];
}

function outline(image, mask, size) {
  const isInside = (row, column) =>
    mask.levels[mask.start + Math.floor((row * mask.height) / size.height) * mask.stride + Math.floor((column * mask.width) / size.width)] > 127;
  const reach = Math.max(1, Math.round(size.width / 128));
  for (let row = reach; row < size.height - reach; row++) {
    for (let column = reach; column < size.width - reach; column++) {
      const here = isInside(row, column);
      const isEdge = here !== isInside(row + reach, column) || here !== isInside(row - reach, column) ||
        here !== isInside(row, column + reach) || here !== isInside(row, column - reach);
      if (isEdge) image.data.set(here ? [255, 255, 255] : [10, 12, 16], 4 * (row * size.width + column));
    }
  }
}
