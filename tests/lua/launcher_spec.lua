-- The launcher in the root, tried on a small project of its own in a folder whose name has a space.
local support = require "support"
local SOURCE = [[
#include <stdio.h>
int main(int argc, char **argv) {
  printf("%s", VERSION);
  for (int i = 1; i < argc; i++) printf("|%s", argv[i]);
  putchar('\n');
  return argc > 1 && argv[1][0] == '7' ? 7 : 0;
}
]]

local CMAKE = [[
cmake_minimum_required(VERSION 3.25)
project(small LANGUAGES C)
add_executable(dgamlua core/main.c)
add_custom_target(products DEPENDS dgamlua)
add_executable(a_test EXCLUDE_FROM_ALL tests/c/a_test.c)
add_custom_target(tests DEPENDS a_test)
]]

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local launcher = dgamlua.root .. "/dgamlua"
local exists = io.open(launcher, "r")
if not exists then
  pending "the launcher is not part of an installed tree"
  return
end
exists:close()

describe("launcher", function()
  local folder, root

  local function write(name, text)
    local f = assert(io.open(root .. "/" .. name, "w"))
    f:write(text)
    f:close()
  end

  --- Runs a command in `folder` with `root` in $root. Returns standard output, standard error, status.
  local function sh(command, environment)
    local out, err = folder .. "/out", folder .. "/err"
    local pipe = io.popen(("cd %s && env -u CI root=%s DGAMLUA_NO_APT=1 %s sh -c %s > %s 2> %s < /dev/null"):format(quote(folder),
      quote(root), environment or "", quote(command), quote(out), quote(err)))
    local _, _, status = pipe:close()
    local function slurp(path)
      local f = assert(io.open(path, "r"))
      local text = f:read("a")
      f:close()
      return text
    end
    return slurp(out), slurp(err), status or 0
  end

  --- A folder of stand-ins for system programs: name -> shell script.
  local function stand_ins(programs)
    assert(os.execute("mkdir -p " .. quote(folder .. "/bin")))
    for name, text in pairs(programs) do
      local path = folder .. "/bin/" .. name
      local f = assert(io.open(path, "w"))
      f:write("#!/bin/sh\n", text, "\n")
      f:close()
      assert(os.execute("chmod +x " .. quote(path)))
    end
    return ("DGAMLUA_NO_APT= PATH=%s"):format(quote(folder .. "/bin:" .. os.getenv("PATH")))
  end

  setup(function()
    folder = support.folder()
    root = folder .. "/a project"
    assert(os.execute(("mkdir -p %s/core %s/packaging %s/tests/c && cp %s %s/"):format(quote(root), quote(root), quote(root),
      quote(launcher), quote(root))))
    write("packaging/apt.txt", "# names\nbuild-essential  compilers\nno-such-package  for the test\n")
    write("core/main.c", '#define VERSION "one"\n' .. SOURCE)
    write("tests/c/a_test.c", "int main(void) { return 0; }\n")
    write("CMakeLists.txt", CMAKE)
  end)
  teardown(function() support.remove(folder) end)

  it("builds at first use, hands on arguments and status, and keeps standard output clean", function()
    local out, err, status = sh [["$root/dgamlua" 'a b' "" '*']]
    assert.equal("one|a b||*\n", out)
    assert.truthy(err:find("building", 1, true))
    assert.equal(0, status)
    out, err, status = sh [["$root/dgamlua" 7]]
    assert.equal("one|7\n", out)
    assert.equal("", err)
    assert.equal(7, status)
  end)

  it("works from any folder, through links, and by a relative name", function()
    assert.equal("one\n", (sh [[ln -s "$root/dgamlua" first && ln -s first second && ./second]]))
    assert.equal("one\n", (sh [[cd "$root" && sh dgamlua]]))
    assert.equal("one\n", (sh [[cd "$root/core" && ../dgamlua]]))
    assert.equal("one\n", (sh [[cd / && PATH="$root:$PATH" dgamlua]]))
  end)

  it("rebuilds what changed, and shows what the compiler says", function()
    write("core/main.c", '#define VERSION "two"\n' .. SOURCE)
    assert.equal("two\n", (sh [["$root/dgamlua"]]))
    write("core/main.c", "int main(void) { return nonsense; }\n")
    for _ = 1, 2 do
      local out, err, status = sh [["$root/dgamlua"]]
      assert.equal("", out)
      assert.truthy(err:find("nonsense", 1, true))
      assert.equal(1, status)
    end
    write("CMakeLists.txt", "message(FATAL_ERROR broken)\n")
    local _, err, status = sh [["$root/dgamlua"]]
    assert.truthy(err:find("broken", 1, true))
    assert.equal(1, status)
    write("CMakeLists.txt", CMAKE)
    write("core/main.c", '#define VERSION "three"\n' .. SOURCE)
    assert.equal("three\n", (sh [["$root/dgamlua"]]))
  end)

  it("builds tests when they are to be run, and only then", function()
    local function there() return (sh [[ls "$root/build/a_test" 2> /dev/null || echo none]]) end
    assert.equal("none\n", there())
    local out, err = sh [["$root/dgamlua" test x]]
    assert.equal("three|test|x\n", out)
    assert.truthy(err:find("building", 1, true))
    assert.not_equal("none\n", there())
    assert.equal("", select(2, sh [["$root/dgamlua" test x; "$root/dgamlua"]]))
    write("tests/c/a_test.c", "int main(void) { return nonsense; }\n")
    assert.equal("", select(2, sh [["$root/dgamlua"]])) -- who runs a script does not wait for tests
    out, err = sh [["$root/dgamlua" test]]
    assert.equal("", out)
    assert.truthy(err:find("nonsense", 1, true))
    write("tests/c/a_test.c", "int main(void) { return 0; }\n")
    write("core/main.c", '#define VERSION "three"\n' .. SOURCE)
    assert.truthy(select(2, sh [["$root/dgamlua"]]):find("building", 1, true))
    assert.truthy(select(2, sh [["$root/dgamlua" test]]):find("building", 1, true)) -- the program changed after they were built
    assert.equal("", select(2, sh [["$root/dgamlua"; "$root/dgamlua" test]]))
  end)

  it("starts from scratch with other options for the compiler", function()
    local _, err = sh([["$root/dgamlua" && "$root/dgamlua"]], "CFLAGS=-DOTHER")
    assert.equal(1, select(2, err:gsub("configuring", "")))
    assert.truthy(select(2, sh [["$root/dgamlua"]]):find("configuring", 1, true))
  end)

  it("says what DGAMLUA_NO_APT may be", function()
    write("core/main.c", '#define VERSION "three"\n' .. SOURCE)
    local out, err, status = sh([["$root/dgamlua"]], "DGAMLUA_NO_APT=yes")
    assert.equal("", out)
    assert.truthy(err:find("DGAMLUA_NO_APT is 'yes', expected 1", 1, true), err)
    assert.equal(1, status)
  end)

  it("builds once when several start together", function()
    write("core/main.c", '#define VERSION "four"\n' .. SOURCE)
    local out, err, status = sh [["$root/dgamlua" & "$root/dgamlua" & "$root/dgamlua" & wait]]
    assert.equal("four\nfour\nfour\n", out)
    assert.equal(0, status)
    assert.equal(1, select(2, err:gsub("dgamlua: building", "")))
  end)

  it("goes on after a build that was cut off", function()
    write("core/main.c", '#define VERSION "five"\n' .. SOURCE)
    sh([["$root/dgamlua"]], stand_ins { ninja = "kill -9 $PPID", ["apt-get"] = "exit 1", ["dpkg-query"] = "exit 1" }
      :gsub("DGAMLUA_NO_APT=", "DGAMLUA_NO_APT=1"))
    assert.equal("five\n", (sh [["$root/dgamlua"]]))
    sh [[rm "$root/build/build.ninja" "$root/build/.stamp-products"]]
    assert.equal("five\n", (sh [["$root/dgamlua"]]))
  end)

  it("starts over in another place", function()
    local out, err = sh [[mv "$root" "$root 2" && "$root 2/dgamlua" x; mv "$root 2" "$root"]]
    assert.equal("five|x\n", out)
    assert.truthy(err:find("configuring", 1, true))
    assert.equal("five\n", (sh [["$root/dgamlua"]]))
  end)

  describe("with packages missing", function()
    -- dpkg-query knows what is in `installed`; apt-get notes what it was asked and installs.
    local function system(uid)
      os.remove(folder .. "/installed")
      os.remove(folder .. "/asked")
      sh [[echo ' installed:build-essential ' > installed; touch "$root/packaging/apt.txt"]]
      return stand_ins {
        ninja = 'exec "$(PATH=${PATH#*:}; command -v ninja)" "$@"',
        id = "echo " .. uid,
        ["dpkg-query"] = ("cat %s"):format(quote(folder .. "/installed")),
        ["apt-get"] = ('echo "$@" >> %s; echo " installed:no-such-package " >> %s'):format(quote(folder .. "/asked"),
          quote(folder .. "/installed")),
      }
    end
    local asked = [[cat asked 2>/dev/null || echo nothing]]

    it("says the command and stops without root", function()
      local out, err, status = sh([["$root/dgamlua"]], system(1000))
      assert.equal("", out)
      assert.truthy(err:find("sudo apt-get install --no-install-recommends no-such-package\n", 1, true))
      assert.equal(1, status)
      assert.equal("nothing\n", (sh(asked)))
    end)

    it("installs them as root, asking nobody when nobody is there", function()
      local out, err = sh([["$root/dgamlua" -y z]], system(0))
      assert.equal("five|z\n", out)
      assert.truthy(err:find("to be installed: no-such-package\n", 1, true))
      assert.truthy(sh(asked):find("install -y --no-install-recommends no-such-package", 1, true))
      assert.equal("five|-y\n", (sh [["$root/dgamlua" -y -y]]))
    end)

    it("stops if apt-get cannot", function()
      local environment = system(0)
      stand_ins { ["apt-get"] = "echo unable to locate >&2; exit 100" }
      local out, err, status = sh([["$root/dgamlua"]], environment)
      assert.equal("", out)
      assert.truthy(err:find("unable to locate", 1, true))
      assert.equal(1, status)
    end)

    it("lists libraries where there is no apt", function()
      local environment = system(0)
      sh [[rm -f "$root/build/dgamlua"; rm bin/apt-get bin/dpkg-query bin/ninja
        for p in sh env cat find touch mkdir rm mv ls ln grep flock id nproc cmake ninja cc c++ gcc as ld ar ranlib readlink sed; do
          q=$(command -v $p) && ln -sf "$q" bin/$p; done]]
      local out, err, status = sh([[PATH="${PATH%%:*}" "$root/dgamlua"]], environment)
      assert.truthy(err:find("oneDNN (2.6 or newer)", 1, true))
      assert.equal("five\n", out)
      assert.equal(0, status)
    end)
  end)
end)
