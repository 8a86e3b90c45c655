# The loops that prove what docs/reliability.md promises, in the size that fits a CI run.

# torture LOOP... runs a loop; those that mount file systems run as root.
torture() {
	# The steps run outside of make, which knows the toolchain.
	GOTOOLCHAIN=go$(awk '$1 == "go" { print $2 }' go.mod)
	export GOTOOLCHAIN
	go build -o bin/ ./cmd/strata ./torture
	local sudo=
	case $1 in
	powercut | disk) [ "$(id -u)" -eq 0 ] || sudo=sudo ;;
	esac
	$sudo bin/torture "$@"
}

step_torture_kill() { torture kill -binary bin/strata -cycles 100; }
step_torture_powercut() { torture powercut -binary bin/strata -cycles 50; }
step_torture_disk() { torture disk -binary bin/strata; }
step_torture_planted() { torture planted; }
