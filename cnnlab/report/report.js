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

// A chart in a section that was closed gets its width when it opens.
for (const section of document.querySelectorAll("main details")) {
  section.addEventListener("toggle", () => {
    if (section.querySelector(".chart")) dispatchEvent(new Event("resize"));
  });
}

// A link opens the section that it leads to, also from another page.
const openTarget = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const section = target && (target.closest("details") ?? target.querySelector("details"));
  if (section && section.closest("main")) {
    section.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", openTarget);
openTarget();

// Contents: open beside the page where there is room, a fold above it where there is not.
const contents = document.querySelector("nav > details");
const wide = matchMedia("(min-width: 78rem)");
const place = () => (contents.open = wide.matches);
wide.addEventListener("change", place);
place();
contents.addEventListener("click", (event) => {
  if (event.target.closest("a") && !wide.matches) contents.open = false;
});

// On paper everything is open.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("main details:not([open])")];
  for (const section of opened) section.open = true;
});
addEventListener("afterprint", () => {
  for (const section of opened) section.open = false;
});

// Tables that sort by the column whose head is pressed: numbers from the largest first, words from A.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rows = [...table.tBodies[0].rows];
      const numbers = rows.every((row) => row.cells[column].dataset.value !== undefined);
      const key = (row) => (numbers ? Number(row.cells[column].dataset.value) : row.cells[column].textContent);
      const before = head.getAttribute("aria-sort");
      const first = numbers ? "descending" : "ascending";
      const other = numbers ? "ascending" : "descending";
      const order = before === first ? other : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      rows.sort((a, b) => sign * (numbers ? key(a) - key(b) : key(a).localeCompare(key(b), "en", { numeric: true })));
      table.tBodies[0].append(...rows);
    });
  });
}
