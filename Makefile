# `make` lists the targets. The work is in scripts/, so that what continuous integration runs is what you run.

.DEFAULT_GOAL := help
.PHONY: help setup setup-build demo test check bench bench-trace fix web

# Arguments of `make demo`: SERVE=1 leaves the console running, DIR=… keeps the node's directory there.
demo_arguments := $(if $(SERVE),--serve) $(if $(DIR),--dir '$(DIR)')

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: setup-build web ## the life of data, end to end, on real input (SERVE=1 leaves the console running)
	@cargo run --quiet --bin lingqu -- demo $(demo_arguments)

test: setup web ## every test, on SQLite and a private PostgreSQL
	@scripts/test

check: setup web ## format, structure, licences, unused dependencies, lints, web checks
	@scripts/check

bench: setup-build web ## measurements with the machine's description, one table (ONLY=lookup-tail,crowd measures these alone)
	@bench/run $(if $(ONLY),--only '$(ONLY)')

# MINUTES=… and TRIALS=… trade time for trials; LINES=… makes those alone whose names have these words; STATE=file goes on with the trials of runs before.
bench-trace: setup-build ## attacks on fingerprints: who is named, whether anybody innocent is, what copies are off by; then the speed
	@cargo run --release --quiet --package lingqu-fingerprint --example attacks -- $(or $(MINUTES),25) $(or $(TRIALS),200) '$(LINES)' '$(STATE)'
	@cargo run --release --quiet --package lingqu-fingerprint --example speed

fix: setup ## mend what machines can mend: format and lint suggestions
	@cargo clippy --quiet --workspace --all-targets --fix --allow-dirty --allow-staged
	@cargo fmt --all
	@if [ -f web/package.json ]; then npm run --silent --prefix web fix; fi

web: setup-build ## build the web app that the binary embeds
	@scripts/web

setup: ## bring what is missing on this machine (silent when nothing is)
	@scripts/setup all

# Not listed: the part of setup that the demo needs.
setup-build:
	@scripts/setup build
