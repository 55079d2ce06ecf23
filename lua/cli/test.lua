--- dgamlua test [PATTERN]: runs the test suite.
--
-- Its last line is exactly `N passed, N failed`, with --level `LEVEL: N passed, ...`.
--
-- C tests are the cmocka programs in build/tests; Lua tests are the busted specs tests/lua/*_spec.lua, each run inside a
-- dgamlua of its own, so that one that crashes or hangs fails alone; luacheck over all Lua sources is one more test.
-- A test counts as passed only if its own report says so: what was announced and did not report, failed.
local M = {}

local USAGE = [[
usage: dgamlua test [--level LEVEL] [PATTERN]
  PATTERN         only the files whose name has it in them; if there are none, only the tests whose name has it
  --level LEVEL   as on a CPU that has no more instructions than LEVEL: plain, avx2 or avx512. Without PATTERN only the files
                  whose tests touch kernels

environment:
  DGAMLUA_TEST_TIMEOUT   seconds that one file of tests may take (600)
]]

-- level -> what oneDNN may use there.
local LEVELS = { plain = "SSE41", avx2 = "AVX2", avx512 = "AVX512_CORE" }

--- What the names of files begin with whose tests touch kernels that differ between levels, or oneDNN.
M.KERNELS = { "test_base", "test_headers", "test_light_", "test_nn_", "test_video_augment", "test_video_resize", "augment_spec",
  "doctor_spec", "enhance_spec", "kernels_spec", "light_spec", "models_spec", "nn_spec", "semantics_spec",
  "torch_memory_spec", "torch_values_spec" }

--- Text as one word of a shell command.
local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Runs a shell command. Returns all it printed, its exit status (128 + n after signal n) and the seconds it took.
local function capture(command)
  local start = os.time()
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1", "r"))
  local output = pipe:read "a"
  local _, how, code = pipe:close()
  return output, how == "signal" and 128 + code or code or 0, os.time() - start
end

--- The same for a test program, which gets a limited time. A second result of 124 or 137 means that it ran out.
-- Idle OpenMP threads sleep there: spinning makes many small tests several times slower on a busy machine. Memory is filled
-- with a pattern when it is given out and when it is freed, so that reading it too early or too late does not pass for right.
local function capture_test(command)
  local limit = tonumber(os.getenv("DGAMLUA_TEST_TIMEOUT") or "") or 600
  return capture(('export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0 MALLOC_PERTURB_="${MALLOC_PERTURB_:-85}"; %s '
    .. 'exec timeout --foreground -k 5 %d %s < /dev/null')
    :format(M.level and ("export DGAMLUA_CPU=%s ONEDNN_MAX_CPU_ISA=%s;"):format(M.level, LEVELS[M.level]) or "", limit, command))
end

--- What an exit status tells, for a person.
local function ending(code)
  if code == 124 or code == 137 then return "ran out of time" end
  if code > 128 then return ("was killed by signal %d"):format(code - 128) end
  return ("ended with status %d"):format(code)
end

--- Sorted paths that match a shell pattern; `folder` is taken literally.
local function glob(folder, pattern)
  local list = {}
  for path in capture(("cd %s 2>/dev/null && ls -1d %s 2>/dev/null"):format(quote(folder), pattern)):gmatch("[^\n]+") do
    list[#list + 1] = folder .. "/" .. path
  end
  return list
end

local function file_name(path) return path:match("([^/]*)$") end

local function stem(path) return (file_name(path):gsub("%.lua$", "")) end

--- Those files whose own name, without its folders, has `wanted` in it.
local function keep(paths, wanted)
  local kept = {}
  for _, path in ipairs(paths) do
    if file_name(path):find(wanted, 1, true) then kept[#kept + 1] = path end
  end
  return kept
end

--- Whether the name of a file says that its tests touch kernels.
function M.touches_kernels(path)
  for _, beginning in ipairs(M.KERNELS) do
    if file_name(path):sub(1, #beginning) == beginning then return true end
  end
  return false
end

local function touching_kernels(paths)
  local kept = {}
  for _, path in ipairs(paths) do
    if M.touches_kernels(path) then kept[#kept + 1] = path end
  end
  return kept
end

local function contents(path)
  local f <close> = io.open(path, "r")
  return f and f:read "a"
end

--- The names of a C program's tests, as its source has them; nil without a source.
function M.names_in_c(source)
  local names = {}
  for name in source:gmatch "cmocka_unit_test[%w_]*%(%s*([%w_]+)" do names[#names + 1] = name end
  return names
end

--- The names of a spec's tests, with those of the groups that they stand in, as far as they are written out: of a name that is put
-- together when the spec runs, the first text. Groups are told by their indentation.
function M.names_in_spec(source)
  local names, groups = {}, {}
  for line in source:gmatch "[^\n]+" do
    local indent, kind, rest = line:match "^(%s*)(%l+)%s*%(?%s*(.*)$"
    if kind == "describe" or kind == "it" or kind == "pending" then
      local text = rest:match '^%(*"([^"]*)"' or rest:match "^%(*'([^']*)'" or rest:match "^%(*%[%[(.-)%]%]" or ""
      while groups[1] and groups[#groups].indent >= #indent do table.remove(groups) end
      local full = {}
      for i, g in ipairs(groups) do full[i] = g.text end
      full[#full + 1] = text
      names[#names + 1] = table.concat(full, " ")
      if kind == "describe" then groups[#groups + 1] = { indent = #indent, text = text } end
    end
  end
  return names
end

-- Those of `paths` in which a test's name has `wanted` in it. source(path) gives the text that names are looked for in.
local function having(paths, wanted, source, names)
  local kept = {}
  for _, path in ipairs(paths) do
    local text = source(path)
    for _, name in ipairs(text and names(text) or {}) do
      if name:find(wanted, 1, true) then
        kept[#kept + 1] = path
        break
      end
    end
  end
  return kept
end

-- A result is { name =, passed = count, failed = { {name =, why =} ... }, pending = { names }, seconds = }.

--- Runs one cmocka program and reads its report.
-- @tparam string path the program
-- @tparam ?string wanted count only tests whose name has this in it
-- @treturn table result
function M.run_c(path, wanted)
  local output, code, seconds = capture_test(quote(path))
  return M.read_cmocka(stem(path), output, code, seconds, wanted)
end

local VERDICTS = { OK = true, FAILED = true, ERROR = true, SKIPPED = true } -- cmocka's

--- The result in what a cmocka program printed, and its exit status. What a test printed before it failed is its `why`.
function M.read_cmocka(name, output, code, seconds, wanted)
  local result = { name = name, passed = 0, failed = {}, pending = {}, seconds = seconds }
  local function counts(test) return not wanted or test:find(wanted, 1, true) end
  local announced, started, current, said = 0, 0, nil, {}
  local function fail(test, why)
    if counts(test) then result.failed[#result.failed + 1] = { name = test, why = why } end
  end
  local reported = 0
  for line in output:gmatch("[^\n]*") do
    -- A test's own output may lack a final newline, so cmocka's mark can stand anywhere in a line.
    local mark, rest = line:match("%[ *(%u+) *%] ([%w_%-%. ]+)")
    local count = line:match("%[==========%].-Running (%d+) test")
    if count then announced = announced + tonumber(count) end
    if mark == "RUN" then
      if current then fail(current, table.concat(said, "\n")) end
      current, said = rest, {}
      started = started + 1
    elseif current and rest == current and VERDICTS[mark] then
      if mark == "OK" then
        if counts(current) then result.passed = result.passed + 1 end
      elseif mark == "SKIPPED" then
        if counts(current) then result.pending[#result.pending + 1] = current end
      else
        fail(current, table.concat(said, "\n"))
        reported = reported + 1
      end
      current = nil
    elseif current then
      said[#said + 1] = line
    end
  end
  if current then
    fail(current, table.concat(said, "\n") .. "\nthe program " .. ending(code))
  elseif code ~= 0 and reported == 0 then
    fail(result.name, ("the program %s:\n%s"):format(ending(code), output:sub(-4000)))
  end
  for _ = started + 1, announced do
    if not wanted then fail(result.name, "announced and never run") end
  end
  if announced == 0 and code == 0 then fail(result.name, "no test in it") end
  return result
end

-- The lines by which a spec's process reports to this one; they can't occur in a test's own output by accident.
local MARK = "\1dgamlua test\1"

--- One spec in this process: `dgamlua test --spec FILE [PATTERN]`. Reports a line per test.
local function run_spec_here(path, wanted)
  package.path = M.root .. "/tests/lua/?.lua;" .. package.path
  local busted = require("busted.core")()
  require("busted")(busted)
  local function full_name(element)
    local names = {}
    while element and element.descriptor ~= "file" and (element.name or element.descriptor) do
      table.insert(names, 1, element.name or element.descriptor)
      element = busted.context.parent(element)
    end
    return table.concat(names, " ")
  end
  local function report(what, name, why)
    io.stdout:write("\n", MARK, what, "\1", name, "\1", (tostring(why or ""):gsub("\1", "")), "\1end\n")
    io.stdout:flush()
  end
  local why = {}
  local function failed(element, _, message, trace)
    local text = type(message) == "string" and message or require("pl.pretty").write(message or "no message")
    local place = trace and trace.short_src and ("%s:%s: "):format(trace.short_src, trace.currentline or "?") or ""
    if place ~= "" and text:find(place, 1, true) then place = "" end
    text = place .. text
    if element.descriptor == "it" then
      why[element] = (why[element] and why[element] .. "\n" or "") .. text
    else
      report("failed", full_name(element) .. " (" .. tostring(element.descriptor) .. ")", text)
    end
    return nil, true
  end
  busted.subscribe({ "failure" }, failed)
  busted.subscribe({ "error" }, failed)
  busted.subscribe({ "pending" }, function(element, _, message)
    why[element] = type(message) == "string" and message or nil
    return nil, true
  end)
  busted.subscribe({ "test", "start" }, function(element)
    report("start", full_name(element))
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(element, _, status)
    report(status == "success" and "passed" or status == "pending" and "pending" or "failed", full_name(element), why[element])
    return nil, true
  end)
  if wanted then
    require("busted.modules.filter_loader")()(busted, {
      filter = { (wanted:gsub("%W", "%%%0")) }, name = {}, filterOut = {}, tags = {}, excludeTags = {},
    })
  end
  busted.randomseed = 1
  local load_files = require("busted.modules.test_file_loader")(busted, { "lua" })
  load_files({ path }, { "_spec" }, { excludes = {}, verbose = false, recursive = false })
  require("busted.execute")(busted)(1, { sort = false, shuffle = false, seed = 1 })
  busted.publish { "exit" }
  report("finished", "")
  return 0
end

--- Runs one spec in a process of its own and reads its report.
function M.run_spec(path, wanted)
  local output, code, seconds = capture_test(("%s test --spec %s %s"):format(quote(M.executable), quote(path),
    wanted and quote(wanted) or ""))
  return M.read_spec(stem(path), output, code, seconds, wanted)
end

--- The result in what a spec's process printed, and its exit status.
function M.read_spec(name, output, code, seconds, wanted)
  local result = { name = name, passed = 0, failed = {}, pending = {}, seconds = seconds }
  local current, finished
  for what, test, why in output:gmatch(MARK .. "(%a+)\1([^\1]*)\1([^\1]*)\1end\n") do
    if what == "start" then current = test else current = what ~= "failed" and current or nil end
    if what == "passed" then
      result.passed, current = result.passed + 1, nil
    elseif what == "pending" then
      result.pending[#result.pending + 1], current = test .. (why ~= "" and ": " .. why or ""), nil
    elseif what == "failed" then
      result.failed[#result.failed + 1] = { name = test, why = why }
    elseif what == "finished" then
      finished = true
    end
  end
  if not finished or code ~= 0 then
    local printed = output:gsub("\n" .. MARK .. "[^\1]*\1[^\1]*\1[^\1]*\1end\n", "")
    result.failed[#result.failed + 1] = {
      name = current or name,
      why = ("the process %s:\n%s"):format(ending(code), printed:sub(-4000)),
    }
  elseif result.passed + #result.failed + #result.pending == 0 and not wanted then
    result.failed[1] = { name = name, why = "no test in it" }
  end
  return result
end

--- luacheck over every Lua file, as one test; nil if it is not installed.
function M.run_luacheck()
  if capture("command -v luacheck") == "" then return nil end
  local output, code, seconds = capture_test(("sh -c %s"):format(quote(
    ("cd %s && exec luacheck --no-color -q lua bindings tests/lua examples data"):format(quote(M.root)))))
  local failed = code ~= 0 and { { name = "luacheck", why = output } } or {}
  return { name = "luacheck", passed = code == 0 and 1 or 0, failed = failed, pending = {}, seconds = seconds }
end

local function show(result)
  local total = result.passed + #result.failed
  io.stdout:write(("%-4s %-32s %4d of %d%s%s\n"):format(#result.failed == 0 and "ok" or "FAIL", result.name, result.passed,
    total, result.seconds >= 2 and ("  %d s"):format(result.seconds) or "",
    #result.pending > 0 and ("  (%d pending)"):format(#result.pending) or ""))
  for _, name in ipairs(result.pending) do io.stdout:write("     pending: ", name, "\n") end
  for _, f in ipairs(result.failed) do
    io.stdout:write("     failed: ", f.name, "\n")
    for line in f.why:gmatch("[^\n]+") do
      if not line:match("^%s*no f%a+ ") then io.stdout:write("         ", line, "\n") end -- where require looked
    end
  end
  io.stdout:flush()
end

local function stems(...)
  local list = {}
  for _, paths in ipairs { ... } do
    for _, path in ipairs(paths) do list[#list + 1] = stem(path) end
  end
  return list
end

-- What is to be run, of C programs and specs; third, what must be in a test's name, or nil.
local function chosen(programs, specs, pattern)
  if not pattern then
    if not M.level then return programs, specs end
    return touching_kernels(programs), touching_kernels(specs)
  end
  local by_name, specs_by_name = keep(programs, pattern), keep(specs, pattern)
  if #by_name + #specs_by_name > 0 or pattern == "luacheck" then return by_name, specs_by_name end
  local function c_source(program) return contents(("%s/tests/c/%s.c"):format(M.root, stem(program))) end
  return having(programs, pattern, c_source, M.names_in_c), having(specs, pattern, contents, M.names_in_spec), pattern
end

-- The pattern that was asked for, or nil; nil and what is wrong with the arguments. Sets M.level.
local function parse(args)
  local pattern, i = nil, 1
  while args[i] do
    if args[i] == "--level" then
      M.level, i = args[i + 1], i + 1
      if not LEVELS[M.level] then return nil, ("--level expects plain, avx2 or avx512, got '%s'"):format(M.level or "nothing") end
    elseif pattern or args[i]:match "^%-" then
      return nil, ("cannot make sense of '%s'"):format(args[i])
    else
      pattern = args[i]
    end
    i = i + 1
  end
  return pattern
end

--- The command.
-- @tparam {string} args what follows `dgamlua test`
-- @treturn integer exit status: 0 only if something ran and nothing failed
function M.run(args)
  M.root = dgamlua.root
  if args[1] == "--help" or args[1] == "-h" then
    io.stdout:write(USAGE)
    return 0
  elseif args[1] == "--spec" then
    return run_spec_here(args[2], args[3])
  end
  local pattern, wrong = parse(args)
  if wrong then
    io.stderr:write(("dgamlua test: %s\n%s"):format(wrong, USAGE))
    return 1
  end
  M.executable = capture("readlink /proc/$PPID/exe"):gsub("\n$", "")
  local programs = glob(M.executable:match("^(.*)/") .. "/tests", "test_*")
  local specs = glob(M.root .. "/tests/lua", "*_spec.lua")
  if #programs + #specs == 0 then
    io.stderr:write(("dgamlua test: no tests beside %s; they come with the source tree\n"):format(M.executable))
    return 1
  end

  local all = table.concat(stems(programs, specs), " ")
  local wanted
  programs, specs, wanted = chosen(programs, specs, pattern)
  local passed, failed, pending = 0, 0, 0
  local function add(result)
    if not result or (wanted and result.passed + #result.failed + #result.pending == 0) then return end
    show(result)
    passed, failed, pending = passed + result.passed, failed + #result.failed, pending + #result.pending
  end
  for _, path in ipairs(programs) do add(M.run_c(path, wanted)) end
  for _, path in ipairs(specs) do add(M.run_spec(path, wanted)) end
  if not (pattern or M.level) or pattern == "luacheck" then add(M.run_luacheck()) end

  if passed + failed + pending == 0 then
    io.stdout:write(("no test matches '%s': it is in the name of no file and of no test. There are %s\n"):format(pattern, all))
  end
  if pending > 0 then io.stdout:write(("%d pending\n"):format(pending)) end
  io.stdout:write(("%s%d passed, %d failed\n"):format(M.level and M.level .. ": " or "", passed, failed))
  return failed == 0 and passed > 0 and 0 or 1
end

return M
