--- dgam.trial.lease: of several processes that are asked for the same trial one runs it; the others wait or do something else.
--
--     local lease = leases.new(path, "trial 'dual', seed 2")
--     while not there() do
--       local held <close> = lease:try()
--       if held then make() else lease:wait() end
--     end
--
-- `there` must be asked again once the lease is held: its last owner may have ended between the two. core/store/lease.h says how a
-- dead owner is told from a slow one.
local system = require "system"
local native = require "dgamnative.lease"

local leases = {}

local PATIENCE = 120 -- looks, a second apart, for which a lease of another host must not have been touched to be a dead owner's

local Lease = {}
Lease.__index = Lease

--- @param path the file; its folder must be there
-- @param what what is leased, for messages
function leases.new(path, what) return setmetatable({ path = path, what = what, looks = 0 }, Lease) end

--- Takes the lease, if nobody has it or who had it is dead.
-- @return what must be closed when the work is done; nil if another process has it
-- Errors: the file cannot be written; this process has the lease already.
function Lease:try()
  local held, owner = native.take(self.path, self.looks > PATIENCE and self.touched or nil)
  if held then return held end
  if owner.own then error(("%s: what makes it asks for it"):format(self.what), 0) end
  self.looks = owner.touched == self.touched and self.looks or 0
  self.touched, self.owner = owner.touched, owner
  return nil
end

--- "trial 'dual', seed 2: process 4711 on node3 makes it since 14:03:05", of the owner that `try` found.
function Lease:__tostring()
  local o = self.owner
  if o.host == "" then return self.what .. ": another process makes it" end
  local today = os.date("%F", o.since) == os.date "%F"
  return ("%s: process %d on %s makes it since %s"):format(self.what, o.pid, o.host, os.date(today and "%T" or "%F %T", o.since))
end

--- Waits a moment after `try` found another owner, the first time with a line on standard error that says for whom.
function Lease:wait()
  if not self.told then io.stderr:write(tostring(self), "; waiting for it\n") end
  self.told, self.looks = true, self.looks + 1
  system.sleep(self.owner.elsewhere and 1 or 0.2)
end

return leases
