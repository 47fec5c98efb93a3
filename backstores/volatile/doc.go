// Package volatile is the write cache of a disk that a power cut can empty.
//
// A [Store] passes everything on to the store below at once, and remembers what each
// page held before it was changed, until a flush that began later has completed.
// A power cut puts that back. So nothing is slower to read, and a process that is
// killed loses nothing.
//
// It imports package backstores alone. Package serve puts it over an image, and its
// layers, for --fault-track.
package volatile
