# What the machine has to have, and the tools that the repository builds for itself.

step_tools() {
	# The race detector needs a C compiler, and CI insists on the race detector.
	if ! command -v gcc >/dev/null && ! command -v clang >/dev/null; then
		local sudo=
		[ "$(id -u)" -eq 0 ] || sudo=sudo
		$sudo apt-get update -q
		$sudo apt-get install -q -y --no-install-recommends gcc libc6-dev
	fi
	# One after the other: together they need more memory than a small machine has.
	tools/install gofumpt golangci-lint versitygw
}
