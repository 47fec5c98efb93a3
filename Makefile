# Everything needs Go 1.26 or later; what else is lacking is installed with apt-get, for which you must be root.

.DEFAULT_GOAL = build
.NOTPARALLEL:
.PHONY: build install deb demo vm test unit e2e package bench conformance check fuzz clean help go

GO        ?= go
INSTALL    = e2e/install
SCRIPTS    = .ci/run completions/lunserve.bash e2e/demo e2e/install e2e/package e2e/vm e2e/vm-init
# The programs whose word the end-to-end tests take.
WITNESSES  = e2fsprogs f2fs-tools fdisk fio kmod libiscsi-bin mount open-iscsi qemu-block-extra qemu-system-x86 qemu-utils sg3-utils strace udev util-linux xfsprogs zstd
BENCH     := $(if $(TMPDIR),$(TMPDIR),/tmp)/lunserve-bench
CONFORMANCE := $(if $(TMPDIR),$(TMPDIR),/tmp)/lunserve-conformance
FUZZTIME  ?= 20s

PREFIX    ?= /usr/local
SHARE      = $(DESTDIR)$(PREFIX)/share
# Where zsh looks for what is not its own; Debian's has another place for what its packages bring.
ZSHDIR    ?= zsh/site-functions
TREE      := $(if $(TMPDIR),$(TMPDIR),/tmp)/lunserve-deb

build: go ## ./lunserve, one static binary (the default)
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -ldflags='-s -w' -o lunserve .

install: build ## binary, manual, completions and systemd unit, into $(DESTDIR)$(PREFIX), which is /usr/local
	install -D -m 755 lunserve $(DESTDIR)$(PREFIX)/bin/lunserve
	install -D -m 644 man/lunserve.8 $(SHARE)/man/man8/lunserve.8
	install -D -m 644 completions/lunserve.bash $(SHARE)/bash-completion/completions/lunserve
	install -D -m 644 completions/_lunserve $(SHARE)/$(ZSHDIR)/_lunserve
	install -D -m 644 completions/lunserve.fish $(SHARE)/fish/vendor_completions.d/lunserve.fish
	install -D -m 644 man/lunserve@.service $(DESTDIR)$(PREFIX)/lib/systemd/system/lunserve@.service
	sed -i 's|/usr/bin/lunserve|$(PREFIX)/bin/lunserve|' $(DESTDIR)$(PREFIX)/lib/systemd/system/lunserve@.service

deb: ## lunserve_VERSION_ARCH.deb, a Debian package that depends on no other
	@rm -rf $(TREE)
	@$(MAKE) --no-print-directory install DESTDIR=$(TREE) PREFIX=/usr ZSHDIR=zsh/vendor-completions
	gzip -9n $(TREE)/usr/share/man/man8/lunserve.8
	install -D -m 644 LICENSE $(TREE)/usr/share/doc/lunserve/copyright
	@mkdir $(TREE)/DEBIAN
	@# A version is v1.2.3 or, of what has no tag, v0.0.0-TIME-COMMIT; without git there is none.
	@version=$$(./lunserve --version | sed -n 's/^lunserve v\([^ ,]*\).*/\1/p' | tr - .); \
	printf '%s\n' \
		'Package: lunserve' \
		"Version: $${version:-0}" \
		"Architecture: $$($(GO) env GOARCH)" \
		'Section: admin' \
		'Priority: optional' \
		'Maintainer: lunserve maintainers <maintainers@lunserve.invalid>' \
		'Homepage: https://github.com/lunserve/lunserve' \
		'Recommends: kmod' \
		"Installed-Size: $$(du -sk $(TREE)/usr | cut -f1)" \
		'Description: turn disk images into SCSI disks' \
		' One command turns a disk image into a SCSI disk of this machine, an iSCSI' \
		' target or a vhost target, for as long as the command runs.' >$(TREE)/DEBIAN/control
	dpkg-deb --root-owner-group --build $(TREE) .
	@rm -r $(TREE)

demo: build ## lunserve's main job, on a real kernel
	@e2e/demo

vm: build ## a root shell on a kernel that has TCM-USER, lunserve on its PATH
	@e2e/vm

test: check unit package e2e ## all of what has to pass: check, unit, package, e2e

check: go ## format, vet, staticcheck, shellcheck; and does it compile for arm64?
	@$(INSTALL) mandoc shellcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "try: gofmt -w" $$unformatted; exit 1; }
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	shellcheck $(SCRIPTS)
	@# That it refers to manuals which are not installed here is no fault of the manual's.
	! mandoc -T lint man/lunserve.8 2>/dev/null | grep -v 'referenced manual not found'
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null .

unit: go ## the tests that need no kernel of their own, with the race detector
	@$(INSTALL) android-sdk-libsparse-utils bash-completion bzip2 e2fsprogs fdisk fish gcc libc6-dev mount qemu-utils xz-utils zsh zstd
	CGO_ENABLED=1 $(GO) test -race $$($(GO) list ./... | grep -v '/e2e$$')

e2e: build ## the tests of the built binary on a real kernel, in one boot
	@$(INSTALL) $(WITNESSES)
	@# The tests' time limit is given to them alone: go test would count the wait for another machine, too.
	CI=true CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 -exec "$(CURDIR)/e2e/vm -t 1260 --" ./e2e -args -test.timeout=20m

package: ## make deb, and install that where there is nothing else
	@$(INSTALL) coreutils dpkg
	@rm -f lunserve_*.deb
	@$(MAKE) --no-print-directory deb
	e2e/package lunserve_*.deb

bench: build ## the ring and the backstores by themselves, then lunserve beside its peers
	@$(INSTALL) e2fsprogs fio tar util-linux zstd
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v '/e2e$$')
	PATH="$(CURDIR):$$PATH" $(GO) run ./e2e/packbench
	CGO_ENABLED=0 $(GO) build -o $(BENCH) ./e2e/bench
	e2e/vm -t 3600 $(BENCH)
	e2e/vm -1 -t 3600 $(BENCH) -icount
	@rm $(BENCH)

conformance: build ## libiscsi's test suite on lunserve and on LIO fileio, into e2e/CONFORMANCE.md
	@$(INSTALL) e2fsprogs kmod libiscsi-bin mount
	CGO_ENABLED=0 $(GO) build -o $(CONFORMANCE)/run ./e2e/conformance
	@rm -f $(CONFORMANCE)/CONFORMANCE.md
	e2e/vm -s -t 3600 -o $(CONFORMANCE) -- $(CONFORMANCE)/run; status=$$?; \
		cp $(CONFORMANCE)/CONFORMANCE.md e2e/ && echo "the logs are in $(CONFORMANCE)/conformance" && exit $$status

fuzz: build ## each fuzz target, and commands at random on a real kernel, for FUZZTIME (20s)
	@for dir in $$($(GO) list -f '{{.Dir}}' ./...); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go 2>/dev/null); do \
			echo "$$target, $(FUZZTIME)"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir || exit 1; \
		done; \
	done
	@$(INSTALL) $(WITNESSES)
	@echo "commands at random, $(FUZZTIME)"
	CI=true CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 -exec "$(CURDIR)/e2e/vm -t 0 --" ./e2e -v -args -test.run AtRandom -random $(FUZZTIME)

clean: ## remove what was built; the kernel is in ~/.cache/lunserve-vm
	rm -f lunserve lunserve_*.deb

help: ## this
	@sed -n 's/^\([a-z0-9]*\):.*## /\1	/p' Makefile | expand -t 8

go:
	@command -v $(GO) >/dev/null || { echo "no Go here; get 1.26 or later from https://go.dev/dl and put its bin folder on PATH" >&2; exit 1; }
