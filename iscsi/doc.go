// Package iscsi is an iSCSI target in user space (RFC 7143).
//
// Package serve imports it. It knows nothing of SCSI beyond a LUN, a CDB, data
// buffers, a status and sense data: a [Device] executes the commands. It never
// reads an image, and imports no other package of lunserve.
//
// A [Target] accepts connections. The goroutine of a connection logs the
// initiator in, and then reads PDUs and executes the commands that do not have to
// wait. It sends their responses together, when it would have to wait for the
// initiator. Other commands are executed by up to 32 workers of the connection.
// Data-in of small commands is read into the buffer that is sent; data-out of small
// commands is written from the buffer that was received.
//
// What an initiator costs is bounded: the number of connections, the time of a
// login, the length of each PDU, the number of commands (the window of command
// numbers) and the memory for their data. An initiator that neither sends nor
// answers, or does not take what is sent, is disconnected.
//
// Not offered; what is negotiated is negotiated away:
//   - more than one connection in a session: several sessions do the same
//   - error recovery above level 0, and so SNACK and task reassignment: after an
//     error of the connection, initiators log in again and repeat the commands
//   - more than one outstanding R2T for a command: a burst has up to 1 MiB
//   - markers, which RFC 7143 has dropped, and iSER
//   - SRP and Kerberos, beside CHAP
//   - asynchronous messages: initiators learn of changes by unit attentions
//   - the end of all sessions by TARGET COLD RESET: it ends that of its initiator, or
//     one could keep the others out
//   - text requests of several PDUs: the one there is, SendTargets, is short
package iscsi
