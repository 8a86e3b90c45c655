// Package memory keeps a metadata store in the memory of one process: for tests, and as the model
// that the real engines are compared with.
//
//	NewData ──Open──► Store ──Close──► Data ──Open──► Store …
//
// [Data] plays the disk: it outlives the stores opened on it, holds every value in its encoded
// form, and can be damaged on purpose.
//
// # Crash safety
//
// There is none beyond the process.
package memory
