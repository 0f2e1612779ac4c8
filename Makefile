# Thin: each target is one script, and each does all the set-up it needs. All needs Linux, Rust by rustup and a C toolchain;
# `demo` npm besides, `test` npm, Java and Maven.
.DEFAULT_GOAL := help

help: ## what there is
	@sed -n 's/^\([a-z%-]*\): *## */  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## the whole path in a minute, on an embedded broker and an embedded ClickHouse
	@tests/demo.sh

test: ## everything: format, lints, unit tests, plugins, the real stack, documentation, licences
	@tests/all.sh

test-quick: ## format, lints and unit tests: seconds once the dependencies are compiled
	@tests/all.sh --quick

check-%: ## a pipeline of examples/ on the real stack, through crashes: a commerce, b orders, c simple orders, d finance, e events
	@tests/pipelines.sh check $*

pipeline-%: ## the same at the volume of the project that it replaces: a table of rows, latencies and CPU time
	@tests/pipelines.sh measure $*

simulate: ## lane and engine in a simulated world full of faults: SEEDS=n and START=n, or SEED=n to see one again
	@cargo test --workspace --locked --quiet --test seeds

planted: ## known bugs planted one at a time into a copy of the sources: the simulation has to find each
	@tests/planted.sh $(BUGS)

crash: ## the engine on real Kafka and ClickHouse dies RUNS=200 times, at every step and whenever
	@CRASH_RUNS=$(or $(RUNS),200) cargo test --workspace --locked --test crash -- --test-threads=1 --nocapture

evil: ## plugins that attack the engine, each beside a neighbour: what it took and what the neighbour felt; UNDER=valgrind
	@tests/evil.sh $(UNDER)

plugins: ## compiles the plugins to plugins/*/plugin.wasm
	@plugin-sdk/toolchain/build-plugins.sh

fuzz: ## a fuzz target for a while: TARGET=border|state|messages|documents|decimals|avro SECONDS=600
	@tests/fuzz.sh $(or $(TARGET),border) $(or $(SECONDS),600)

bench: ## CPU time: decoding, the border to plugins, state, whole events, each beside others' ways; PART=decode|state|disk|border|remember|restart|events for one of them; PART=reload: versions that change under load for ten minutes; PART=tenants|neighbours: hundreds of tenants, and bad ones
	@tests/bench.sh $(PART)

.PHONY: help demo test test-quick simulate planted crash evil plugins fuzz bench
