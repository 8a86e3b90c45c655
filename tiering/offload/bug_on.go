//go:build bug_trim_before_head

package offload

// bugTrimBeforeHead removes the local bytes before the manifest head has moved.
const bugTrimBeforeHead = true
