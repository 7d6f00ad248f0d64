// How elements are made from data, and kept when the data changes: text is always set as text, never as markup.

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const madeFrom = new WeakMap();

// Let `place` contain what `entries` say: each has an `id` of its own, the data it is made `from`, and `make`. What was
// made from the same data stays the same node; `update` is called for all.
function fill(place, entries) {
  const known = new Map([...place.children].map((node) => [madeFrom.get(node)?.id, node]));
  const wanted = entries.map(({ id, from, make, update }) => {
    const text = JSON.stringify(from ?? null);
    const old = known.get(id);
    known.delete(id);
    const isSame = old && madeFrom.get(old).text === text;
    const node = isSame ? old : make();
    if (!isSame) madeFrom.set(node, { id, text });
    if (old && !isSame) takePlaceOf(old, node);
    update?.(node);
    return node;
  });
  const staying = new Set(wanted);
  [...place.childNodes].forEach((node) => staying.has(node) || node.remove());
  // A node that is moved would lose the focus, so those that are in their place are left there.
  wanted.forEach((node, at) => place.children[at] === node || place.insertBefore(node, place.children[at] ?? null));
}

const FOCUSABLE = "button, a, summary, input, select";

function takePlaceOf(old, node) {
  const within = (root, selector) => [...(root.matches(selector) ? [root] : []), ...root.querySelectorAll(selector)];
  const focused = within(old, FOCUSABLE).indexOf(document.activeElement);
  const [opened, scrolled] = ["details", ".scroll"].map((selector) => [within(old, selector), within(node, selector)]);
  opened[0].forEach((details, at) => opened[1][at] && (opened[1][at].open = details.open));
  old.replaceWith(node);
  scrolled[0].forEach((box, at) => scrolled[1][at] && (scrolled[1][at].scrollLeft = box.scrollLeft));
  if (focused >= 0) within(node, FOCUSABLE)[focused]?.focus({ preventScroll: true });
}

let lastSaid = "";

// Tell those who do not see it.
function say(text) {
  const place = document.getElementById("live");
  if (text !== lastSaid || place.textContent === "") place.textContent = text;
  lastSaid = text;
}
