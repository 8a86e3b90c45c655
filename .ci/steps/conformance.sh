# The official clients against the built binary, and the proof that a missing one is not overlooked.

step_conformance() { make conformance; }

# Hides cargo and expects the conformance run to fail, by that name: a toolchain that is missing must
# never look like a client that passed.
step_hidden_cargo() {
	local bin out dir program
	bin=$(mktemp -d)
	while read -r -d : dir; do
		for program in "$dir"/*; do
			case ${program##*/} in
			cargo | \*) ;;
			*) [ -e "$bin/${program##*/}" ] || ln -s "$program" "$bin/${program##*/}" ;;
			esac
		done
	done <<<"$PATH:"
	if out=$(PATH=$bin make conformance 2>&1); then
		echo "conformance passed although cargo was hidden"
		return 1
	fi
	rm -rf "$bin"
	echo "$out" | tail -n 5
	grep -q 'toolchain missing: cargo' <<<"$out"
}
