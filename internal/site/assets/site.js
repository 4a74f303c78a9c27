/* made by jetcrate site */
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  // Commands can be copied.
  for (const pre of document.querySelectorAll("pre")) {
    const text = pre.textContent;
    const b = document.createElement("button");
    b.type = "button";
    b.textContent = "Copy";
    b.setAttribute("aria-label", "Copy: " + text);
    b.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        b.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(pre.firstElementChild);
        b.textContent = "Selected";
      }
      setTimeout(() => { b.textContent = "Copy"; }, 1500);
    });
    pre.append(b);
  }

  const region = $("grid");
  if (!region) return;
  const table = region.querySelector("table");
  const [groupRow, columnRow] = table.tHead.rows;
  const groups = [...groupRow.cells].slice(1);
  const columns = [...columnRow.cells];
  const cols = [...table.querySelectorAll("col")].slice(1);
  const lines = [...table.tBodies[0].rows];
  const form = $("filters");

  // Filters. Columns are judged by what their images run on, lines by their names.
  const fits = (th, f) =>
    (!f.l4t || th.dataset.hosts.split(" ").includes(f.l4t)) &&
    (!f.cuda || th.dataset.cuda === f.cuda) &&
    (!f.gpu || !th.dataset.gpu || th.dataset.gpu.split(" ").includes(f.gpu));
  const hasImage = /^[tguf]$/;
  let shownColumns = columns.map(() => true);
  let current = null; // the cell that the Tab key stops at

  function apply() {
    const f = Object.fromEntries(new FormData(form));
    const words = f.q.toLowerCase().split(/\s+/).filter(Boolean);
    const show = columns.map((th) => fits(th, f));
    columns.forEach((th, i) => { th.hidden = cols[i].hidden = !show[i]; });
    let at = 0;
    for (const g of groups) {
      const span = +(g.dataset.span ||= g.colSpan);
      const n = show.slice(at, at + span).filter(Boolean).length;
      at += span;
      g.hidden = n === 0;
      if (n) g.colSpan = n;
    }
    const changed = show.map((s, i) => s !== shownColumns[i] ? i : -1).filter((i) => i >= 0);
    for (const tr of lines) for (const i of changed) tr.cells[i + 1].hidden = !show[i];
    // What is looked for is a target, or else a package that images hold.
    const named = (tr) => words.every((w) => tr.dataset.k.includes(w) || tr.cells[0].textContent.includes(w));
    const holding = (tr) => words.every((w) => tr.dataset.h?.includes(w));
    const inside = words.length > 0 && !lines.some(named) && lines.some(holding);
    let found = 0;
    for (const tr of lines) {
      let ok = inside ? holding(tr) : named(tr);
      if (ok && f.only) ok = show.some((s, i) => s && hasImage.test(tr.cells[i + 1].className));
      tr.hidden = !ok;
      if (ok) found++;
    }
    shownColumns = show;
    const platforms = show.filter(Boolean).length;
    const what = inside ? `no target of this name; ${found} hold it` : `${found} of ${lines.length} targets`;
    $("found").textContent = `${what}, ${platforms} of ${columns.length} platforms`;
    $("none").hidden = found > 0 && platforms > 0;
    region.hidden = !$("none").hidden;
    hide();
    const kept = new URLSearchParams(Object.entries(f).filter(([, v]) => v));
    history.replaceState(null, "", kept.size ? "#" + kept : location.pathname + location.search);
    if (!current || current.hidden || current.parentElement.hidden) roam(null);
  }
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    const field = form.elements[name];
    if (!field) continue;
    if (field.type === "checkbox") field.checked = true;
    else field.value = value;
  }
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (e) => e.preventDefault());
  $("clear").addEventListener("click", () => { form.reset(); apply(); form.elements.q.focus(); });

  // Why a cell is what it is. The notes of a package are loaded when the first
  // of its cells is asked about, by a script element, which a page from a disk
  // may do too.
  const notes = new Map();
  globalThis.jetcrateNotes = (file, all) => notes.get(file)?.done(all);
  function load(file) {
    if (!notes.has(file)) {
      const entry = {};
      entry.ready = new Promise((done) => { entry.done = done; });
      notes.set(file, entry);
      const s = document.createElement("script");
      s.src = "p/" + encodeURIComponent(file) + ".js";
      s.addEventListener("error", () => entry.done({}));
      document.head.append(s);
    }
    return notes.get(file).ready;
  }
  const link = (td) => td.parentElement.cells[0].querySelector("a");
  const fileOf = (td) => decodeURIComponent(link(td).getAttribute("href").replace(/^p\/|\.html$/g, ""));
  const columnOf = (td) => columns[td.cellIndex - 1];
  const platform = (th) => th.title.split("; ")[0];
  async function noteOf(td) {
    return (await load(fileOf(td)))[link(td).textContent]?.[columnOf(td).id];
  }

  const why = $("why");
  let shown = null;
  function hide() {
    why.hidden = true;
    shown?.removeAttribute("aria-describedby");
    shown = null;
  }
  async function show(td) {
    if (!td.className) return hide();
    if (shown !== td) hide();
    shown = td;
    const note = await noteOf(td);
    if (shown !== td || !note) return;
    const p = (text, tag = "p") => { const e = document.createElement(tag); e.textContent = text; return e; };
    const title = p(`${link(td).textContent}: ${note.w}`, "strong");
    why.replaceChildren(title, p(platform(columnOf(td))), ...(note.l || []).map((l) => p(l)));
    if (note.r) why.append(p(note.r, "code"));
    why.hidden = false;
    td.setAttribute("aria-describedby", "why");
    const at = td.getBoundingClientRect(), box = why.getBoundingClientRect();
    why.style.left = Math.max(8, Math.min(at.left, innerWidth - box.width - 8)) + "px";
    why.style.top = (at.bottom + box.height + 8 < innerHeight ? at.bottom + 6 : Math.max(8, at.top - box.height - 6)) + "px";
  }

  // One stop of the Tab key for the whole grid; arrows lead from cell to cell.
  function roam(td) {
    if (current) current.tabIndex = -1;
    current = td || [...table.tBodies[0].rows].find((r) => !r.hidden)?.cells[1 + shownColumns.indexOf(true)] || null;
    if (!current) return;
    current.tabIndex = 0;
    if (td) name(td);
  }
  const words = Object.fromEntries([...document.querySelectorAll(".legend li")].map((li) => [li.firstElementChild.className, li.firstElementChild.nextSibling.data.trim()]));
  function name(td) {
    const version = td.textContent.split(" ")[1] || "";
    td.setAttribute("aria-label", `${link(td).textContent} ${version} on ${platform(columnOf(td))}: ${words[td.className] || "not in the matrix"}`.replace("  ", " "));
  }
  function step(td, rows, cols) {
    let tr = td.parentElement, i = td.cellIndex;
    for (let n = Math.abs(rows); n > 0; n--) {
      let next = tr;
      do next = rows < 0 ? next.previousElementSibling : next.nextElementSibling; while (next?.hidden);
      if (!next) break;
      tr = next;
    }
    for (let n = Math.abs(cols); n > 0; n--) {
      let next = i;
      do next += Math.sign(cols); while (tr.cells[next]?.hidden);
      if (next < 1 || next >= tr.cells.length) break;
      i = next;
    }
    return tr.cells[i];
  }
  table.addEventListener("keydown", (e) => {
    const td = e.target.closest("td");
    if (!td) return;
    const moves = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
      PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -1e4], End: [0, 1e4],
    };
    if (e.key === "Enter" || e.key === " ") {
      open(td);
    } else if (moves[e.key] && !e.altKey && !e.metaKey) {
      const to = step(td, ...moves[e.key]);
      roam(to);
      to.focus();
    } else {
      return;
    }
    e.preventDefault();
  });
  async function open(td) {
    const note = await noteOf(td);
    location.href = link(td).getAttribute("href") + (note ? "#" + note.a : "");
  }
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", region.getAttribute("aria-label"));
  region.removeAttribute("tabindex");
  table.addEventListener("focusin", (e) => { const td = e.target.closest("td"); if (td) { roam(td); show(td); } });
  table.addEventListener("focusout", hide);
  let waiting;
  table.addEventListener("pointerover", (e) => {
    if (e.pointerType === "touch") return;
    clearTimeout(waiting);
    const td = e.target.closest("td");
    if (td) waiting = setTimeout(show, 80, td);
  });
  table.addEventListener("pointerleave", () => { clearTimeout(waiting); if (shown !== document.activeElement) hide(); });
  // The first click, or tap, tells; the second opens the page.
  let again = false;
  table.addEventListener("pointerdown", (e) => { again = e.target.closest("td") === document.activeElement && !why.hidden; });
  table.addEventListener("click", (e) => {
    const td = e.target.closest("td");
    if (!td?.className) return;
    if (again) return open(td);
    roam(td);
    td.focus();
  });
  region.addEventListener("scroll", () => { if (!why.hidden && shown && innerWidth > 640) show(shown); }, { passive: true });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") hide();
    if (e.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      e.preventDefault();
      form.elements.q.focus();
    }
  });
  apply();
  performance.mark("jetcrate-ready");
})();
