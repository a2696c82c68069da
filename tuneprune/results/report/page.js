"use strict";
(() => {
  const table = document.getElementById("trials-table");
  if (table) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];

    const key = (row, column) => {
      const cell = row.cells[column];
      const text = cell.dataset.sort ?? cell.textContent;
      const number = Number(text);
      return text === "" || Number.isNaN(number) ? text : number;
    };
    const compare = (one, other) => {
      if (typeof one === "number" && typeof other === "number") return one - other;
      return String(one).localeCompare(String(other), "en", { numeric: true });
    };
    const sort = (column) => {
      const head = heads[column];
      const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      const sign = order === "ascending" ? 1 : -1;
      const keyed = rows.map((row, place) => ({ row, place, key: key(row, column) }));
      keyed.sort((a, b) => {
        // What has no value comes last either way.
        if ((a.key === "") !== (b.key === "")) return a.key === "" ? 1 : -1;
        return sign * compare(a.key, b.key) || a.place - b.place;
      });
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      body.append(...keyed.map((one) => one.row));
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(column));
      head.append(button);
    });

    const words = document.getElementById("filter");
    const status = document.getElementById("status");
    const shown = document.getElementById("shown");
    const texts = new Map(rows.map((row) => [row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()]));
    const filter = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        const fits = (!status.value || row.dataset.status === status.value) &&
          wanted.every((word) => texts.get(row).includes(word));
        row.hidden = !fits;
        count += fits;
      }
      shown.textContent = `${count} of ${rows.length} shown`;
    };
    words.addEventListener("input", filter);
    status.addEventListener("change", filter);
    document.getElementById("controls").hidden = false;
    filter();
  }

  const unfold = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const folded = target && target.closest("details");
    if (folded && !folded.open) {
      folded.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", unfold);
  unfold();
})();
