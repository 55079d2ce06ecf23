/* fs.c - dgamnative.fs: what files and their contents need beyond LuaFileSystem.
 *
 *   sha256(text)        64 hexadecimal digits
 *   sha256_file(path)   the same of a file's contents
 *   write(path, text)   replaces the file as a whole: temporary name, fsync, rename, fsync of the folder
 *   check(path)         an error if no file can be written there
 *   clean(folder)       removes the temporary files in it that no process writes any more
 * (core/store/file.h)
 */
#include "lua/dgl.h"
#include "store/file.h"

static int push_digest(lua_State *L, const unsigned char digest[32]) {
  char text[65];
  dgam_sha256_text(digest, text);
  lua_pushlstring(L, text, 64);
  return 1;
}

static int fs_sha256(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  unsigned char digest[32];
  dgl_check(L, dgam_sha256(text, n, digest));
  return push_digest(L, digest);
}

static int fs_sha256_file(lua_State *L) {
  unsigned char digest[32];
  dgl_check_file(L, dgam_sha256_file(dgl_checkname(L, 1, "the path"), digest));
  return push_digest(L, digest);
}

static int fs_write(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  dgl_check_file(L, dgam_file_write(dgl_checkname(L, 1, "the path"), text, n));
  return 0;
}

static int fs_check(lua_State *L) {
  dgam_output out;
  dgl_check_file(L, dgam_output_begin(&out, dgl_checkname(L, 1, "the path")));
  dgam_output_abort(&out);
  return 0;
}

static int fs_clean(lua_State *L) {
  dgam_output_clean(dgl_checkname(L, 1, "the path"));
  return 0;
}

static const luaL_Reg functions[] = {{"sha256", fs_sha256}, {"sha256_file", fs_sha256_file}, {"write", fs_write},
                                     {"check", fs_check},   {"clean", fs_clean},             {NULL, NULL}};

DGL_EXPORT int luaopen_dgamnative_fs(lua_State *L);
int luaopen_dgamnative_fs(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
