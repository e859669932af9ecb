// Sorts a table by the column whose heading is pressed, and lets two sliders
// choose the cheapest setting. The page is whole without it.
"use strict";

function numberOf(text) {
  const found = text.replace(/,/g, "").match(/-?\d+(\.\d+)?(e[+-]?\d+)?/i);
  return found ? Number(found[0]) : NaN;
}

function compareCells(a, b) {
  const x = a.number, y = b.number;
  if (!isNaN(x) && !isNaN(y) && x !== y) return x - y;
  if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
  return a.text < b.text ? -1 : a.text > b.text ? 1 : 0;
}

function sortBy(heading) {
  const column = [...heading.parentNode.children].indexOf(heading);
  const up = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentNode.children)
    other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = heading.closest("table").tBodies[0];
  const cells = [...body.rows].map(row => {
    const text = row.cells[column].textContent;
    return {row, text, number: numberOf(text)};
  });
  cells.sort((a, b) => (up ? 1 : -1) * compareCells(a, b));
  body.append(...cells.map(cell => cell.row));
}

for (const heading of document.querySelectorAll("thead th")) {
  if (heading.closest("table").tBodies[0].rows.length < 2) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  button.addEventListener("click", () => sortBy(heading));
  heading.append(button);
}

const choice = document.getElementById("choice");
if (choice) {
  const settings = JSON.parse(choice.querySelector("script").textContent);
  const sliders = [...choice.querySelectorAll("input")];
  const values = name => settings.map(s => s[name]);
  const steps = 100;
  for (const slider of sliders) {
    const of = values(slider.dataset.limit);
    slider.low = Math.min(...of);
    slider.high = Math.max(...of);
    slider.min = 0;
    slider.max = steps;
    slider.value = slider.dataset.limit === "seconds" ? steps : 0;
    slider.addEventListener("input", choose);
  }
  function limit(slider) {
    const share = slider.value / steps;
    return slider.low + share * (slider.high - slider.low);
  }
  function choose() {
    const [accuracy, seconds] = sliders.map(limit);
    const [accurate, quick] = choice.querySelectorAll("output");
    accurate.textContent = (100 * accuracy).toFixed(1) + " %";
    quick.textContent = seconds.toPrecision(3) + " s";
    // What is shown is rounded; the setting at the end of a slider is within.
    const within = settings.filter(s =>
      s.accuracy >= accuracy - 1e-9 && s.seconds <= seconds + 1e-9);
    within.sort((a, b) => a.joules - b.joules);
    choice.querySelector(".lead").textContent = within.length
      ? `${within[0].name}: ${within[0].cost}, ` +
        `${within[0].seconds.toPrecision(3)} s, ` +
        `${(100 * within[0].accuracy).toFixed(1)} % on the test set.`
      : "No setting keeps both limits.";
  }
  choose();
  choice.hidden = false;
}
