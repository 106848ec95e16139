"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const EXTREMES = 5;
  const LISTED = 40;

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    return filled(element, attributes, children);
  }
  function draw(tag, attributes = {}, ...children) {
    return filled(document.createElementNS(SVG, tag), attributes, children);
  }
  function filled(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null && child !== ""));
    return element;
  }
  function shown(value) {
    if (value === null) return "–";
    const size = Math.abs(value);
    const text = size >= 1000 ? size.toFixed(1) : size >= 10 ? size.toFixed(2) : size.toFixed(4);
    return (value < 0 ? "−" : "") + text;
  }
  function signed(value) {
    return (value > 0 ? "+" : "") + shown(value);
  }
  function shortened(text, length) {
    return text.length > length ? text.slice(0, length - 1) + "…" : text;
  }

  // tables: a click on a heading sorts, a second one turns the order round; empty cells stay last
  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("number");
        const before = head.getAttribute("aria-sort");
        const falling = before ? before === "ascending" : numeric;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const rows = [...table.tBodies[0].rows].sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
          return falling ? -order : order;
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  const SHAPES = {
    better: (r) => `M0,${-1.15 * r}L${r},${0.75 * r}L${-r},${0.75 * r}Z`,
    worse: (r) => `M0,${1.15 * r}L${r},${-0.75 * r}L${-r},${-0.75 * r}Z`,
    equal: (r) => `M${-0.85 * r},0a${0.85 * r},${0.85 * r} 0 1,0 ${1.7 * r},0a${0.85 * r},${0.85 * r} 0 1,0 ${-1.7 * r},0Z`,
  };
  const SIDE = 460, LEFT = 54, TOP = 12, INNER = 388;

  function ticks(low, high) {
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
    return { found, digits: Math.max(0, Math.ceil(-Math.log10(step) - 1e-9) + (step / power === 2.5 ? 1 : 0)) };
  }

  class Explorer {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(root.querySelector("script").textContent);
      const part = (name) => root.querySelector(`[data-part=${name}]`);
      for (const name of ["measure", "x", "y", "swap", "plot", "tip", "tally", "detail", "wins", "losses", "wintitle", "losstitle", "better", "worse"]) this[name] = part(name);
      const option = (name, i) => make("option", { value: i }, name);
      this.measure.append(...this.data.measures.map(option));
      this.x.append(...this.data.systems.map(option));
      this.y.append(...this.data.systems.map(option));
      this.x.value = this.data.baseline;
      this.y.value = this.data.baseline === 0 ? 1 : 0;
      for (const select of [this.measure, this.x, this.y]) select.addEventListener("change", () => this.update());
      this.swap.addEventListener("click", () => {
        [this.x.value, this.y.value] = [this.y.value, this.x.value];
        this.update();
      });
      this.plot.addEventListener("keydown", (event) => this.walk(event));
      this.update();
      this.detail.setAttribute("aria-live", "polite"); // from now on it changes because the reader asked
    }

    name(select) { return this.data.systems[Number(select.value)]; }
    title(i) { return this.data.texts[i] || this.data.ids[i]; }
    // how much better the second system is: above 0 for a gain, also for errors
    gain(row) { return this.falling ? row.x - row.y : row.y - row.x; }
    kind(row) { return this.gain(row) > 1e-9 ? "better" : this.gain(row) < -1e-9 ? "worse" : "equal"; }

    update() {
      const m = Number(this.measure.value);
      this.falling = this.data.smaller[m];
      const [xs, ys] = [this.x, this.y].map((select) => this.data.values[m][Number(select.value)]);
      this.rows = xs.map((x, i) => ({ i, x, y: ys[i] })).filter((row) => row.x !== null && row.y !== null);
      this.rows.sort((a, b) => this.gain(b) - this.gain(a));
      this.detail.replaceChildren();
      this.tip.hidden = true;
      this.scatter();
      this.count();
      this.extremes();
      if (this.points.length) this.open(this.rows[0], [this.rows[0]]); // the biggest win
    }

    scatter() {
      const values = this.rows.flatMap((row) => [row.x, row.y]);
      let low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
      if (!values.length || (low >= 0 && high <= 1)) [low, high] = [0, 1];
      if (low === high) [low, high] = [low - 0.5, high + 0.5];
      const margin = (high - low) * 0.03;
      low -= margin;
      high += margin;
      const at = (value) => ((value - low) / (high - low)) * INNER;
      const place = (x, y) => [LEFT + at(x), TOP + INNER - at(y)];
      const marks = this.axes(low, high, at);
      const groups = new Map();
      for (const row of this.rows) {
        const [px, py] = place(row.x, row.y);
        const key = `${Math.round(px / 4)},${Math.round(py / 4)},${this.kind(row)}`;
        if (!groups.has(key)) groups.set(key, { px, py, rows: [] });
        groups.get(key).rows.push(row);
      }
      this.points = [...groups.values()].map((group) => this.point(group));
      if (this.points.length) this.points[0].setAttribute("tabindex", "0");
      this.plot.replaceChildren(...marks, ...[...this.points].sort((a, b) => b.group.rows.length - a.group.rows.length));
      this.root.dataset.points = this.points.length;
      this.root.dataset.queries = this.rows.length;
    }

    axes(low, high, at) {
      const bottom = TOP + INNER, right = LEFT + INNER;
      const { found, digits } = ticks(low, high);
      const marks = found.flatMap((value) => {
        const text = value.toFixed(digits).replace("-", "−");
        const [x, y] = [LEFT + at(value), bottom - at(value)];
        return [
          draw("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: bottom }),
          draw("line", { class: "grid", x1: LEFT, x2: right, y1: y, y2: y }),
          draw("text", { x, y: bottom + 16, "text-anchor": "middle" }, text),
          draw("text", { x: LEFT - 7, y: y + 4, "text-anchor": "end" }, text),
        ];
      });
      const across = shortened(this.name(this.x), 54), up = shortened(this.name(this.y), 54);
      return [
        ...marks,
        draw("line", { class: "diagonal", x1: LEFT, y1: bottom, x2: right, y2: TOP }),
        draw("text", { class: "title", x: LEFT + INNER / 2, y: bottom + 38, "text-anchor": "middle" }, across),
        draw("text", { class: "title", x: 0, y: 0, transform: `translate(12 ${TOP + INNER / 2}) rotate(-90)`, "text-anchor": "middle" }, up),
      ];
    }

    point(group) {
      const { rows, px, py } = group;
      const kind = this.kind(rows[0]);
      const size = Math.min(13, 4.2 * Math.sqrt(1 + Math.log2(rows.length)));
      const more = rows.length > 1 ? ` and ${rows.length - 1} more queries here` : "";
      const label = `${this.title(rows[0].i)}${more}: ${shown(rows[0].x)} to ${shown(rows[0].y)}`;
      const path = draw("path", { class: `point ${kind}`, d: SHAPES[kind](size), transform: `translate(${px.toFixed(1)} ${py.toFixed(1)})`, tabindex: "-1", role: "button", "aria-label": label });
      path.group = group;
      path.addEventListener("pointerenter", () => this.hover(path));
      path.addEventListener("focus", () => this.hover(path));
      path.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      path.addEventListener("blur", () => { this.tip.hidden = true; });
      path.addEventListener("click", () => this.choose(path));
      return path;
    }

    hover(path) {
      const { rows, px, py } = path.group;
      const [first] = rows;
      const more = rows.length > 1 ? `, and ${rows.length - 1} more here` : "";
      this.tip.replaceChildren(make("b", {}, this.title(first.i)), make("br"), `${shown(first.x)} → ${shown(first.y)} (${signed(first.y - first.x)})${more}`);
      this.tip.hidden = false;
      const scale = this.plot.clientWidth / SIDE;
      const left = Math.min(px * scale + 12, this.plot.clientWidth - this.tip.offsetWidth);
      this.tip.style.left = `${Math.max(0, left)}px`;
      this.tip.style.top = py * scale > 90 ? `${py * scale - this.tip.offsetHeight - 12}px` : `${py * scale + 14}px`;
    }

    walk(event) {
      const at = this.points.indexOf(document.activeElement);
      if (at < 0) return;
      const last = this.points.length - 1;
      const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") this.tip.hidden = true;
      if (event.key === "Enter" || event.key === " ") this.choose(this.points[at]);
      else if (next === undefined) return;
      else {
        const goal = this.points[Math.max(0, Math.min(last, next))];
        this.points[at].setAttribute("tabindex", "-1");
        goal.setAttribute("tabindex", "0");
        goal.focus();
      }
      event.preventDefault();
    }

    choose(path) {
      this.open(path.group.rows[0], path.group.rows);
      this.detail.scrollIntoView({ block: "nearest" });
    }

    // a row's texts below the picture, its mark and its place among wins and losses told apart
    open(row, rows) {
      for (const point of this.points) point.classList.toggle("chosen", point.group.rows.includes(row));
      for (const button of this.root.querySelectorAll(".cases button")) button.setAttribute("aria-current", button.row === row);
      const children = this.told(row);
      if (rows.length > 1) {
        const buttons = rows.slice(0, LISTED).map((other) => {
          const button = make("button", { type: "button" }, this.title(other.i));
          button.addEventListener("click", () => this.open(other, rows));
          return make("li", {}, button);
        });
        const rest = rows.length > LISTED ? ` (the first ${LISTED})` : "";
        children.push(make("h4", {}, `${rows.length} queries at this place${rest}`), make("ul", { class: "others" }, ...buttons));
      }
      const head = make("p", { class: "query" }, this.data.texts[row.i] || "", " ", make("span", { class: "id" }, this.data.ids[row.i]));
      this.detail.replaceChildren(head, ...children);
    }

    told(row) {
      const { data } = this;
      const [x, y] = [Number(this.x.value), Number(this.y.value)];
      const body = data.measures.map((measure, m) => {
        const [a, b] = [data.values[m][x][row.i], data.values[m][y][row.i]];
        const difference = a === null || b === null ? null : b - a;
        const kind = !difference ? "" : difference > 0 === !data.smaller[m] ? "better" : "worse";
        const delta = make("span", { class: `delta ${kind}` }, difference === null ? "" : signed(difference));
        return make("tr", {}, make("th", { scope: "row" }, measure), make("td", { class: "number" }, shown(a)), make("td", { class: "number" }, shown(b)), make("td", { class: "number" }, delta));
      });
      const names = ["measure", data.systems[x], data.systems[y], "difference"];
      const head = names.map((name, i) => make("th", { scope: "col", class: i ? "number" : "" }, name));
      const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
      const children = [make("div", { class: "wide" }, table)];
      const ranked = data.rankings[row.i];
      if (ranked) children.push(make("div", { class: "lists" }, this.list(ranked, x, y), this.list(ranked, y, x)));
      else if (data.documents.length) children.push(make("p", { class: "small" }, "The documents of this query are not kept in the page."));
      return children;
    }

    list(ranked, own, other) {
      const { data } = this;
      const [mine, theirs] = [ranked[own] || [], ranked[other] || []];
      const items = mine.map(([number, score, label], rank) => {
        const [id, text] = data.documents[number];
        const there = theirs.findIndex((entry) => entry[0] === number);
        const moved = there < 0 ? `below ${theirs.length} there` : there === rank ? "same rank there" : `rank ${there + 1} there`;
        const chip = make("span", { class: "chip" }, label === null ? "no label" : `label ${label}`);
        const about = make("span", { class: "id" }, `${id} · score ${shown(score)} · ${moved}`);
        const where = make("span", {}, `${rank + 1}. `);
        return make("li", { class: label > 0 ? "relevant" : "" }, where, chip, about, text ? make("p", {}, text) : null);
      });
      const nothing = mine.length ? null : make("p", { class: "small" }, "no documents");
      return make("div", {}, make("h5", { class: "name" }, data.systems[own]), nothing, make("ol", {}, ...items));
    }

    count() {
      const counts = { better: 0, worse: 0, equal: 0 };
      for (const row of this.rows) counts[this.kind(row)] += 1;
      const name = make("span", { class: "name" }, this.name(this.y));
      this.tally.replaceChildren(name, ` is better on ${counts.better}, equal on ${counts.equal} and worse on ${counts.worse} of ${this.rows.length} queries.`);
      const than = this.falling ? ["below", "above"] : ["above", "below"];
      this.better.textContent = `better (${than[0]} the diagonal)`;
      this.worse.textContent = `worse (${than[1]} the diagonal)`;
    }

    extremes() {
      const wins = this.rows.filter((row) => this.kind(row) === "better").slice(0, EXTREMES);
      const losses = this.rows.filter((row) => this.kind(row) === "worse").slice(-EXTREMES).reverse();
      const name = shortened(this.name(this.y), 60);
      this.wintitle.textContent = `Biggest wins of ${name}`;
      this.losstitle.textContent = `Biggest losses of ${name}`;
      this.wins.replaceChildren(...this.cases(wins));
      this.losses.replaceChildren(...this.cases(losses));
    }

    cases(rows) {
      if (!rows.length) return [make("li", { class: "small" }, "none")];
      return rows.map((row) => {
        const difference = make("span", { class: `delta ${this.kind(row)}` }, signed(row.y - row.x));
        const button = make("button", { type: "button" }, difference, make("span", {}, this.title(row.i)));
        button.row = row;
        button.addEventListener("click", () => {
          this.open(row, [row]);
          this.detail.scrollIntoView({ block: "nearest" });
        });
        return make("li", {}, button);
      });
    }
  }

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll(".explorer").forEach((root) => new Explorer(root));
  document.documentElement.dataset.ready = "yes";
})();
