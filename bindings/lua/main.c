/* main.c - the dgamlua executable: a Lua 5.4 that finds its library, and Ctrl-C that works.
 *
 * It links Lua and nothing else, so it starts at once; the core and libtorch come in when a script first requires them.
 * Everything a user can type after `dgamlua` is decided in lua/cli/main.lua.
 *
 * Where things are: in a build tree the executable is ROOT/build*, Lua files are in ROOT/lua; installed, they are
 * PREFIX/bin, PREFIX/share/dgamlua/lua and PREFIX/lib/dgamlua. Scripts see the folder that holds lua/ and data/ as
 * dgamlua.root.
 *
 * Ctrl-C: the handler sets a flag, which long loops of the core poll, and a hook on the running coroutine, which raises
 * the error "interrupted". pcall, xpcall and coroutines pass that error on, so a script cannot swallow it by accident;
 * dgamlua.catch_interrupt(f, ...) is the one place that may, and the way a REPL keeps its state. dgamlua.hold(f, ...) runs f
 * to its end first (if that takes over two seconds, a line says so): a trainer's step is done whole or not at all, and what it
 * did is written down. A second Ctrl-C more than 3 seconds after an unanswered first one ends the process. SIGTERM (kill, a
 * scheduler's time limit) and SIGHUP (the terminal was closed) do the same, so that files that are being written are taken away
 * then too; whichever came, the exit status is 128 + its number.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROOT_KEY "dgam.root"           /* DGL_ROOT of dgl.h */
#define INTERRUPT_KEY "dgam.interrupt" /* DGL_INTERRUPT of dgl.h */
#define RESUMES_KEY "dgam.resumes"     /* DGL_RESUMES */

static int keep_sighup; /* ignored from the start, and so it stays */
static volatile sig_atomic_t interrupted; /* the signal that came, 0: none; cleared by catch_interrupt */
static volatile sig_atomic_t held;        /* how many calls of hold() run */
static volatile sig_atomic_t waiting;     /* the signal that came while one did, or before it */
static volatile sig_atomic_t told;        /* that it waits was said */
static volatile sig_atomic_t resumes;     /* how often the process was stopped and went on */
static lua_State *volatile running;       /* the coroutine that runs now */
static volatile time_t first_signal;

static void raise_interrupt(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (interrupted) luaL_error(L, "interrupted");
}

static void on_interrupt(int sig) {
  time_t now = time(NULL);
  if ((interrupted || waiting) && (told || now - first_signal > 3)) {
    signal(sig, SIG_DFL);
    raise(sig);
  }
  if (!interrupted && !waiting) first_signal = now;
  if (held) {
    if (!waiting) alarm(2);
    waiting = sig;
    return;
  }
  interrupted = sig;
  lua_sethook(running, raise_interrupt, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

/* A signal has waited for two seconds. */
static void on_alarm(int sig) {
  static const char words[] = "\nfinishing what must not be left half done; Ctrl-C again ends at once\n";
  (void)sig;
  if (!waiting) return;
  told = 1;
  if (write(STDERR_FILENO, words, sizeof words - 1) < 0) return;
}

static void on_sigcont(int sig) {
  (void)sig;
  resumes++;
}

/* oneDNN's float32 products use the stack pointer as one more register, and what a signal puts below it would then lie in the
 * middle of the heap. So no thread but the first takes any of our signals, whichever library makes it (this function stands in
 * for the C library's in all of them), and the first one's handlers run on a stack of their own. */
__attribute__((visibility("default"))) int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg) {
  static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!create) *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
  static const int ours[] = {SIGINT, SIGTERM, SIGHUP, SIGCONT, SIGALRM};
  sigset_t block, before;
  sigemptyset(&block);
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) sigaddset(&block, ours[i]);
  pthread_sigmask(SIG_BLOCK, &block, &before);
  int failed = create(thread, attr, f, arg);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed;
}

static void catch_signals(void) {
  static char room[1 << 16];
  sigaltstack(&(stack_t){.ss_sp = room, .ss_size = sizeof room}, NULL);
  struct sigaction sa = {.sa_flags = SA_ONSTACK};
  sa.sa_handler = on_interrupt; /* no SA_RESTART: a read from the terminal ends with EINTR */
  sigaction(SIGINT, &sa, NULL);
  sigaction(SIGTERM, &sa, NULL);
  if (!keep_sighup) sigaction(SIGHUP, &sa, NULL);
  sa.sa_handler = on_sigcont;
  sa.sa_flags |= SA_RESTART;
  sigaction(SIGCONT, &sa, NULL);
  sa.sa_handler = on_alarm;
  sigaction(SIGALRM, &sa, NULL);
  signal(SIGXFSZ, SIG_IGN); /* a file-size limit is a failed write, with a message, not the end of the process */
}

/* dgamlua.catch_signals(): once more, after a library was loaded that may have taken them; what libtorch 2.6 of Debian 13 brings
 * along takes SIGHUP. */
static int lua_catch_signals(lua_State *L) {
  (void)L;
  catch_signals();
  return 0;
}

/* dgamlua.interrupted(): whether Ctrl-C was pressed, or the like, and not yet answered. */
static int lua_interrupted(lua_State *L) {
  lua_pushboolean(L, interrupted != 0);
  return 1;
}

/* clear(): the interrupt has been answered; returns the exit status that tells of it. Only the prelude below calls it. */
static int lua_clear_interrupt(lua_State *L) {
  lua_pushinteger(L, 128 + interrupted);
  interrupted = 0;
  lua_sethook(L, NULL, 0, 0);
  return 1;
}

/* begin_hold(), end_hold(): what comes between them is answered after. Only the prelude below calls them. */
static int lua_begin_hold(lua_State *L) {
  (void)L;
  held++;
  if (interrupted) {
    waiting = interrupted;
    interrupted = 0;
    alarm(2);
  }
  return 0;
}

static int lua_end_hold(lua_State *L) {
  if (--held || !waiting) return 0;
  alarm(0);
  interrupted = waiting;
  waiting = told = 0;
  lua_sethook(L, raise_interrupt, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
  return 0;
}

/* setrunning(co): notes the coroutine that is about to run, returns the one that ran before as a light userdata;
 * setrunning(pointer) restores it. Only the prelude below calls it. */
static int lua_setrunning(lua_State *L) {
  lua_pushlightuserdata(L, running);
  running = lua_isthread(L, 1) ? lua_tothread(L, 1) : lua_touserdata(L, 1);
  return 1;
}

static const char prelude[] =
    "local setrunning, interrupted, clear, begin_hold, end_hold = ...\n"
    "local pcall_, xpcall_, resume_, create_ = pcall, xpcall, coroutine.resume, coroutine.create\n"
    "local error_, select_ = error, select\n"
    "local function pass(ok, ...)\n"
    "  if not ok and interrupted() then error_('interrupted', 0) end\n"
    "  return ok, ...\n"
    "end\n"
    "function pcall(f, ...) return pass(pcall_(f, ...)) end\n"
    "function xpcall(f, handler, ...) return pass(xpcall_(f, handler, ...)) end\n"
    "local function resumed(before, ok, ...)\n"
    "  setrunning(before)\n"
    "  return pass(ok, ...)\n"
    "end\n"
    "function coroutine.resume(co, ...)\n"
    "  if type(co) ~= 'thread' then return resume_(co, ...) end\n"
    "  return resumed(setrunning(co), resume_(co, ...))\n"
    "end\n"
    "local function unwrap(ok, ...)\n"
    "  if not ok then error_((...), 0) end\n"
    "  return ...\n"
    "end\n"
    "function coroutine.wrap(f)\n"
    "  local co = create_(f)\n"
    "  return function(...) return unwrap(coroutine.resume(co, ...)) end\n"
    "end\n"
    "local running, yield_ = coroutine.running, coroutine.yield\n"
    "local holds = setmetatable({}, { __mode = 'k' })\n" /* coroutine -> how many calls of hold run in it */
    "local holding = setmetatable({}, { __close = function()\n"
    "  local co = running()\n"
    "  holds[co] = holds[co] - 1\n"
    "  end_hold()\n"
    "end })\n"
    "local function hold(f, ...)\n"
    "  local co = running()\n"
    "  holds[co] = (holds[co] or 0) + 1\n"
    "  begin_hold()\n"
    "  local _ <close> = holding\n"
    "  return f(...)\n"
    "end\n"
    "function coroutine.yield(...)\n"
    "  if (holds[running()] or 0) > 0 then error_('what dgamlua.hold runs cannot yield', 2) end\n"
    "  return yield_(...)\n"
    "end\n"
    "return hold, function(f, ...)\n" /* catch_interrupt */
    "  local function answered(ok, ...)\n"
    "    if ok or not interrupted() then return ok, ... end\n"
    "    return nil, 'interrupted', clear()\n"
    "  end\n"
    "  return answered(pcall_(f, ...))\n"
    "end\n";

static int is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Finds root (holds lua/ and data/) and libs (holds the modules). Returns 0 if there is no library to be found. */
static int find_library(char root[PATH_MAX], char libs[PATH_MAX]) {
  char exe[PATH_MAX], probe[PATH_MAX + 32];
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (n <= 0) return 0;
  exe[n] = 0;
  char *slash = strrchr(exe, '/');
  if (!slash) return 0;
  *slash = 0; /* the folder of the executable */
  snprintf(libs, PATH_MAX, "%s", exe);
  slash = strrchr(exe, '/');
  if (!slash) return 0;
  *slash = 0; /* its parent */
  snprintf(probe, sizeof probe, "%s/lua/dgam", exe);
  if (is_folder(probe)) {
    snprintf(root, PATH_MAX, "%s", exe);
    return 1;
  }
  snprintf(probe, sizeof probe, "%s/share/dgamlua/lua/dgam", exe);
  if (!is_folder(probe)) return 0;
  if (snprintf(root, PATH_MAX, "%s/share/dgamlua", exe) >= PATH_MAX) return 0;
  return snprintf(libs, PATH_MAX, "%s/lib/dgamlua", exe) < PATH_MAX;
}

static int traceback(lua_State *L) {
  const char *msg = lua_tostring(L, 1);
  if (!msg) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) return 1;
    msg = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  luaL_traceback(L, L, msg, 1);
  return 1;
}

static int run(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  const char *root = lua_tostring(L, 3), *libs = lua_tostring(L, 4);

  luaL_openlibs(L);
  lua_pushlightuserdata(L, (void *)(size_t)&interrupted);
  lua_setfield(L, LUA_REGISTRYINDEX, INTERRUPT_KEY);
  lua_pushlightuserdata(L, (void *)(size_t)&resumes);
  lua_setfield(L, LUA_REGISTRYINDEX, RESUMES_KEY);
  lua_pushstring(L, root);
  lua_setfield(L, LUA_REGISTRYINDEX, ROOT_KEY);

  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s", root, root, lua_tostring(L, -1));
  lua_setfield(L, -3, "path");
  lua_pop(L, 1);
  lua_getfield(L, -1, "cpath");
  lua_pushfstring(L, "%s/?.so;%s", libs, lua_tostring(L, -1));
  lua_setfield(L, -3, "cpath");
  lua_pop(L, 2);

  lua_createtable(L, 0, 6); /* the global `dgamlua`: the program itself */
  lua_pushstring(L, root);
  lua_setfield(L, -2, "root");
  lua_pushliteral(L, DGAM_VERSION);
  lua_setfield(L, -2, "version");
  lua_pushcfunction(L, lua_interrupted);
  lua_setfield(L, -2, "interrupted");
  lua_pushcfunction(L, lua_catch_signals);
  lua_setfield(L, -2, "catch_signals");
  if (luaL_loadbuffer(L, prelude, sizeof prelude - 1, "=prelude") != LUA_OK) return lua_error(L);
  lua_pushcfunction(L, lua_setrunning);
  lua_pushcfunction(L, lua_interrupted);
  lua_pushcfunction(L, lua_clear_interrupt);
  lua_pushcfunction(L, lua_begin_hold);
  lua_pushcfunction(L, lua_end_hold);
  lua_call(L, 5, 2);
  lua_setfield(L, -3, "catch_interrupt");
  lua_setfield(L, -2, "hold");
  lua_setglobal(L, "dgamlua");

  lua_createtable(L, argc, 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_setglobal(L, "arg");

  lua_getglobal(L, "require");
  lua_pushliteral(L, "cli.main");
  lua_call(L, 1, 1);
  lua_getglobal(L, "arg");
  lua_call(L, 1, 1); /* the exit status */
  return 1;
}

int main(int argc, char **argv) {
  char root[PATH_MAX], libs[PATH_MAX];
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("dgamlua " DGAM_VERSION " (" LUA_RELEASE ")");
    return 0;
  }
  if (!find_library(root, libs)) {
    fprintf(stderr, "dgamlua: cannot find its Lua library beside the executable (expected ../lua or ../share/dgamlua)\n");
    return 1;
  }
  lua_State *L = luaL_newstate();
  if (!L) {
    fprintf(stderr, "dgamlua: out of memory\n");
    return 1;
  }
  lua_gc(L, LUA_GCGEN, 0, 0);
  /* How long idle OpenMP threads spin before they sleep, read when libgomp is loaded: a tenth of a millisecond instead of several,
   * after which two programs on one machine hardly get on. */
  if (!getenv("OMP_WAIT_POLICY")) setenv("GOMP_SPINCOUNT", "5000", 0);
  running = L;
  struct sigaction before;
  keep_sighup = sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler == SIG_IGN; /* nohup */
  catch_signals();

  lua_pushcfunction(L, traceback);
  lua_pushcfunction(L, run);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  lua_pushstring(L, root);
  lua_pushstring(L, libs);
  int status = 1;
  if (lua_pcall(L, 4, 1, 1) == LUA_OK)
    status = (int)lua_tointeger(L, -1);
  else
    fprintf(stderr, "dgamlua: %s\n", lua_tostring(L, -1));
  if (interrupted) status = 128 + interrupted;
  fflush(stdout);
  lua_close(L);
  return status;
}
