--- The page that `dgamlua results --html` writes: a chart, a table one can sort and filter, and every trial with its
-- configuration, learning curves and model. One file without anything from outside.
local Table = require "dgam.show.table"
local clean = require("util.text").clean
local sorted_keys = require "util.keys"

local page = {}

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }
local function escape(text) return (clean(text):gsub("[&<>\"']", ESCAPES)) end

local HEAD = [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>dgamlua results</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { --ink: #1d2733; --soft: #667483; --rule: #dde3ea; --accent: #0072b2; --ground: #fff; --tint: #f4f7fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e8ee; --soft: #93a1b0; --rule: #33404e; --accent: #56b4e9; --ground: #151b22; --tint: #1d2630 }
  figure svg { background: #fff; border-radius: 6px }
}
* { box-sizing: border-box }
body { font: 15px/1.45 system-ui, "DejaVu Sans", Verdana, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--ink);
  background: var(--ground) }
h1 { font-size: 1.3rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem } p { margin: .3rem 0; color: var(--soft) }
header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: baseline }
header input { margin-left: auto; font: inherit; padding: .35rem .6rem; border: 1px solid var(--rule); border-radius: 6px; min-width: 14rem;
  background: var(--ground); color: inherit }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .4rem .7rem; text-align: right; white-space: nowrap; font-weight: normal; border-bottom: 1px solid var(--rule) }
thead th { font-weight: 600; border-bottom: 2px solid var(--ink) }
thead th button { all: unset; cursor: pointer } thead th button:focus-visible { outline: 2px solid var(--accent) }
th[aria-sort=ascending] button::after { content: " ▲"; color: var(--accent) }
th[aria-sort=descending] button::after { content: " ▼"; color: var(--accent) }
tbody th, th:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9rem }
tbody tr:hover { background: var(--tint) }
.half, .few { color: var(--soft) } .few { font-size: .85em }
figure { margin: 0 0 1rem } figure svg { max-width: 100%; height: auto }
details { border-bottom: 1px solid var(--rule); padding: .35rem 0 } summary { cursor: pointer }
details dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0 .8rem 1rem }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere } a { color: var(--accent) }
@media (max-width: 40rem) { body { padding: .8rem } header input { margin-left: 0; width: 100% } details dl { grid-template-columns: 1fr }
  dt { margin-top: .3rem } }
</style></head><body>
]]

local SCRIPT = [[
<script>
document.querySelectorAll("table").forEach(table => {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, i) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending" && i > 0 || head.getAttribute("aria-sort") === "ascending";
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => i === 0 ? row.cells[0].textContent : parseFloat(row.cells[i].dataset.value);
    [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b), missing = Number.isNaN(x) - Number.isNaN(y);
      return missing || (i === 0 ? x.localeCompare(y) : x - y) * (down ? -1 : 1);
    }).forEach(row => body.append(row));
  }));
});
document.getElementById("filter").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(w => w);
  document.querySelectorAll("[data-find]").forEach(e => { e.hidden = !words.every(w => e.dataset.find.includes(w)) });
});
</script>
]]

-- One row of the table: how many seeds are there is said where other rows have more.
local function row_html(t, r, most)
  local row = t.rows[r]
  local parts = { ('<tr data-find="%s"><th scope="row">%s%s</th>'):format(escape((row.experiment .. " " .. row.label):lower()),
    escape(row.label), row.seeds < most and (' <span class="few">%d of %d seeds</span>'):format(row.seeds, most) or "") }
  for _, c in ipairs(t.columns) do
    local mean, half = t:cell(r, c)
    local value, shown = mean and ("%.9g"):format(mean) or "", mean and ("%.2f"):format(mean) or "–"
    parts[#parts + 1] = ('<td data-value="%s">%s%s</td>'):format(value, shown,
      mean and half and (' <span class="half">± %.2f</span>'):format(half) or "")
  end
  return table.concat(parts) .. "</tr>\n"
end

local function table_html(t)
  local most = 0
  for _, row in ipairs(t.rows) do most = math.max(most, row.seeds) end
  local parts = { '<div class="wide"><table><thead><tr><th scope="col"><button>variant</button></th>' }
  for _, c in ipairs(t.columns) do parts[#parts + 1] = ('<th scope="col"><button>%s</button></th>'):format(escape(Table.title(c))) end
  parts[#parts + 1] = "</tr></thead>\n<tbody>\n"
  for r in ipairs(t.rows) do parts[#parts + 1] = row_html(t, r, most) end
  parts[#parts + 1] = "</tbody></table></div>\n"
  if t.note then parts[#parts + 1] = "<p>" .. escape(t.note) .. "</p>\n" end
  return table.concat(parts)
end

local function show(v)
  if type(v) ~= "table" then return type(v) == "number" and ("%.6g"):format(v) or tostring(v) end
  local parts = {}
  for i, k in ipairs(sorted_keys(v)) do parts[i] = (math.type(k) == "integer" and "" or k .. "=") .. show(v[k]) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function href(path) return (path:gsub("[^%w%-%._~/]", function(c) return ("%%%02X"):format(c:byte()) end)) end

-- A trial: what it was told, what came out, where it is.
local function trial_html(r, base)
  local parts = { ('<details data-find="%s"><summary>%s, seed %s</summary><dl>'):format(escape((r.experiment .. " " .. r.label):lower()),
    escape(r.label), escape(show(r.seed))) }
  local function field(name, value, link)
    if value == nil or value == "" then return end
    local text = escape(show(value))
    if link then text = ('<a href="%s">%s</a>'):format(escape(href(link)), text) end
    parts[#parts + 1] = ("<dt>%s</dt><dd>%s</dd>"):format(escape(name), text)
  end
  local function beside(path) return path:sub(1, #base + 1) == base .. "/" and path:sub(#base + 2) or path end
  for _, name in ipairs(sorted_keys(r.metrics)) do field(name, r.metrics[name]) end
  field("finished", r.created)
  field("took", r.seconds and ("%.0f s"):format(r.seconds))
  for _, name in ipairs(sorted_keys(r.about or {})) do field(name, r.about[name]) end
  field("model", r.model and beside(r.model), r.model and beside(r.model))
  field("file", beside(r.path), beside(r.path))
  field("configuration", r.config)
  return table.concat(parts) .. "</dl></details>\n"
end

--- The page as text.
-- @param sections list of { experiment =, table = Table whose rows have experiment and seeds, chart = SVG text or nil, trials = records }
-- @param base folder that links start from: where the page will lie
-- @param about one line for the head: how many trials, from where
function page.html(sections, base, about)
  local parts = { HEAD, "<header><h1>dgamlua results</h1><p>", escape(about),
    '</p><input id="filter" type="search" placeholder="filter variants" aria-label="filter variants"></header>\n' }
  local function add(...) for _, text in ipairs { ... } do parts[#parts + 1] = text end end
  for _, s in ipairs(sections) do
    add("<section>\n<h2>", escape(s.experiment), "</h2>\n")
    for _, chart in ipairs(s.charts or {}) do add("<figure>", (chart:gsub("^.-<svg", "<svg")), "</figure>\n") end
    add(table_html(s.table))
    for _, r in ipairs(s.trials) do add(trial_html(r, base)) end
    add "</section>\n"
  end
  add(SCRIPT, "</body></html>\n")
  return table.concat(parts)
end

return page
