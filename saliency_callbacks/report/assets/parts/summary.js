// The parts that do not depend on the chosen moment: findings, notes, samples worth a look, texts, facts.

const WORDS_OF_A_BEGINNING = 8;
const LEVELS = { alarm: "Alarm", caution: "Caution", plain: "Note", good: "OK" };

function fillHead() {
  document.querySelector("h1").textContent = report.title;
  document.title = `${report.title} · saliency`;
  const parts = [];
  if (hasMaps()) {
    const monitor = currentMonitor();
    const facts = Object.fromEntries(runs[0].facts[0]?.rows ?? []);
    const target = facts.target === undefined ? null : `target ${facts.target}`;
    parts.push(facts.model, target, counted(monitor.methods.length, "method"), counted(monitor.ids.length, "sample"), counted(monitor.frames.length, "observation"));
  }
  document.getElementById("subtitle").textContent = parts.filter(Boolean).join("  ·  ");
}

function fillNotes() {
  const notes = (source().notes ?? []).concat(runs.flatMap((run, place) => run.notes.map((note) => (runLetter(place) ? `Run ${runLetter(place)}: ${note}` : note))));
  if (!hasMaps()) notes.unshift("No maps to show: none were saved, or none could be read.");
  const box = document.getElementById("notes");
  box.hidden = notes.length === 0;
  fill(box, [{ id: "notes", from: notes, make: () => element("div", {}, element("b", {}, "Notes on the data"), element("ul", {}, notes.map((note) => element("li", {}, note)))) }]);
}

// A file tells everything; a page that is watched leaves room for the maps, and tells the rest when it is asked.
function findingOf({ level, title, text, section }) {
  return element("li", { class: `finding ${level}` }, element("details", { open: source().isEager || (level === "alarm" && runs.length === 1) },
    element("summary", {}, element("p", { class: "level" }, LEVELS[level]), element("h3", {}, title)), element("p", {}, text), section ? wayTo(section) : null));
}

function wayTo(section) {
  const go = () => {
    const there = document.getElementById(section);
    there.scrollIntoView();
    there.querySelector("summary")?.focus({ preventScroll: true });
  };
  return element("button", { type: "button", class: "quiet way", onclick: go }, "See the list");
}

function fillFindings() {
  const list = (run) => ({ id: `${run}/list`, make: () => element("ul", { class: "finding-list" }),
    update: (node) => fill(node, runs[run].headlines.map((headline) => ({ id: `${runs.length}/${runs[run].id}/${headline.title}`, from: headline, make: () => findingOf(headline) }))) });
  const name = (run) => ({ id: `${run}/name`, from: runs[run].name, make: () => element("h2", { class: "run-heading" }, `${runLetter(run)} · ${runs[run].name}`) });
  fill(document.getElementById("findings"), everyRun().flatMap((run) => [...(runs.length > 1 ? [name(run)] : []), list(run)]));
}

// The beginning of a text, since its number says little.
function beginningOf(sample) {
  const { tokens, special } = currentMonitor();
  if (!tokens) return null;
  const words = tokens[sample].filter((_, place) => !(special && special[sample][place]));
  return element("p", { class: "beginning" }, words.slice(0, WORDS_OF_A_BEGINNING).join(" "), words.length > WORDS_OF_A_BEGINNING ? " …" : "");
}

function lookOf({ sample, reasons }) {
  const open = (reason) => change({ view: "sample", sample, frame: reason.frame, method: reason.method ?? state.method, playing: false });
  return element("li", { class: "look", "data-sample": sample }, element("p", { class: "card-title" }, titleOf(sample), element("span", { class: "muted" }, ` ${sampleName(currentMonitor(), sample)}`)), beginningOf(sample),
    element("ul", {}, reasons.map((reason) => element("li", {}, element("button", { type: "button", class: "reason", onclick: () => open(reason) }, reason.text)))));
}

function fillAttention() {
  const { name, attention } = currentMonitor();
  const title = `Worth a look${runs.length > 1 ? " in run A" : ""}`;
  const empty = () => element("p", { class: "muted" }, "No flipped predictions, no large changes between maps, and no maps that miss their masks.");
  const list = { id: "list", make: () => element("ol"),
    update: (node) => fill(node, attention.map((item) => ({ id: item.sample, from: [name, item, titleOf(item.sample)], make: () => lookOf(item) }))) };
  fill(document.getElementById("attention"), [{ id: "title", from: title, make: () => element("h2", {}, title) }, attention.length ? list : { id: "empty", make: empty }]);
}

function spansOf(spans) {
  return spans.map(([kind, text]) => (kind === "text" ? text : element(kind, {}, text)));
}

function blockOf(block) {
  if (block.paragraph) return element("p", {}, spansOf(block.paragraph));
  const { head, rows, numeric } = block.table;
  const isShort = (spans) => spans.map((span) => span[1]).join("").length < 20;
  const cell = (spans, column) => element("td", { class: `${numeric[column] ? "number" : ""} ${isShort(spans) ? "short" : ""}` }, spansOf(spans));
  const heads = head.map((spans, column) => element("th", { scope: "col", class: numeric[column] ? "number" : "" }, spansOf(spans)));
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, rows.map((row) => element("tr", {}, row.map(cell))))));
}

// What does not fit into one of two columns.
function isWide({ table }) {
  return table !== undefined && table.head.length > 4;
}

function articleOf(run, { tag, title, moment }, kind, ...inside) {
  const letter = runLetter(run) ? `${runLetter(run)} · ` : "";
  return element("article", { class: kind }, element("h3", {}, letter, title ?? element("span", { class: "tag" }, tag), element("span", { class: "muted" }, ` at ${moment}`)), inside.flat());
}

function fillDocuments() {
  const shown = runs.flatMap((run, place) => [
    ...run.documents.map((text) => ({ id: `${place}/text/${text.tag}`, from: text, make: () => articleOf(place, text, text.blocks.some(isWide) ? "wide" : "", text.blocks.map(blockOf)) })),
    ...run.pictures.map((picture) => ({ id: `${place}/picture/${picture.tag}`, from: picture, make: () => articleOf(place, picture, "wide",
      element("img", { src: source().picture(picture), alt: `${picture.tag} at ${picture.moment}`, loading: "lazy" })) })),
  ]);
  const title = { id: "title", make: () => element("h2", {}, "Tables and images") };
  const articles = { id: "articles", make: () => element("div", { class: "articles" }), update: (node) => fill(node, shown) };
  fill(document.getElementById("documents"), shown.length ? [title, articles] : []);
}

const READING = [
  ["Maps", "A map shows where the score is sensitive, not why. Changing maps do not prove that the model got worse, and stable maps do not prove that it did not."],
  ["Outlines", "A solid blue line is around what is explained, such as a detected object; a dashed one is around the object as it is found in the map. Neither says that the map is right."],
  ["Colors", "On the shared scale, the strongest color stands for the largest 99th percentile among all maps of a sample in the run, so that maps can be compared across epochs. With one scale per map, every map reaches the strongest color, however weak it is."],
  ["Drift", "1 − Spearman correlation between two signed maps of a sample: 0 means the same ranking of pixels or words, 1 unrelated, 2 reversed. The line is the mean over the samples."],
  ["Similarity and floor", "Similarity compares the model's maps with those of random copies of the model; the floor compares two random copies with each other. A floor above 0.3 means that the maps show the input rather than what the model learned. Methods pass or fail this test; it does not rank them."],
  ["Gains and stability", "Deletion replaces what a map shows first, insertion everything else; a gain of 0 is no better than the same map somewhere else, 1 means that the first share holds all the evidence. It depends on what takes the place of what is removed. A high gain does not show that a map is right: an edge detector that knows nothing of the model gains, too. Stability is the rank correlation with the maps of slightly noisy samples; a map that never changes is stable. Neither ranks methods; read them beside similarity and floor."],
  ["Effect and alarm", "How much inserting the cue into samples of other classes raises the margin of the suspect class, in standard deviations (sd) of the logits. The alarm fires when the lower bound on the mean stays above the threshold. A silent alarm does not rule out a shortcut."],
  ["Difference", "Red where the later map is stronger, blue where the earlier map is stronger, white where they agree or are both empty."],
];

function factsOf(facts, run) {
  return element("details", { open: runs.length === 1 }, element("summary", {}, runLetter(run) ? `${runLetter(run)} · ` : "", facts.title),
    element("dl", {}, facts.rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
}

function fillFacts() {
  const lists = runs.flatMap((run, place) => run.facts.map((facts) => ({ id: `${place}/${facts.title}`, from: [facts, runs.length], make: () => factsOf(facts, place) })));
  const reading = () => element("dl", { class: "reading" }, READING.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
  fill(document.getElementById("facts"), [
    { id: "how to read", make: () => element("h2", {}, "How to read this page") }, { id: "reading", make: reading },
    { id: "how made", make: () => element("h2", {}, "Run details") },
    { id: "facts", make: () => element("div", { class: "fact-lists" }), update: (node) => fill(node, lists) },
  ]);
}
