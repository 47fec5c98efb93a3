// Package qcow2 is the image format of QEMU, as docs/interop/qcow2.rst in QEMU
// specifies it.
package qcow2
