# The steps that are a target of the Makefile and need nothing else.

step_build() { make build; }
step_test() { make test RACE=-race; }
step_check() { make check; }
step_fuzz() { make fuzz FUZZTIME=5s; }
