// Pictures in the data → arrays of numbers, decoded when first looked at and kept for a while.

const MOST_BYTES = 128e6;
const kept = new Map();
let keptBytes = 0;

// Return the promise kept under `key`, or a new one. What is used least lately is forgotten, as is what failed.
function remembered(key, make, bytesIn) {
  const found = kept.get(key);
  if (found) {
    kept.delete(key);
    kept.set(key, found);
    return found.promise;
  }
  const entry = { bytes: 0 };
  entry.promise = make();
  kept.set(key, entry);
  entry.promise.then((value) => {
    if (kept.get(key) !== entry) return;
    entry.bytes = bytesIn(value);
    keptBytes += entry.bytes;
    for (const [oldest] of kept) {
      if (keptBytes <= MOST_BYTES || oldest === key) break;
      forget(oldest);
    }
  }, () => kept.get(key) === entry && forget(key));
  return entry.promise;
}

function forget(key) {
  keptBytes -= kept.get(key).bytes;
  kept.delete(key);
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

async function levelsOf(data, type) {
  const pixels = await pixelsOf(data, type);
  const levels = new Uint8Array(pixels.width * pixels.height);
  for (let place = 0; place < levels.length; place++) levels[place] = pixels.data[4 * place];
  return { levels, stride: pixels.width };
}

// All maps of a method and a moment. What lies above the shared scale is cut off, so another scale asks for them again. A run
// may lack a method that the other has.
function mapKey(run, frame, method) {
  const { name, frames, shared } = currentMonitor(run);
  const plane = planeOf(run);
  const slice = plane.isLazy ? [plane.key] : [];
  return [runs[run].id ?? run, name, frames[frame].step, frames[frame].stage, method, ...slice, (shared[method] ?? []).join()].join("/");
}

// The maps of all samples with their pixels or words; null where the observation has none by this method.
function sheetOf(run, frame, method) {
  const monitor = currentMonitor(run);
  const moment = monitor.frames[frame];
  if (!moment.maps[method]) return Promise.resolve(null);
  const key = mapKey(run, frame, method);
  const wish = { key, run: runs[run], monitor, moment, method, plane: planeOf(run) };
  return remembered(key, async () => {
    const sprite = await source().map(wish);
    const decoded = monitor.pictures ? await levelsOf(sprite.data, "webp") : { levels: new Int8Array(bytesOf(sprite.data).buffer) };
    return { ...sprite, ...decoded };
  }, (sheet) => sheet.levels.length);
}

// One map of a sheet, of volumes that of the slice `at`: its offset, and what its levels stand for.
function cellIn(sheet, sample, at = 0) {
  if (!sheet) return null;
  const place = sample * (sheet.slices ?? 1) + Math.min(at, (sheet.slices ?? 1) - 1);
  const row = Math.floor(place / sheet.columns);
  const column = place % sheet.columns;
  const start = row * sheet.height * sheet.stride + column * sheet.width;
  const { levels, stride, width, height } = sheet;
  const [clip, full, empty] = [sheet.clip?.[sample], sheet.full?.[sample], sheet.empty?.[sample]];
  return { levels, stride, start, width, height, clip, full, empty };
}

// A sample's picture at the size of a canvas; whoever paints on it copies it.
function pictureOf(run, sample, size, plane) {
  const { name } = currentMonitor(run);
  const of = `${runs[run].id ?? run}/${name}/${sample}`;
  return remembered(`picture/${of}/${plane.key}/${size.factor}`, async () => {
    const { pictures } = await samplesOf(run, plane);
    const all = await remembered(`pictures/${of}/${plane.isLazy ? plane.key : ""}`, () => pixelsOf(pictures.data[sample], "webp"), (image) => image.data.length);
    return enlarged(cropped(all, pictures, plane.at), size);
  }, (image) => image.data.length);
}

// One picture of those that stand in a sheet.
function cropped(all, { width, height, columns }, at) {
  if (all.width === width && all.height === height) return all;
  const [left, top] = [(at % columns) * width, Math.floor(at / columns) * height];
  const image = new ImageData(width, height);
  for (let row = 0; row < height; row++) {
    const start = 4 * ((top + row) * all.width + left);
    image.data.set(all.data.subarray(start, start + 4 * width), 4 * row * width);
  }
  return image;
}

async function maskOf(sample) {
  const plane = planeOf(0);
  const { masks } = await samplesOf(0, plane);
  if (!masks) return null;
  const key = `mask/${runs[0].id ?? 0}/${currentMonitor().name}/${plane.isLazy ? plane.key : ""}`;
  const sheet = await remembered(key, async () => ({ ...masks, ...(await levelsOf(masks.data, "png")) }), (found) => found.levels.length);
  return cellIn(sheet, sample, plane.at);
}

// Signed scores of the words of one text.
function wordsIn(sheet, sample) {
  if (!sheet) return null;
  const own = sheet.levels.subarray(sample * sheet.width, (sample + 1) * sheet.width);
  return {
    values: Float32Array.from(own, (level) => (level / 127) * sheet.clip[sample]),
    full: sheet.full[sample],
    empty: sheet.empty[sample],
  };
}
