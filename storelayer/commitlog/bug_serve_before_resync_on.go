//go:build bug_serve_before_resync

package commitlog

// bugServeBeforeResync is a planted bug, to prove that the tests find it: it
// lets recovery serve the last frame without writing and syncing it again.
const bugServeBeforeResync = true
