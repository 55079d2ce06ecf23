/* h5_sink.h - an HDF5 file driver that survives a full disk.
 *
 * HDF5 writes late. If it cannot write at the end, it can neither close the file nor forget it, and crashes at exit
 * (HDF5 1.8 to 2.x). This driver writes to a descriptor of ours. At the first write that fails it keeps the reason and
 * tells HDF5 that all is well. This and every later write go into memory, where reads find them. So HDF5 stays whole. The
 * caller asks for the reason after each step, and throws the file away. Only h5.c uses it.
 */
#ifndef DGAM_STORE_H5_SINK_H
#define DGAM_STORE_H5_SINK_H

#include <hdf5.h>
#include <stddef.h>

typedef struct dgam_h5_extent {
  haddr_t begin, end;   /* which bytes of the file */
  unsigned char *bytes; /* and what they are */
} dgam_h5_extent;

typedef struct dgam_h5_sink {
  int fd;                  /* the caller's, open for reading and writing */
  int reason;              /* errno of the first write that failed; 0: none */
  dgam_h5_extent *extents; /* what was written since, later ones over earlier ones */
  size_t count, cap;
  hid_t driver;            /* registered until the sink is freed: H5FD_close releases it before the file is closed */
} dgam_h5_sink;

/* Makes `access` open files through the sink; whatever name HDF5 is given, it works on sink->fd. The sink must stay
 * until the file is closed. Negative if HDF5 refuses. */
herr_t dgam_h5_sink_use(hid_t access, dgam_h5_sink *sink);

/* Frees what the sink holds; its fd is the caller's. */
void dgam_h5_sink_free(dgam_h5_sink *sink);

#endif
