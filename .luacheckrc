-- luacheck's settings for every Lua file of dgamlua.
std = "lua54"
max_line_length = 140
read_globals = { "dgamlua" }
files["tests/lua"] = { std = "+busted" }
files["bindings/lua/prelude.lua"] = { globals = { "dgamlua", "pcall", "xpcall", "coroutine" } }
