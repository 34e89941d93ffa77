# Every target says what it does: make help
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
WAV ?=
uv := .bootstrap/bin/uv
py := .venv/bin/python

.PHONY: help setup setup-dev demo talk test lint types unit test-cluster bench images proto lock docs clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## what running needs: an environment of pinned, hash-checked packages
	@PYTHON="$(PYTHON)" scripts/setup.sh run

setup-dev: ## what developing needs on top
	@PYTHON="$(PYTHON)" scripts/setup.sh dev

demo: setup ## speak a question from a WAV through the whole loop: make demo WAV=question.wav
	@scripts/demo.sh $(if $(WAV),"$(WAV)")

talk: setup ## the same loop with your microphone and speakers
	@scripts/talk.sh

test: setup-dev ## lint, types and all tests
	@scripts/test.sh

lint: setup-dev ## ruff and buf
	@scripts/test.sh lint

types: setup-dev ## mypy, strict
	@scripts/test.sh types

unit: setup-dev ## tests only
	@scripts/test.sh unit

test-cluster: setup-dev ## tests on the cluster that KUBECONFIG names: make test-cluster ARGS="--load 'kind load docker-image'"
	@scripts/test_cluster.sh $(ARGS)

bench: setup-dev ## latency, CPU, memory and barge-in against the scriptable fakes; word error rate of the engines
	@scripts/bench.sh

images: ## container images with docker, podman or buildah: scripts/build_gateway.sh --help
	@scripts/build_gateway.sh

proto: setup-dev ## regenerate the Python code of the contract
	@scripts/generate_stubs.sh

docs: setup-dev ## regenerate what is generated: diagrams, settings and error references, licence lists
	@scripts/generate_docs.sh

lock: ## resolve dependencies again and export the pins
	@scripts/lock.sh

clean: ## remove what setup and runs made
	rm -rf .venv .bootstrap out build
