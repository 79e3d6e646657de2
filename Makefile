# Sluice: a gate at every pod's door. `make help` lists the targets.

export BPF2GO_CC = clang-19
export BPF2GO_STRIP = llvm-strip-19
export BPF2GO_CFLAGS = -O2 -g -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Wpadded -Werror \
	-I$(CURDIR)/bpf/include -isystem /usr/include/x86_64-linux-gnu -isystem /usr/include/aarch64-linux-gnu \
	-ffile-prefix-map=$(CURDIR)=.

generate: ## rebuild everything generated (BPF objects, deepcopy, CRDs)
	go generate ./bpf/... ./policy/...
