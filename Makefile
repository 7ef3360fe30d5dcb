# What can be done with this repository. Each target is one line here and a script in scripts/ where it is more.

BUILD_FLAGS ?=
FATHOM := .build/release/fathom

.PHONY: help build test sanitize check fmt protos models packages demo bench clean

help:
	@echo "make demo     everything, from packages to a streamed answer with sources (DEMO_EXIT=1 ends after it)"
	@echo "make build    release executables in .build/release"
	@echo "make test     unit, integration, chart and conformance tests"
	@echo "make sanitize the engine's tests under address, undefined-behaviour and thread sanitizers"
	@echo "make check    formatting, hygiene, wire contract, Helm chart"
	@echo "make fmt      format the sources"
	@echo "make protos   generate Swift from proto/"
	@echo "make models   fetch and verify the models"
	@echo "make packages install the Debian packages that are missing"
	@echo "make bench    measure engine, start and wire on this machine"
	@echo "make clean    remove build output"

packages:
	scripts/install-packages.sh

build:
	swift build -c release $(BUILD_FLAGS)

models: build
	scripts/models.sh

test: models
	scripts/test.sh

sanitize: models
	scripts/sanitize.sh

check:
	scripts/check-format.sh
	scripts/check-hygiene.sh
	scripts/generate-protos.sh --check
	scripts/check-chart.sh

fmt:
	scripts/check-format.sh --fix

protos:
	scripts/generate-protos.sh

demo: packages
	$(MAKE) models
	scripts/demo.sh

bench: models
	$(FATHOM) bench wire
	$(FATHOM) bench engine
	$(FATHOM) bench start

clean:
	rm -rf .build .build-asan .build-tsan
