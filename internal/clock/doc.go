// Package clock is where store code gets time from, so that a test can move it.
//
// A [Clock] has two faces: the wall clock, which people read and operators and NTP set at will, and
// the boot clock, which only goes forward. [Stamper] makes of both the store time of a log: it
// never goes back, and it does not follow a wall clock that jumps ahead.
//
//	Real ──┐
//	Manual ┴─► Clock ──► Stamper ──► store times of one log
package clock
