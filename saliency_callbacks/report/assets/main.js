// Fill in the fixed parts once, and refresh the parts that depend on the state when it changes.

function buildViewer() {
  const place = document.getElementById("viewer");
  let view = null;
  let built = "";
  return () => {
    const key = [state.view, state.monitor, state.view === "sample" ? state.sample : ""].join("/");
    if (key !== built) {
      view = { grid: gridView, sample: sampleView, compare: compareView }[state.view]();
      place.replaceChildren(view.node);
      built = key;
    }
    view.refresh();
    view.tiles.forEach(refreshTile);
  };
}

function start() {
  document.getElementById("theme").addEventListener("click", switchTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    nameTheme();
    change({});
  });
  nameTheme();
  const help = buildHelp();
  fillHead();
  fillNotes();
  fillFindings();
  fillShortcuts();
  const refreshCharts_ = buildCharts();
  fillDocuments();
  fillFacts();
  listenToKeys(help);
  if (hasMaps) {
    recall();
    let monitor = state.monitor;
    let refreshControls = buildControls();
    const refreshViewer = buildViewer();
    fillAttention();
    playOn();
    onChange(() => {
      if (monitor !== state.monitor) {
        monitor = state.monitor;
        refreshControls = buildControls();
        fillAttention();
      }
      refreshControls();
      refreshViewer();
      refreshCharts_();
    });
    window.addEventListener("hashchange", () => {
      recall();
      change({});
    });
    change({});
  } else {
    document.getElementById("stage").hidden = true;
    refreshCharts_();
  }
}

start();
