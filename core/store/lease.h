/* lease.h - one process at a time makes a thing that several are asked for.
 *
 * A lease is a file that its owner creates (O_EXCL), keeps locked (flock), touches every DGAM_LEASE_BEAT seconds from a thread of
 * its own, and removes at the end. In it stand the owner's host, process and the second it began. Whoever finds it locked waits.
 * The system takes a lock away when its process ends, however it ends, and of no process that is merely stopped: an unlocked
 * lease of this host is a dead owner's, and who has the lock on it takes it over, which two cannot.
 *
 * Locks of another host may not be seen here (NFS with local_lock, Lustre with localflock, file systems without locks). So an
 * unlocked lease of another host is a dead owner's only when it was not touched while the caller watched it, by the caller's own
 * clock; two hosts that take it over at once see by what is written in the file which of them was the last to, and has it.
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
  int elsewhere;     /* whether nothing but `touched` can tell that it lives */
} dgam_lease_owner;

/* Takes the lease at `path`. *out is NULL where another has it, and *owner says who (the other's, or of this process, if it has it
 * already).
 * unchanged: `touched` of a lease elsewhere that was watched for long enough; if it is still that, it is taken over. -1: none is.
 * DGAM_EIO with the system's reason: no folder, no permission, a file system that is read only. */
DGAM_API dgam_status dgam_lease_take(dgam_lease **out, const char *path, long long unchanged, dgam_lease_owner *owner);

/* Removes the file, unless another has taken it over, and frees the lease. NULL: nothing. */
DGAM_API void dgam_lease_drop(dgam_lease *lease);

#ifdef __cplusplus
}
#endif
#endif
