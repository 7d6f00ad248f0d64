// TensorBoard shows the page in a frame of its own, and may be light where the system is dark.

function takeThemeOfFrame() {
  let host = null;
  try {
    host = isFramed && window.frameElement?.ownerDocument.body;
  } catch {
    // A page of another origin says nothing.
  }
  if (!host) return;
  const take = () => {
    document.documentElement.dataset.theme = host.classList.contains("dark-mode") ? "dark" : "light";
    nameTheme();
    change({});
  };
  new MutationObserver(take).observe(host, { attributeFilter: ["class"] });
  take();
}
