// Pictures in the data → arrays of numbers, decoded when first looked at and kept for a while.

const MOST_KEPT = 400;
const kept = new Map();

function remembered(key, make) {
  const found = kept.get(key);
  if (found) {
    kept.delete(key);
    kept.set(key, found);
    return found;
  }
  const made = make();
  kept.set(key, made);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return made;
}

async function pixelsOf(data, type) {
  const image = new Image();
  image.src = `data:image/${type};base64,${data}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function levelsOf(sheet, type) {
  const pixels = await pixelsOf(sheet.data, type);
  const levels = new Uint8Array(pixels.width * pixels.height);
  for (let place = 0; place < levels.length; place++) levels[place] = pixels.data[4 * place];
  return { levels, stride: pixels.width };
}

// One map of a sprite: its offset, and what its levels stand for.
async function cellOf(run, frame, method, sample) {
  const sprite = currentMonitor(run).frames[frame].maps[method];
  if (!sprite) return null;
  const sheet = await remembered(`${run}/${state.monitor}/${frame}/${method}`, () => levelsOf(sprite, "webp"));
  const row = Math.floor(sample / sprite.columns);
  const column = sample % sprite.columns;
  return {
    levels: sheet.levels,
    stride: sheet.stride,
    start: row * sprite.height * sheet.stride + column * sprite.width,
    width: sprite.width,
    height: sprite.height,
    clip: sprite.clip[sample],
    full: sprite.full[sample],
    empty: sprite.empty[sample],
  };
}

function pictureOf(run, sample) {
  const pictures = currentMonitor(run).pictures;
  return remembered(`picture/${state.monitor}/${sample}`, () => pixelsOf(pictures.data[sample], "webp"));
}

async function maskOf(sample) {
  const masks = currentMonitor().masks;
  if (!masks) return null;
  const sheet = await remembered(`mask/${state.monitor}`, () => levelsOf(masks, "png"));
  const row = Math.floor(sample / masks.columns);
  const column = sample % masks.columns;
  const start = row * masks.height * sheet.stride + column * masks.width;
  return { levels: sheet.levels, stride: sheet.stride, start, width: masks.width, height: masks.height };
}

// Signed scores of the words of one text.
function wordsOf(run, frame, method, sample) {
  const sprite = currentMonitor(run).frames[frame].maps[method];
  if (!sprite) return null;
  const all = remembered(`${run}/${state.monitor}/${frame}/${method}`, () => new Int8Array(bytesOf(sprite.data).buffer));
  const own = all.subarray(sample * sprite.width, (sample + 1) * sprite.width);
  return {
    values: Float32Array.from(own, (level) => (level / 127) * sprite.clip[sample]),
    full: sprite.full[sample],
    empty: sprite.empty[sample],
  };
}
