//go:build bug_no_dirsync

package commitlog

// bugNoDirSync is a planted bug, to prove that the tests find it: it
// leaves out the sync of the folder after a new segment got its name.
const bugNoDirSync = true
