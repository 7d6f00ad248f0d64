// The suspected shortcuts: ranked, each with its picture, its numbers, and what to do about it.

function fillShortcuts() {
  const box = document.getElementById("shortcuts");
  const lists = runs.flatMap((run, place) => run.shortcuts.map((list) => [list, runLetter(place)]));
  box.hidden = lists.length === 0;
  fill(box, lists.flatMap(([list, run]) => {
    const id = `${run}/${list.tag}`;
    const title = `${run ? `${run} · ` : ""}Suspected shortcuts`;
    const words = [list.note, list.words].filter(Boolean).join(" ");
    const items = list.items.map((item, place) => ({ id: item.key, from: [item, place], make: () => suspicionOf(item, place) }));
    return [
      { id: `${id}/title`, from: list.moment, make: () => element("h2", {}, title, element("span", { class: "muted which" }, ` at ${list.moment}`)) },
      { id: `${id}/words`, from: words, make: () => element("p", { class: "muted words-of-caution" }, words) },
      items.length ? { id: `${id}/items`, make: () => element("ol", { class: "suspicions" }), update: (node) => fill(node, items) }
        : { id: `${id}/nothing`, make: () => element("p", {}, "No shortcut is suspected.") },
    ];
  }));
}

function suspicionOf(item, place) {
  const address = source().picture(item);
  const picture = address && element("img", { src: address, alt: item.alt, loading: "lazy" });
  return element("li", {}, element("details", { class: "suspicion", "data-key": item.key, open: place === 0 && !item.dismissed },
    element("summary", {},
      element("h3", {}, `${place + 1}. ${item.title}`),
      element("span", { class: `use${item.used && !item.dismissed ? " used" : ""}` }, item.dismissed ? "dismissed" : item.used ? "used by the model" : "in the data, not used by the model"),
      element("span", { class: "muted" }, item.short)),
    element("div", { class: `evidence${picture ? "" : " no-picture"}` },
      picture,
      element("div", {},
        element("dl", {}, item.facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
        actionOn(item.dismissed ? "To undo the dismissal:" : "If it is the object itself, or already known, dismiss it for this and later runs on the same data:", "Copy command", item.dismiss),
        actionOn("If it is a shortcut, watch it with an alarm:", "Copy Python", item.cue)))));
}

function actionOn(words, label, text) {
  const shown = element("pre", {}, element("code", {}, text));
  const button = element("button", { type: "button", class: "quiet copy", onclick: async () => {
    button.textContent = (await copied(text, shown)) ? "Copied" : "Press Ctrl+C";
    say(button.textContent);
  }, onblur: () => { button.textContent = label; } }, label);
  return element("div", { class: "action" }, element("p", {}, words), shown, button);
}

// Browsers that keep the clipboard from a file get the text selected.
async function copied(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return document.execCommand("copy");
  }
}
