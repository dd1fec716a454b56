// Draws each chart, and puts its controls where the page wants them.
for (const data of document.querySelectorAll("script[data-chart]")) {
  const name = data.dataset.chart;
  vegaEmbed(`#${name}-chart`, JSON.parse(data.textContent), {
    renderer: "svg", // its marks have labels that a screen reader reads
    actions: false,
    ast: true, // expressions are interpreted: the page's policy forbids eval
    bind: `#${name}-controls`,
  }).catch((error) => console.error(`chart ${name}:`, error));
}
