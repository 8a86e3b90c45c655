// Package config gathers the broker's settings and remembers where each value came from.
//
// A setting has one name in three spellings: the flag --segment-size, the key segment_size of the
// configuration file, the variable STRATA_SEGMENT_SIZE. Later sources win:
//
//	defaults ──► file (--config) ──► STRATA_… variables ──► flags ──► [Effective]
//
// A name that no setting has is an error that names the nearest one, in every source: a misspelt
// setting must not pass for one that was applied. All that is wrong is reported at once, each with the
// place where it stands.
//
// The package reads and checks; it opens nothing but the configuration file.
package config
