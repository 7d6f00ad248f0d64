// The parts of the page are filled when there is data, and again when there is new data; what depends on the state is
// refreshed when it changes.

let viewer = { key: "", refresh: () => {} };

function fillViewer() {
  const place = document.getElementById("viewer");
  const { name, ids, methods } = currentMonitor();
  const key = JSON.stringify([runs.map((run) => run.id), name, ids, methods.map((method) => method.name), state.view, state.view === "sample" && state.sample]);
  if (key !== viewer.key) {
    const hadFocus = place.contains(document.activeElement);
    const view = { grid: gridView, sample: sampleView, compare: compareView }[state.view]();
    place.replaceChildren(view.node);
    viewer = { key, refresh: view.refresh };
    if (hadFocus) (place.querySelector(`.card[data-sample="${state.sample}"]`) ?? place).focus({ preventScroll: true });
  }
  viewer.refresh();
  refreshTiles(place);
}

function refreshData() {
  fillHead();
  fillNotes();
  fillFindings();
  fillShortcuts();
  fillCharts();
  fillDocuments();
  fillFacts();
  document.getElementById("stage").hidden = !hasMaps();
}

function refreshState() {
  if (hasMaps()) {
    fillControls();
    fillAttention();
    refreshControls();
    fillViewer();
  }
  refreshCharts();
}

function start() {
  document.getElementById("theme").addEventListener("click", switchTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    nameTheme();
    change({});
  });
  nameTheme();
  listenToKeys(buildHelp());
  playOn();
  onChange(refreshState);
  window.addEventListener("hashchange", () => {
    goTo(wordsOfAddress());
    source().visit?.(wordsOfAddress());
    change({});
  });
  source().begin();
}

start();
