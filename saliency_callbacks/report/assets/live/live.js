// A server's runs: which there are, those that are open, and what is new in them.

const live = {
  list: [],
  notes: [],
  title: "",
  ids: [],
  versions: "",
  refused: "",

  isEager: false,
  picture: ({ url }) => (url ? addressOf(url).href : null),
  address: () => ({ run: live.ids[0] ?? "", ...(live.ids[1] ? { second: live.ids[1] } : {}) }),

  map({ key, run, monitor, moment, method, plane }) {
    const words = Object.entries({ run: run.id, monitor: monitor.name, step: moment.step, stage: moment.stage, method });
    if (plane.isLazy) words.push(["axis", plane.axis], ["slice", plane.slice]);
    // Two runs have one scale, which says where the levels of a map end.
    words.push(...live.ids.filter((id) => id !== run.id).map((id) => ["beside", id]));
    if (connection.isLost) return Promise.reject(new NoAnswer());
    return enqueue(key, () => ask("map.json", words));
  },

  slice({ key, run, monitor, plane: { axis, slice } }) {
    if (connection.isLost) return Promise.reject(new NoAnswer());
    return enqueue(key, () => ask("slice.json", Object.entries({ run: run.id, monitor: monitor.name, axis, slice })));
  },

  visit,

  begin() {
    document.querySelector("main").prepend(problemBox, welcome);
    document.querySelector("header").append(connectionSign);
    const stage = document.getElementById("stage");
    stage.hidden = true;
    document.querySelector("h1").textContent = "Saliency";
    takeThemeOfFrame();
    chooser.build();
    live.look = keepLooking(look);
    live.look();
  },
};

// An address with other runs, as a link or the browser's history has.
function visit({ run, second }) {
  const ids = [run, second].filter((id) => live.list.some((one) => one.id === id && !one.problem));
  if (ids.length && ids.join("\n") !== live.ids.join("\n")) tryToOpen(ids);
}

// What a person asks for; a server that is away is said elsewhere.
function tryToOpen(ids) {
  openRuns(ids).catch((problem) => tell(problem.message));
}

async function look() {
  const { title, notes, runs: list } = await ask("runs.json");
  Object.assign(live, { title, notes, list });
  chooser.refresh();
  const wanted = live.ids.length ? live.ids : idsToBegin();
  if (wanted.length === 0) return showWelcome();
  welcome.hidden = true;
  if (![live.versions, live.refused].includes(versionsOf(wanted))) await openRuns(wanted);
}

// Those that the address names, else the newest that can be shown.
function idsToBegin() {
  const { run, second } = rememberedWords();
  const isKnown = (id) => live.list.some((one) => one.id === id && !one.problem);
  if (isKnown(run)) return isKnown(second) ? [run, second] : [run];
  const newest = live.list.find((one) => !one.problem);
  return newest ? [newest.id] : [];
}

// By default as they are listed.
function versionsOf(ids, versions = []) {
  return JSON.stringify(ids.map((id, place) => {
    const run = live.list.find((one) => one.id === id);
    return [id, versions[place] ?? run?.version ?? "gone", run?.problem ?? ""];
  }));
}

let latest = 0;

// Open one run or two, or what is new in those that are open. What was shown stays until the rest is there.
async function openRuns(ids) {
  const request = ++latest;
  const versions = versionsOf(ids);
  document.body.classList.toggle("opening", ids.join("\n") !== live.ids.join("\n"));
  if (document.body.classList.contains("opening")) document.getElementById("subtitle").textContent = `Opening ${ids.join(" and ")} …`;
  try {
    const payload = await ask("run.json", ids.map((id) => ["run", id]));
    if (request !== latest) return;
    payload.runs.forEach((run, place) => { run.id = ids[place]; });
    if (ids[0] !== live.ids[0] && isOpen) Object.assign(state, { following: true, playing: false, unseen: 0 });
    // A run may have changed since it was listed.
    Object.assign(live, { ids, versions: versionsOf(ids, payload.versions), refused: "" });
    tell("");
    adopt(payload);
    announce();
  } catch (problem) {
    if (request !== latest) return;
    if (isOpen) fillHead();
    // It is asked for again when a run changes, or the server is back.
    if (!problem.isFinal) throw problem;
    // Of a link to two runs that cannot be compared, the first is shown.
    if (!isOpen && ids.length > 1) await openRuns(ids.slice(0, 1));
    live.refused = versions;
    tell(problem.message);
  } finally {
    if (request === latest) document.body.classList.remove("opening");
    chooser.refresh();
  }
}

const QUIET_MILLISECONDS = 15_000;
let announced = 0;

// Say that there is something new, but not every few seconds.
function announce() {
  if (!hasMaps() || Date.now() - announced < QUIET_MILLISECONDS) return;
  if (announced) say(state.following ? `New observation: ${currentFrame().title}` : counted(state.unseen, "new observation"));
  announced = Date.now();
}

const problemBox = element("p", { id: "problem", role: "alert", hidden: true });

function tell(words) {
  problemBox.hidden = words === "";
  problemBox.textContent = words;
}
