/* file.h - files as the store reads and writes them.
 *
 * Reading: a dgam_input is a file or a block of memory that is read at any offset, always within bounds.
 * Writing: a dgam_output is a temporary file beside the target. Commit makes it durable (fsync), gives it the target's
 * name in one step (rename) and makes the name durable (fsync of the folder). A crash at any moment leaves the old
 * file or the new one, whole. Every file that the project writes as a whole is written in this way.
 *
 * Temporary files are called .NAME.HOST.PID.N.tmp and are locked (flock) while they are written. The system takes the lock
 * away when the process dies, however it dies. So dgam_output_clean can tell which files nobody writes any more.
 */
#ifndef DGAM_STORE_FILE_H
#define DGAM_STORE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_input {
  char *name;                /* for messages */
  const unsigned char *data; /* memory, or NULL: read fd */
  int fd;
  uint64_t size;
} dgam_input;

/* Opens a regular file. DGAM_EIO: missing, a folder, no permission. The struct is filled only on success. */
DGAM_API dgam_status dgam_input_open(dgam_input *in, const char *path);

/* Reads from the caller's memory, which must stay; `name` stands for the file in messages. */
DGAM_API dgam_status dgam_input_memory(dgam_input *in, const void *data, size_t size, const char *name);

/* Exactly n bytes at offset. DGAM_EFORMAT if the file ends before, DGAM_EINTERRUPTED on Ctrl-C. */
DGAM_API dgam_status dgam_input_read(const dgam_input *in, uint64_t offset, void *out, size_t n);

DGAM_API void dgam_input_close(dgam_input *in);

typedef struct dgam_output {
  char *path; /* the target; a symbolic link is followed */
  char *temp; /* the file being written */
  int fd;
  int lazy;   /* set after begin: commit does not sync, for a file that can be made again */
} dgam_output;

/* All zero except fd: abort may be called on it. */
#define DGAM_OUTPUT_NONE ((dgam_output){.fd = -1})

/* Creates the temporary file, open for reading and writing. DGAM_EIO names the path: no folder, no permission, target
 * is not a regular file. The folder must exist. */
DGAM_API dgam_status dgam_output_begin(dgam_output *out, const char *path);

/* Appends n bytes. DGAM_EIO with the system's reason (disk full). */
DGAM_API dgam_status dgam_output_write(dgam_output *out, const void *data, size_t n);

/* Makes the file durable under its name and frees the struct. On failure the temporary file is gone and the old file intact. */
DGAM_API dgam_status dgam_output_commit(dgam_output *out);

/* Removes the temporary file and frees the struct. The thread's error message stays as it was. */
DGAM_API void dgam_output_abort(dgam_output *out);

/* Removes the temporary files in a folder that no process writes any more. Those of this machine go at once; those of other
 * machines, whose locks may not show here, after a day. What cannot be removed stays; a missing folder is fine. */
DGAM_API void dgam_output_clean(const char *folder);

/* begin, write, commit. */
DGAM_API dgam_status dgam_file_write(const char *path, const void *data, size_t n);

/* SHA-256 (FIPS 180-4), computed by OpenSSL's libcrypto. The digest is 32 bytes; the text form 64 lower-case hex digits and a zero. */
DGAM_API dgam_status dgam_sha256(const void *data, size_t n, unsigned char digest[32]);
DGAM_API dgam_status dgam_sha256_file(const char *path, unsigned char digest[32]);
DGAM_API void dgam_sha256_text(const unsigned char digest[32], char text[65]);

#ifdef __cplusplus
}
#endif
#endif
