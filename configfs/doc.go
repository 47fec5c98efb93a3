// Package configfs makes SCSI disks of the kernel's target (LIO), by writing to
// /sys/kernel/config/target as targetcli does, and removes them.
//
// Only the parts of lunserve that serve disks, list them or remove them import
// it. It never touches the commands on a ring or the contents of an image.
//
// In configfs, making a directory makes a kernel object, writing a file sets an
// attribute, and a link joins two objects. One image, on all fabrics:
//
//	/sys/kernel/config/target
//	├── core
//	│   └── user_0                           an HBA of our own
//	│       └── lunserve-disk.img-5f2a90c1   a [Device]: a backstore, its ring is /dev/uioN
//	│           ├── control, attrib, wwn     written before enable
//	│           └── enable                   makes the ring
//	├── loopback
//	│   └── naa.5001405…                     a [Loopback]: a SCSI host of this machine
//	│       └── tpgt_1
//	│           ├── nexus
//	│           └── lun/lun_0/link ──→ core/user_0/lunserve-…   makes /dev/sdX
//	├── iscsi
//	│   └── iqn.2026-11.…                    an [ISCSI] target
//	│       └── tpgt_1
//	│           ├── attrib, auth             who may log in
//	│           ├── acls/iqn.…/lun_0/lun ──→ lun/lun_0
//	│           ├── lun/lun_0/link ──→ core/user_0/lunserve-…
//	│           ├── np/127.0.0.1:3260        a portal; listens
//	│           └── enable                   admits initiators
//	└── vhost                                a [Vhost] target, laid out like a Loopback
//
// Each object remembers how to remove what it made. Close removes that, newest
// first, to the end, and nothing else. [Exports] finds what a killed process
// left.
//
// Serve the rings until the targets are closed, and close the Devices after the
// targets: while it closes, the kernel writes and flushes through the rings.
package configfs
