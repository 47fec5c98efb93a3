# All targets but install need Go 1.26 or later. Those that need Debian packages install them, as root.

.DEFAULT_GOAL = build
.NOTPARALLEL:
.PHONY: build install deb demo vm quick test check unit e2e package dist bench bench-report conformance kernels fuzz torture soak scale screenshots clean help go

GO        ?= go
INSTALL    = e2e/install
SCRIPTS    = .ci/run completions/lunserve.bash deb/build deb/dist e2e/checkout e2e/demo e2e/install e2e/package e2e/release e2e/scale e2e/service e2e/vm e2e/vm-init
# The Debian packages of the programs that the end-to-end tests run.
PROGRAMS   = btrfs-progs dmsetup e2fsprogs f2fs-tools fdisk fio iproute2 kmod libiscsi-bin mdadm mount nginx-light open-iscsi qemu-block-extra qemu-system-x86 qemu-utils sg3-utils strace systemd tmux udev util-linux xfsprogs xorriso zstd
CHECK_PROGRAMS = mandoc shellcheck
PACKAGE_PROGRAMS = coreutils dpkg git lintian systemd xz-utils
UNIT_PROGRAMS = android-sdk-libsparse-utils bash-completion bzip2 curl e2fsprogs fdisk fish gcc libc6-dev libiscsi-bin libvirt-clients libxml2-utils lrzip lz4 lzip lzop mount nginx-light p7zip-full python3 qemu-block-extra qemu-system-x86 qemu-utils tar unar unzip xorriso xz-utils zip zsh zstd
BENCH     := $(if $(TMPDIR),$(TMPDIR),/tmp)/lunserve-bench
CONFORMANCE := $(if $(TMPDIR),$(TMPDIR),/tmp)/lunserve-conformance
KERNEL_LOGS := $(if $(TMPDIR),$(TMPDIR),/tmp)/lunserve-kernels
SCREENSHOTS := $(if $(TMPDIR),$(TMPDIR),/tmp)/lunserve-screenshots
SEAWEED_VERSION = v0.0.0-20261109003541-7506e5f91cd6
SEAWEED   := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/lunserve-seaweedfs/$(SEAWEED_VERSION)
VERSITYGW := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/lunserve-versitygw/v1.8.0
FUZZTIME  ?= 20s
KILLS     ?= 100
GONE      ?= 3s
SOAK      ?= 30m
SEED      ?=
RUN       ?=
# Suites of Debian; "default" is the kernel that e2e/vm boots without -k.
KERNELS   ?= default trixie sid

PREFIX    ?= /usr/local
SHARE      = $(DESTDIR)$(PREFIX)/share
# The folder of completions that zsh searches; Debian's packages have a folder of their own.
ZSHDIR    ?= zsh/site-functions

# The version names the commit, unless git refuses to read the checkout, as it does if that belongs to another user.
VCS := $(shell git log -1 >/dev/null 2>&1 && echo auto || echo false)
ifeq ($(VCS),false)
export GOFLAGS += -buildvcs=false
endif

# The race detector watches lunserve and the standard library, and not the library that compresses, which has tests of
# its own. check vets all packages.
RACE        = -race -gcflags='github.com/klauspost/compress/...=-race=false' -vet=off -timeout 30m

UNIT_TESTS  = $$($(GO) list ./... | grep -v '/e2e$$')

# These parse thousands of lines in one goroutine, or execute a lunserve that serves nothing hundreds of times.
SERVE_NOTHING = ErrorsAreOurs|ErrorsOfACommandLine|QueryOfAURL|ForeignText|TestScripts/^(bytes|doctor|help|hints|info|room|usage)$$

# Without HTTP/2, which backstores/remote does not speak, the binary has 0.4 MB less.
build: go ## build ./lunserve, one static binary (the default)
	CGO_ENABLED=0 $(GO) build -trimpath -tags=nethttpomithttp2 -buildvcs=$(VCS) -ldflags='-s -w' -o lunserve .

# The binary that install installs. It is rebuilt if a source is newer, unless there is no Go, as for root under sudo.
lunserve: go.mod go.sum $(shell find . -name '*.go' ! -name '*_test.go')
	@if command -v $(GO) >/dev/null || [ ! -e lunserve ]; then $(MAKE) --no-print-directory build; \
	else echo "no Go here: ./lunserve is installed as it is, though its sources are newer" >&2; fi

install: lunserve ## install binary, manual, completions and systemd unit into $(DESTDIR)$(PREFIX), /usr/local by default
	install -D -m 755 lunserve $(DESTDIR)$(PREFIX)/bin/lunserve
	install -D -m 644 man/lunserve.8 $(SHARE)/man/man8/lunserve.8
	install -D -m 644 completions/lunserve.bash $(SHARE)/bash-completion/completions/lunserve
	install -D -m 644 completions/_lunserve $(SHARE)/$(ZSHDIR)/_lunserve
	install -D -m 644 completions/lunserve.fish $(SHARE)/fish/vendor_completions.d/lunserve.fish
	install -D -m 644 man/lunserve@.service $(DESTDIR)$(PREFIX)/lib/systemd/system/lunserve@.service
	sed -i 's|/usr/bin/lunserve|$(PREFIX)/bin/lunserve|' $(DESTDIR)$(PREFIX)/lib/systemd/system/lunserve@.service

deb: go ## build lunserve_VERSION_ARCH.deb, a Debian package without dependencies, for GOARCH
	GO=$(GO) deb/build

demo: build ## show lunserve's main job on a real kernel
	@e2e/demo

vm: build ## start a root shell on a kernel with TCM-USER, with lunserve on its PATH
	@e2e/vm

quick: go ## check format, vet and run the unit tests in a minute; install nothing, skip what is missing here
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "try: gofmt -w" $$unformatted; exit 1; }
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) test $(UNIT_TESTS)

test: package ## run everything that has to pass: package, check, unit and e2e
	@# All lists now: the virtual machine has this machine's files, and nothing is to change them while it runs.
	@$(INSTALL) $(CHECK_PROGRAMS) $(UNIT_PROGRAMS) $(PROGRAMS)
	@# The virtual machine keeps one CPU busy, for as long as check and unit keep another. package measures
	@# the time of a start, alone.
	@$(MAKE) --no-print-directory e2e & e2e=$$!; $(MAKE) --no-print-directory check unit; rest=$$?; wait $$e2e && exit $$rest

check: go ## check format, vet, staticcheck, scripts, workflows, the manual, and that other machines compile
	@$(INSTALL) $(CHECK_PROGRAMS)
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "try: gofmt -w" $$unformatted; exit 1; }
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	shellcheck $(SCRIPTS)
	CGO_ENABLED=0 $(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 .github/workflows/*.yml
	@# The manual may refer to manuals that are not installed here.
	! mandoc -T lint man/lunserve.8 2>/dev/null | grep -v 'referenced manual not found'
	for arch in arm64 arm s390x; do GOARCH=$$arch CGO_ENABLED=0 $(GO) build -o /dev/null . || exit 1; done
	@# 32 bits, and the tests as well.
	GOARCH=386 CGO_ENABLED=0 $(GO) vet ./...

# An S3 server for tests.
$(VERSITYGW)/versitygw:
	GOBIN=$(VERSITYGW) CGO_ENABLED=0 $(GO) install github.com/versity/versitygw/cmd/versitygw@v1.8.0

unit: go $(VERSITYGW)/versitygw ## run the unit tests with the race detector
	@$(INSTALL) $(UNIT_PROGRAMS)
	@# Under the detector a process sleeps for a second at its end, if it is not told to.
	GORACE=atexit_sleep_ms=0 CGO_ENABLED=1 $(GO) test $(RACE) $$($(GO) list ./... | grep -v -e '/e2e$$' -e '/cli$$')
	GORACE=atexit_sleep_ms=0 CGO_ENABLED=1 $(GO) test $(RACE) -skip '$(SERVE_NOTHING)' ./cli
	CGO_ENABLED=0 $(GO) test -vet=off -run '$(SERVE_NOTHING)' ./cli
	CGO_ENABLED=0 $(GO) test -vet=off -run MemoryIs ./backstores/image

e2e: build ## test the built binary on a real kernel, and its systemd unit; with RUN=REGEXP, those tests only
	@$(INSTALL) $(PROGRAMS)
	@# -test.timeout, since go test's own would include the wait for another machine.
	CI=true CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 -exec "$(CURDIR)/e2e/vm -t 2760 --" ./e2e $(if $(RUN),-v )-args -test.timeout=45m $(if $(RUN),-test.run '$(RUN)')
	$(if $(RUN),,e2e/vm -i -t 600 -- e2e/service)

# The systemd unit is one more test in the log of a kernel.
kernels: build ## run the end-to-end tests on the kernels of KERNELS (default trixie sid), into docs/kernels.md
	@$(INSTALL) $(PROGRAMS)
	@mkdir -p $(KERNEL_LOGS)
	@for suite in $(KERNELS); do \
		export VM_KERNEL=$${suite#default}; \
		log=$(KERNEL_LOGS)/$$suite.json; \
		echo "kernel of $$suite: the log is $$log"; \
		CI=true CGO_ENABLED=0 $(GO) test -json -count=1 -timeout 0 -exec "$(CURDIR)/e2e/vm -t 7260 --" ./e2e -args -test.timeout=2h >$$log.part; \
		service=pass; e2e/vm -i -t 600 -- e2e/service || service=fail; \
		echo "{\"Action\":\"$$service\",\"Test\":\"e2e/service\"}" >>$$log.part; \
		if grep -q ', Linux ' $$log.part; then mv $$log.part $$log; else echo "$$log.part: the kernel did not boot" >&2; fi; \
	done
	$(GO) run ./e2e/kernelreport docs/kernels.md $(KERNEL_LOGS)/*.json

package: ## build the Debian package, install it in an empty tree; build and install from a foreign checkout
	@$(INSTALL) $(PACKAGE_PROGRAMS)
	@rm -f lunserve_*.deb
	@$(MAKE) --no-print-directory deb
	e2e/package lunserve_*.deb
	GO=$(GO) e2e/checkout

dist: go ## build a release for all machines into the new folder dist: archives, .deb, .rpm, checksums; test it
	@$(INSTALL) coreutils cpio dpkg git qemu-block-extra qemu-user-static qemu-utils rpm rpm2cpio tar xz-utils
	GO=$(GO) deb/dist
	GO=$(GO) e2e/release dist

bench: build ## benchmark the ring and the backstores, then lunserve beside its peers
	@$(INSTALL) curl e2fsprogs fio libnbd-bin nbdkit nginx-light qemu-block-extra qemu-utils tar util-linux zstd
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v '/e2e$$')
	PATH="$(CURDIR):$$PATH" $(GO) run ./e2e/packbench
	PATH="$(CURDIR):$$PATH" $(GO) run ./e2e/packbench -qcow2
	PATH="$(CURDIR):$$PATH" $(GO) run ./e2e/urlbench
	CGO_ENABLED=0 $(GO) build -o $(BENCH) ./e2e/bench
	e2e/vm -t 3600 $(BENCH)
	e2e/vm -1 -t 3600 $(BENCH) -icount
	@rm $(BENCH)

bench-report: ## run the benchmarks, and put their tables and a chart into docs/performance.md; REPORT=FILE has their output
	@[ -n "$(REPORT)" ] || $(MAKE) --no-print-directory bench >$(BENCH).txt
	$(GO) run ./e2e/benchreport docs/performance.md <$(if $(REPORT),$(REPORT),$(BENCH).txt)
	@[ -n "$(REPORT)" ] || rm $(BENCH).txt

conformance: build ## run libiscsi's test suite on lunserve, with --userspace too, and LIO fileio, into docs/conformance.md
	@$(INSTALL) e2fsprogs kmod libiscsi-bin mount
	CGO_ENABLED=0 $(GO) build -o $(CONFORMANCE)/run ./e2e/conformance
	@rm -f $(CONFORMANCE)/conformance.md
	e2e/vm -s -t 3600 -o $(CONFORMANCE) -- $(CONFORMANCE)/run; status=$$?; \
		cp $(CONFORMANCE)/conformance.md docs/ && echo "the logs are in $(CONFORMANCE)/conformance" && exit $$status

fuzz: build ## run each fuzz target, and random commands on a real kernel, for FUZZTIME (20s)
	@for dir in $$($(GO) list -f '{{.Dir}}' ./...); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go 2>/dev/null); do \
			echo "$$target, $(FUZZTIME)"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$dir || exit 1; \
		done; \
	done
	@$(INSTALL) $(PROGRAMS)
	@echo "random commands, $(FUZZTIME)"
	CI=true CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 -exec "$(CURDIR)/e2e/vm -t 0 --" ./e2e -v -args -test.run AtRandom -random $(FUZZTIME)

torture: build ## kill lunserve, its guard or both KILLS times (100) in each setup, cut power, reset disks; SEED repeats a run
	@$(INSTALL) $(PROGRAMS)
	CI=true CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 -exec "$(CURDIR)/e2e/vm -t 0 --" ./e2e -v -args -test.timeout=0 $(if $(SEED),-seed $(SEED)) \
		-test.run 'KillsAtRandom|KilledCompare|AfterPowerCuts|TestPowercut|ManyDisks|OutlivesThose|UserspaceServes' -torture $(KILLS) -gone $(GONE) -cuts 0 -powercuts 50 -resets 1m \
		-dirty 1400 -luns 64 -turns 20 -cut 20s

soak: build ## use a server for SOAK (30m) on a real kernel, and check that it does not grow
	@$(INSTALL) $(PROGRAMS)
	CI=true CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 -exec "$(CURDIR)/e2e/vm -t 0 --" ./e2e -v -args -test.timeout=0 -test.run DoesNotGrow -soak $(SOAK)

# A cluster that has S3. Its go.mod replaces a module, which go install refuses.
$(SEAWEED)/weed:
	dir=$$($(GO) mod download -json github.com/seaweedfs/seaweedfs@$(SEAWEED_VERSION) | sed -n 's/^.*"Dir": "\(.*\)".*/\1/p') && \
		CGO_ENABLED=0 $(GO) build -C "$$dir" -trimpath -buildvcs=false -ldflags='-s -w' -o $@ ./weed

scale: build $(SEAWEED)/weed ## serve an image of a cluster eight times, and kill a server of the cluster
	@$(INSTALL) curl qemu-block-extra qemu-utils util-linux
	e2e/scale $(SEAWEED)/weed

screenshots: build ## write the pictures of sessions in docs, from sessions on a real kernel
	@$(INSTALL) $(PROGRAMS)
	CI=true CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 -exec "$(CURDIR)/e2e/vm -t 300 -o $(SCREENSHOTS) --" ./e2e -args -test.timeout=4m \
		-test.run TestScreenshot -screenshots
	cp $(SCREENSHOTS)/*.svg docs/ && rm -r $(SCREENSHOTS)

clean: ## remove ./lunserve and its packages; the kernel stays in ~/.cache/lunserve-vm
	rm -rf lunserve lunserve_*.deb dist

help: ## print this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' Makefile | awk -F '\t' '{ \
		line = sprintf("%-12s", $$1); n = split($$2, words, " "); \
		for (i = 1; i <= n; i++) { \
			if (length(line) + 1 + length(words[i]) > 80) { print line; line = sprintf("%12s", "") } \
			line = line " " words[i] \
		} \
		print line }'

go:
	@command -v $(GO) >/dev/null || { echo "no Go here; get 1.26 or later from https://go.dev/dl and put its folder bin on PATH" >&2; exit 1; }
