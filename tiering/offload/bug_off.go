//go:build !bug_trim_before_head

package offload

// bugTrimBeforeHead is a planted bug that a named test must catch; it is compiled in by a build tag alone.
const bugTrimBeforeHead = false
