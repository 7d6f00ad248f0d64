// TensorBoard's entry point: puts the page into the frame that TensorBoard makes for a plugin.

const address = (name) => new URL(name, import.meta.url).href;

export async function render() {
  const answer = await fetch(address("body.html"));
  // Our own markup, without data.
  document.body.innerHTML = await answer.text();
  document.body.dataset.source = "live";
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = address("page.css");
  const styled = new Promise((resolve) => {
    style.addEventListener("load", resolve);
    style.addEventListener("error", resolve);
  });
  document.head.append(style);
  await styled;
  const script = document.createElement("script");
  script.src = address("page.js");
  document.body.append(script);
}
