// Package configfs makes SCSI disks out of the kernel's target, by writing
// /sys/kernel/config/target as a shell script would, and takes them away again.
//
// There, making a folder makes a kernel object, writing a file configures it,
// and a link joins one to another. This is what one image looks
// like on every fabric:
//
//	/sys/kernel/config/target
//	├── core
//	│   └── user_0                           an HBA, ours alone
//	│       └── lunserve-disk.img-5f2a90c1   a [Device]: the image's ring, /dev/uioN
//	│           ├── control, attrib, wwn     set before
//	│           └── enable                   this makes the ring
//	├── loopback
//	│   └── naa.5001405…                     a [Loopback]: a SCSI host of this machine
//	│       └── tpgt_1
//	│           ├── nexus
//	│           └── lun/lun_0/link ──→ core/user_0/lunserve-…   this makes /dev/sdX
//	├── iscsi
//	│   └── iqn.2026-11.…                    an [ISCSI]
//	│       └── tpgt_1
//	│           ├── attrib, auth             who may log in
//	│           ├── acls/iqn.…/lun_0/lun ──→ lun/lun_0
//	│           ├── lun/lun_0/link ──→ core/user_0/lunserve-…
//	│           ├── np/127.0.0.1:3260        this listens
//	│           └── enable                   this lets initiators in
//	└── vhost                                a [Vhost], made as a Loopback is
//
// Whatever makes an object also remembers how to remove it. Close does so
// newest first, to the end, and removes nothing that it did not make. What was
// made by a process that is no more, [Exports] finds.
//
// Close a fabric's target while its rings are still served, and its Devices after it:
// the kernel writes and flushes through the rings on the way.
package configfs
