// The parts that do not depend on the chosen moment: findings, notes, samples worth a look, texts, facts.

const WORDS_OF_A_BEGINNING = 8;
const LEVELS = { alarm: "Alarm", caution: "Caution", plain: "Note", good: "Good" };

function fillHead() {
  const parts = [];
  if (hasMaps) {
    const monitor = currentMonitor();
    const facts = Object.fromEntries(runs[0].facts[0]?.rows ?? []);
    parts.push(facts.model, facts.target === undefined ? null : `target ${facts.target}`, `${monitor.methods.length} methods`, `${monitor.ids.length} samples`, `${monitor.frames.length} observations`);
  }
  document.getElementById("subtitle").textContent = parts.filter(Boolean).join("  ·  ");
}

function fillNotes() {
  const notes = runs.flatMap((run, place) => run.notes.map((note) => (RUN_NAMES[place] ? `Run ${RUN_NAMES[place]}: ${note}` : note)));
  if (!hasMaps) notes.unshift("There are no maps to show: no monitor kept any, or none could be read.");
  const box = document.getElementById("notes");
  box.hidden = notes.length === 0;
  box.replaceChildren(element("b", {}, "Some of the run is missing"), element("ul", {}, notes.map((note) => element("li", {}, note))));
}

function fillFindings() {
  const box = document.getElementById("findings");
  runs.forEach((run, place) => {
    if (runs.length > 1) box.append(element("h2", { class: "run-heading" }, `${RUN_NAMES[place]} · ${run.name}`));
    box.append(element("ul", { class: "finding-list" }, run.headlines.map((headline) => {
      const text = element("p", {}, headline.text);
      return element("li", { class: `finding ${headline.level}` }, element("p", { class: "level" }, LEVELS[headline.level]), element("h3", {}, headline.title), text);
    })));
  });
}

// The beginning of a text, since its number says little.
function beginningOf(sample) {
  const { tokens, special } = currentMonitor();
  if (!tokens) return null;
  const words = tokens[sample].filter((_, place) => !(special && special[sample][place]));
  return element("p", { class: "beginning" }, words.slice(0, WORDS_OF_A_BEGINNING).join(" "), words.length > WORDS_OF_A_BEGINNING ? " …" : "");
}

function fillAttention() {
  const box = document.getElementById("attention");
  const items = currentMonitor().attention;
  const open = (item, reason) => change({ view: "sample", sample: item.sample, frame: reason.frame, method: reason.method ?? state.method, playing: false });
  const entries = items.map((item) => {
    const reasons = item.reasons.map((reason) => element("li", {}, element("button", { type: "button", class: "reason", onclick: () => open(item, reason) }, reason.text)));
    return element("li", { class: "look", "data-sample": item.sample }, element("p", { class: "card-title" }, titleOf(item.sample), element("span", { class: "muted" }, ` ${sampleName(currentMonitor(), item.sample)}`)), beginningOf(item.sample), element("ul", {}, reasons));
  });
  const empty = element("p", { class: "muted" }, "No prediction flipped, no map moved far, and none lies outside the mask.");
  box.replaceChildren(element("h2", {}, `Worth a look${runs.length > 1 ? " in run A" : ""}`), items.length ? element("ol", {}, entries) : empty);
}

function spansOf(spans) {
  return spans.map(([kind, text]) => (kind === "text" ? text : element(kind, {}, text)));
}

function blockOf(block) {
  if (block.paragraph) return element("p", {}, spansOf(block.paragraph));
  const { head, rows } = block.table;
  const isNumber = (spans) => spans.length > 0 && /^[-−+]?[\d.]+( ?%| ± [\d.]+)?$/.test(spans.map((span) => span[1]).join(""));
  const isShort = (spans) => spans.map((span) => span[1]).join("").length < 20;
  const cell = (tag) => (spans) => element(tag, { class: `${isNumber(spans) ? "number" : ""} ${isShort(spans) ? "short" : ""}` }, spansOf(spans));
  const numeric = head.map((_, column) => rows.length > 0 && rows.every((row) => isNumber(row[column] ?? [])));
  const heads = head.map((spans, column) => element("th", { scope: "col", class: numeric[column] ? "number" : "" }, spansOf(spans)));
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, rows.map((row) => element("tr", {}, row.map(cell("td")))))));
}

function fillDocuments() {
  const box = document.getElementById("documents");
  const shown = runs.flatMap((run, place) => [
    ...run.documents.map((text) => element("article", {}, element("h3", {}, RUN_NAMES[place] ? `${RUN_NAMES[place]} · ` : "", element("span", { class: "tag" }, text.tag), element("span", { class: "muted" }, ` ${text.moment}`)), text.blocks.map(blockOf))),
    ...run.pictures.map((picture) => element("article", { class: "wide" }, element("h3", {}, RUN_NAMES[place] ? `${RUN_NAMES[place]} · ` : "", element("span", { class: "tag" }, picture.tag), element("span", { class: "muted" }, ` ${picture.moment}`)),
      element("img", { src: `data:image/webp;base64,${picture.data}`, alt: `${picture.tag} at ${picture.moment}`, loading: "lazy" }))),
  ]);
  if (shown.length) box.append(element("h2", {}, "Tables and pictures"), element("div", { class: "articles" }, shown));
}

const READING = [
  ["Maps", "A map shows where the score is sensitive, not why. Maps that move do not prove that the model got worse, and maps that stay do not prove that it did not."],
  ["Colors", "On the shared scale, the full color is the largest 99th percentile of a sample's maps in the run, so you can see attention grow and fade. Per map, every map reaches the full color, however weak it is."],
  ["Drift", "1 − Spearman correlation of two signed maps of a sample: 0 is the same order of importance, 1 is unrelated, 2 is reversed; the line is the mean over the samples."],
  ["Similarity and floor", "How similar the maps are to those of a network with random weights, and how similar the maps of two random networks are. A floor above 0.3 means that the maps show the input. It is a test to pass, not a ranking."],
  ["Effect and alarm", "What inserting the cue into samples of other classes adds to the suspect class, in standard deviations of the logits. The alarm goes on when the lower bound of its mean stays above the threshold. A silent alarm does not prove that there is no shortcut."],
  ["Difference", "Red where the later map is stronger, blue where the earlier one is; white where they agree or show nothing."],
];

function fillFacts() {
  const box = document.getElementById("facts");
  const list = (facts, place) => element("details", { open: runs.length === 1 }, element("summary", {}, RUN_NAMES[place] ? `${RUN_NAMES[place]} · ` : "", facts.title),
    element("dl", {}, facts.rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
  box.append(element("h2", {}, "How to read it"), element("dl", { class: "reading" }, READING.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)))),
    element("h2", {}, "How it was made"), element("div", { class: "fact-lists" }, runs.flatMap((run, place) => run.facts.map((facts) => list(facts, place)))));
}
