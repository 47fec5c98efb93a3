// Package qcow2 reads disk images of QEMU, as docs/interop/qcow2.rst in QEMU
// specifies them: versions 2 and 3, clusters of 512 bytes to 2 MiB, compressed with
// zlib and zstd, and extended L2 entries. An [Image] is the disk as it is now; its
// internal snapshots are not read.
//
// An image consists of clusters. An L1 table has the address of each L2 table, and
// that has an entry for each cluster of the disk: the address of its data in the
// file, plain or compressed, or that it reads as zeros, or nothing. In that case the
// cluster is read from the backing file, which belongs to the caller of [Open]:
// this package opens no file, and only shows the name in the header.
//
// No image is trusted. Limits are those of QEMU, so that memory does not depend on
// what the header claims. Each entry is checked when it is used, and one that is
// wrong is the error of the read that needs it.
//
// Overlays are QCOW2 images, so package overlay stands on the header in this
// package.
package qcow2
