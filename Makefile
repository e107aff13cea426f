# `make` prints what can be made.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

.PHONY: help demo up down tools build test lint crds crds-check reference transcript looks bench doc release release-check

help: ## Print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-15s %s\n", $$1, $$2 }'

demo: tools ## Watch one namespace move and another one come back, on two real control planes
	cargo run -q --bin rig --locked -- demo

up: tools ## Leave two control planes, the operator and two sample namespaces running in the background
	cargo run -q --bin rig --locked -- up

down: ## End what `make up` started
	cargo run -q --bin rig --locked -- down

tools: build ## Build etcd, the Kubernetes programs, kwok and external-dns for tests and demo; once, then kept in the user's cache
	cargo run -q --bin rig --locked -- tools

build: ## Build the operator and the programs of the tests
	cargo build --bins --locked

test: tools ## Run every test, tier by tier
	tests/run

lint: ## Check the format and run clippy; a warning is an error
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

looks: tools ## Keep what kubectl shows of every stage and failure that an end-to-end test meets, in target/looks, to be read; TESTS narrows it
	LOOKS=$(CURDIR)/target/looks cargo test --locked --test end_to_end -- --test-threads 12 $(TESTS)
	@ls target/looks | wc -l | sed 's/$$/ states in target\/looks/'
	@awk -F ' *[|] *' '/^## /{in_table = /^## Reasons/} in_table && NF > 2 && $$2 ~ /^[A-Z]/ && $$2 != "Reason" {print $$2}' docs/status.md \
	  | while read -r reason; do ls target/looks | grep -q -e "-$$reason-" || echo "no state with the reason $$reason"; done

doc: ## Build the documentation of the crates; a warning is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --locked

crds: ## Write the CustomResourceDefinitions in crds/ from src/api
	cargo run -q --bin namespace-migration --locked -- crds --directory crds

reference: ## Write docs/status.md, the reference of stages, conditions and reasons, from src/machine
	cargo run -q --bin namespace-migration --locked -- reference > target/status.md
	mv target/status.md docs/status.md

transcript: tools ## Write docs/transcript.md: what kubectl shows of migrations that wait
	cargo run -q --bin rig --locked -- transcript docs/transcript.md

bench: release ## Measure the operator as the image has it, and write the figures into docs/performance.md; about 15 minutes on two idle cores
	OPERATOR_BINARY=target/release/namespace-migration \
	  cargo run -q --profile measure -p rig --locked -- bench docs/performance.md

crds-check: ## Fail when crds/ is not what src/api says
	@rm -rf target/crds && mkdir -p target/crds
	@cargo run -q --bin namespace-migration --locked -- crds --directory target/crds
	@diff -r -u --exclude kustomization.yaml crds target/crds \
	  || { echo "crds/ is stale: run \`make crds\` and commit the result" >&2; exit 1; }

release: ## Build the operator as the image has it
	cargo build --release --locked -p namespace-migration --bin namespace-migration

release-check: ## Fail when the release binary is too large or needs a library that the image lacks
	.ci/release-check
