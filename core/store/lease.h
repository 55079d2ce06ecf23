/* lease.h - of several processes that are asked for one thing, one at a time makes it.
 *
 * A lease is a file that its owner creates (O_EXCL), keeps locked (flock), touches every DGAM_LEASE_BEAT seconds from a thread of
 * its own, and removes at the end. It names the owner's host and process and the second it began. Whoever finds it locked waits.
 * The system takes a lock away when its process ends, however it ends, but not when the process is only stopped. So an unlocked
 * lease of this host belongs to a dead owner. Whoever gets the lock on it takes it over; two processes cannot.
 *
 * Locks of another host may not be seen here (NFS with local_lock, Lustre with localflock, file systems without locks). So the
 * owner of an unlocked lease of another host is dead only if the lease was not touched while the caller watched it, by the
 * caller's own clock. If two hosts take it over at once, the content of the file shows which wrote last, and that one has it.
 */
#ifndef DGAM_STORE_LEASE_H
#define DGAM_STORE_LEASE_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DGAM_LEASE_BEAT = 10 };

typedef struct dgam_lease dgam_lease;

typedef struct dgam_lease_owner {
  char host[65];     /* "" while it is not known yet: the file is being made */
  long pid;
  long long since;   /* seconds since 1970 */
  long long touched; /* when the lease was touched last, in nanoseconds of its file system's clock */
  int elsewhere;     /* 1: only `touched` can tell that the owner lives */
} dgam_lease_owner;

/* Takes the lease at `path`. If another has it, or this process has it already, *out is NULL and *owner says who.
 * unchanged: `touched` of a lease elsewhere that was watched for long enough; if it is still the same, the lease is taken over.
 * -1: no lease elsewhere is taken over.
 * DGAM_EIO with the system's reason: no folder, no permission, a file system that is read only. */
DGAM_API dgam_status dgam_lease_take(dgam_lease **out, const char *path, long long unchanged, dgam_lease_owner *owner);

/* Removes the file, unless another has taken it over, and frees the lease. NULL: nothing. */
DGAM_API void dgam_lease_drop(dgam_lease *lease);

#ifdef __cplusplus
}
#endif
#endif
