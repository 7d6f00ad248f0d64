// Questions to the server, and whether it answers.

const ASK_EVERY = 3_000;
const ASK_SELDOM = 30_000;
const PATIENCE = 60_000;

// In TensorBoard the page is elsewhere than its script, beside which everything else is. Known only while the script loads.
const scriptAddress = document.currentScript?.src;

function addressOf(route) {
  return new URL(route, scriptAddress);
}

const NO_ANSWER = "The server is not responding";

// What is wrong with it, in words, and whether there is no answer at all.
const connection = { words: "", isLost: false };

// What an error says is for a person. It is final if asking again would not help.
class Refusal extends Error {
  constructor(words, isFinal) {
    super(capital(words));
    this.isFinal = isFinal;
  }
}

class NoAnswer extends Refusal {
  constructor() {
    super(`${NO_ANSWER}.`, false);
  }
}

async function ask(route, words = []) {
  const address = addressOf(route);
  for (const [name, value] of words) address.searchParams.append(name, value);
  let answer;
  let content;
  try {
    answer = await fetch(address, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE) });
    content = await answer.text();
  } catch {
    throw new NoAnswer();
  }
  let data;
  try {
    data = JSON.parse(content);
  } catch {
    throw new Refusal(`The server sent an unreadable answer (status ${answer.status}).`, false);
  }
  if (!answer.ok) throw new Refusal(data.error ?? `The server refused the request (status ${answer.status}).`, answer.status < 500);
  return data;
}

// A page that is hidden, as TensorBoard's frame is while another tab of it is open, asks for nothing.
function isLookedAt() {
  return document.visibilityState === "visible" && window.innerWidth > 0;
}

// Call `look` every few seconds while the page is looked at, and at once when that begins; less often while it fails.
function keepLooking(look) {
  let timer = null;
  let wait = ASK_EVERY;
  let isLooking = false;
  const again = async () => {
    clearTimeout(timer);
    if (isLooking || !isLookedAt()) return;
    isLooking = true;
    const problem = await look().then(() => null, (found) => found);
    isLooking = false;
    wait = problem ? Math.min(2 * wait, ASK_SELDOM) : ASK_EVERY;
    showConnection(problem);
    timer = setTimeout(again, wait);
  };
  document.addEventListener("visibilitychange", again);
  for (const event of ["focus", "online", "resize", "pageshow"]) window.addEventListener(event, again);
  return again;
}

const connectionSign = element("p", { id: "connection", class: "pill", role: "status", hidden: true });

function showConnection(problem) {
  const isLost = problem instanceof NoAnswer;
  const words = problem ? `${isLost ? NO_ANSWER : problem.message}; retrying` : "";
  if (words === connection.words) return;
  Object.assign(connection, { words, isLost });
  connectionSign.hidden = words === "";
  connectionSign.textContent = words;
  if (words) return;
  // What failed meanwhile is tried again.
  tell("");
  change({});
}
