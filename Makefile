# Sluice: a gate at every pod's door.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS = -s -w -X main.version=$(VERSION)
CNI = github.com/containernetworking/plugins/plugins
SUDO = $(if $(filter 0,$(shell id -u)),,sudo)
APT = $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get

export CGO_ENABLED = 0
export BPF2GO_CC = clang-19
export BPF2GO_STRIP = llvm-strip-19
export BPF2GO_CFLAGS = -O2 -g -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Wpadded -Werror \
	-I$(CURDIR)/bpf/include -isystem /usr/include/x86_64-linux-gnu -isystem /usr/include/aarch64-linux-gnu \
	-ffile-prefix-map=$(CURDIR)=.

.PHONY: all build help test test-vm demo bench generate lint deps deps-cri deps-vm deps-generate clean

all: build

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/sluice and bin/sluice-cni, and what the demo needs beside them
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sluice ./agent
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sluice-cni ./plugin
	go build -trimpath -ldflags '-s -w' -o bin/probe ./test/probe
	mkdir -p bin/cni && go build -trimpath -o bin/cni/ $(CNI)/main/bridge $(CNI)/main/ptp $(CNI)/main/loopback $(CNI)/ipam/host-local $(CNI)/meta/portmap

demo: deps build ## the story, step by step, on three pods made for it
	$(SUDO) bin/sluice demo

test: deps deps-cri deps-vm build ## every test; needs root, leaves nothing behind
	$(SUDO) env "PATH=$(PATH)" REQUIRE='$(REQUIRE)' go test -count=1 -p 1 -timeout 20m ./...

test-vm: deps deps-vm ## the tests that run under other kernels, in guests of QEMU
	$(SUDO) env "PATH=$(PATH)" REQUIRE='$(REQUIRE)' go test -count=1 -timeout 20m -v ./test/vm

bench: deps deps-vm build ## the figures of docs/PERFORMANCE.md, to stdout and bench.json
	$(SUDO) env "PATH=$(PATH)" go run ./test/bench

generate: deps-generate ## rebuild everything generated: BPF objects, deepcopy, CRDs
	go generate ./bpf/... ./test/... ./policy/...

lint: deps-generate ## gofmt, go vet, staticcheck, clang-format
	test -z "$$(gofmt -l .)"
	go vet ./...
	go tool staticcheck ./...
	clang-format-19 --dry-run -Werror bpf/include/*.h bpf/*/*.bpf.c test/*/*.bpf.c

deps:
	$(if $(and $(shell command -v iptables),$(shell command -v nft)),,$(APT) update -qq && $(APT) install -y -qq --no-install-recommends iptables nftables)

deps-cri:
	test/cri/install.sh

deps-vm:
	$(if $(and $(shell command -v qemu-system-x86_64),$(shell command -v busybox)),,$(APT) update -qq && $(APT) install -y -qq --no-install-recommends qemu-system-x86 busybox-static || echo 'no guests: what needs them will be left out' >&2)

deps-generate:
	$(if $(and $(shell command -v clang-19),$(shell command -v clang-format-19),$(wildcard /usr/include/bpf/bpf_helpers.h)),,$(APT) update -qq && $(APT) install -y -qq --no-install-recommends clang-19 llvm-19 clang-format-19 libbpf-dev linux-libc-dev)

clean: ## remove what was built
	rm -rf bin bench.json
