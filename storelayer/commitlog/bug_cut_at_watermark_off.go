//go:build !bug_cut_at_watermark

package commitlog

// bugCutAtWatermark is a planted bug, to prove that the tests find it: with the build tag it
// makes recovery cut at the proven watermark, whatever whole frame lies behind it.
const bugCutAtWatermark = false
