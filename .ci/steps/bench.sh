# Every path is measured once, briefly: what counts here is that each row of the table has a number.

step_bench() { make bench ARGS='--quick --out .cache/ci/bench.json'; }
