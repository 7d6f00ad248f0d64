// Requests for maps: a few at a time, and only for what is still looked at when their turn comes.

const AT_ONCE = 4;
const waiting = new Map();
let underWay = 0;
let isScheduled = false;

function enqueue(key, ask) {
  return new Promise((resolve, reject) => {
    waiting.set(key, { ask, resolve, reject });
    if (isScheduled) return;
    isScheduled = true;
    // Later in this turn, other tiles say what they want.
    queueMicrotask(startNext);
  });
}

function startNext() {
  isScheduled = false;
  const wanted = wantedMaps();
  for (const [key, { reject }] of waiting) {
    if (wanted.has(key)) continue;
    waiting.delete(key);
    reject(Object.assign(new Error("No tile waits for it"), { isDropped: true }));
  }
  for (const key of wanted) if (waiting.has(key) && underWay < AT_ONCE) begin(key);
}

function begin(key) {
  const { ask, resolve, reject } = waiting.get(key);
  waiting.delete(key);
  underWay++;
  ask().then(resolve, reject).finally(() => {
    underWay--;
    startNext();
  });
}
