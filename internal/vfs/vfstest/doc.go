// Package vfstest is the contract of vfs as a test that every engine passes.
//
// Run needs nothing but an empty folder. What survives a power cut is tested where a power cut can
// be had: in memfs's own tests, and by the loops that cut the power of a real disk.
package vfstest
