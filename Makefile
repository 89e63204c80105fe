# mkv: see README.md. `make` builds bin/mkv and bin/volumed; `make help` lists the other targets.
#
# VARIANT=release (the default), asan, tsan or crash (master/crash_point.h) chooses how everything
# is compiled; each has its objects below build/VARIANT, and the programs of all but release stay
# there, away from bin/.

VARIANT ?= release
PREFIX  ?= /usr/local
DESTDIR ?=

# The compiler the code is kept clean under, and Debian's Python, whose packages the tests use.
ifeq ($(origin CC),default)
  CC     := gcc
endif
PYTHON       ?= /usr/bin/python3
CLANG        ?= clang
CLANG_FORMAT ?= clang-format
CLANG_TIDY   ?= clang-tidy
SHELLCHECK   ?= shellcheck
MANDOC       ?= mandoc
FUZZ_SECONDS ?= 60
# Further words for pytest, e.g. PYTEST_ARGS='-k put -x'.
PYTEST_ARGS  ?=

CSTD     := -std=gnu11
WARN     := -Wall -Wextra -Wshadow -Wconversion -Werror
DEPS     := -MMD -MP
LIBS_COMMON := -lcrypto -lpthread
LIBS_MASTER := -lleveldb -ljansson $(LIBS_COMMON)

ifeq ($(VARIANT),release)
  OPT := -O2 -g -fno-omit-frame-pointer -D_FORTIFY_SOURCE=2 -fstack-protector-strong
  BIN := bin
else ifeq ($(VARIANT),asan)
  OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
  BIN := build/asan/bin
else ifeq ($(VARIANT),tsan)
  OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
  BIN := build/tsan/bin
else ifeq ($(VARIANT),crash)
  OPT := -O1 -g -fno-omit-frame-pointer -DMKV_CRASH_POINTS
  BIN := build/crash/bin
else
  $(error VARIANT is release, asan, tsan or crash)
endif

OBJ     := build/$(VARIANT)
CFLAGS  ?=
override CFLAGS += $(CSTD) $(WARN) $(OPT) $(DEPS) -D_GNU_SOURCE -I.
override LDFLAGS += $(OPT)

COMMON_O  := $(patsubst %.c,$(OBJ)/%.o,$(wildcard common/*.c common/*/*.c))
MASTER_O  := $(patsubst %.c,$(OBJ)/%.o,$(filter-out master/main.c,$(wildcard master/*.c master/*/*.c master/*/*/*.c)))
VOLUMED_O := $(patsubst %.c,$(OBJ)/%.o,$(filter-out volumed/main.c,$(wildcard volumed/*.c)))
UNIT      := $(patsubst tests/unit/%.c,$(OBJ)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ      := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

PLACES    := common/* common/*/* master/* master/*/* master/*/*/* volumed/* tests/unit/* tests/fuzz/* tests/bench/*
C_FILES   := $(wildcard $(addsuffix .c,$(PLACES)))
HEADERS   := $(wildcard $(addsuffix .h,$(PLACES)))
SOURCES   := $(C_FILES) $(HEADERS)
# What begins with "#!" and names a shell (no '#' here, since make would take it for a comment).
SHELL_SCRIPTS := $(shell grep -lsE '^.!.*[/ ](ba|da)?sh( |$$)' $(wildcard scripts/* .ci/* tests/bench/*))

# Keep the objects of tests and fuzzers, which make would take for mere steps on the way.
.SECONDARY:
.PHONY: all help unit integration test asan tsan fuzz fuzz-corpus bench format format-check lint \
        install clean
all: $(BIN)/mkv $(BIN)/volumed

help:
	@echo "make [all]        bin/mkv and bin/volumed (VARIANT=asan|tsan|crash: below build/)"
	@echo "make unit         unit tests;  make integration: tests against running servers"
	@echo "make test         both"
	@echo "make asan         the same under ASan and UBSan;  make tsan: under TSan"
	@echo "make fuzz         each fuzzer for FUZZ_SECONDS (default 60);  make fuzz-corpus: keep"
	@echo "                  what they found that reaches new code"
	@echo "make bench        benchmarks, as ratios"
	@echo "make format       clang-format in place;  make format-check: only tells"
	@echo "make lint         clang-tidy, shellcheck, mandoc, and who includes whom"
	@echo "make install      to DESTDIR and PREFIX (default /usr/local)"
	@echo "make clean        removes bin and build"

# --- programs --------------------------------------------------------------------------------
$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC  $@'
	@$(CC) $(CFLAGS) -c -o $@ $<

$(BIN)/mkv: $(OBJ)/master/main.o $(MASTER_O) $(COMMON_O)
	@mkdir -p $(@D)
	@echo '  LD  $@'
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_MASTER)

$(BIN)/volumed: $(OBJ)/volumed/main.o $(VOLUMED_O) $(COMMON_O)
	@mkdir -p $(@D)
	@echo '  LD  $@'
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_COMMON)

# --- tests -----------------------------------------------------------------------------------
# A finding ends the program with a status that no test takes for success.
export ASAN_OPTIONS  ?= detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS ?= print_stacktrace=1
export TSAN_OPTIONS  ?= halt_on_error=1:second_deadlock_stack=1:suppressions=$(CURDIR)/tests/tsan.supp
# Where the tests find the programs, their vectors, and how these were compiled.
export MKV_BIN       := $(abspath $(BIN))
export MKV_TESTS     := $(CURDIR)/tests
export MKV_SANITIZER := $(filter-out release crash,$(VARIANT))

# A unit test is one program, tests/unit/test_X.c, linked with everything but the mains.
$(OBJ)/unit/%: $(OBJ)/tests/unit/%.o $(MASTER_O) $(VOLUMED_O) $(COMMON_O)
	@mkdir -p $(@D)
	@echo '  LD  $@'
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_MASTER)

# All of them run, whichever fails.
unit: $(UNIT)
	@failed=; for t in $(UNIT); do $$t || failed="$$failed $${t##*/}"; done; \
	if [ -n "$$failed" ]; then echo "unit tests failed:$$failed" >&2; exit 1; fi

# One folder or file of tests (INTEGRATION=…), pytest's arguments (PYTEST_ARGS=…).
INTEGRATION ?= tests/integration
integration: all
	$(PYTHON) -m pytest $(PYTEST_ARGS) $(if $(REPORT),--junitxml=$(REPORT)) $(INTEGRATION)

test: unit integration

asan tsan:
	$(MAKE) VARIANT=$@ test

# Rows and options go to BENCH, e.g. BENCH='redirect --rounds 9'; docs/benchmarks.md.
BENCH ?=
bench: all $(patsubst %,$(OBJ)/bench/%,load clients floor fill)
	tests/bench/run $(BENCH)

# The load, and the machine's limit: of nothing but their own source.
$(OBJ)/bench/%: $(OBJ)/tests/bench/%.o
	@mkdir -p $(@D)
	@echo '  LD  $@'
	@$(CC) $(LDFLAGS) -o $@ $^ -lpthread

# It writes an index as the master does.
$(OBJ)/bench/fill: $(OBJ)/tests/bench/fill.o $(MASTER_O) $(COMMON_O)
	@mkdir -p $(@D)
	@echo '  LD  $@'
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_MASTER)

# --- fuzzing ---------------------------------------------------------------------------------
# tests/fuzz/fuzz_X.c with its corpus tests/fuzz/corpus/X (seeds, and every past crash). What a
# run finds goes to build/fuzz: crashes beside the fuzzers, new inputs to build/fuzz/corpus/X.
FUZZ_O    := build/fuzz/obj
FUZZ_SAN  := address,undefined
FUZZ_OPT  := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
             -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
FUZZ_LIB  := $(patsubst $(OBJ)/%,$(FUZZ_O)/%,$(COMMON_O) $(MASTER_O) $(VOLUMED_O))
FUZZ_DICT  = $(addprefix -dict=,$(wildcard tests/fuzz/$*.dict))

$(FUZZ_O)/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(CSTD) $(WARN) $(DEPS) $(FUZZ_OPT) -fsanitize=fuzzer-no-link,$(FUZZ_SAN) -D_GNU_SOURCE -I. -c -o $@ $<

# An archive, so that a fuzzer takes from the programs only what it uses.
build/fuzz/libmkv.a: $(FUZZ_LIB)
	@rm -f $@
	ar rcsP $@ $^

build/fuzz/fuzz_%: $(FUZZ_O)/tests/fuzz/fuzz_%.o build/fuzz/libmkv.a
	$(CLANG) $(FUZZ_OPT) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $^ $(LIBS_MASTER)

fuzz-run-%: build/fuzz/fuzz_%
	@mkdir -p build/fuzz/corpus/$* tests/fuzz/corpus/$*
	$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 $(FUZZ_DICT) \
	  -artifact_prefix=build/fuzz/$*- build/fuzz/corpus/$* tests/fuzz/corpus/$*

fuzz-keep-%: build/fuzz/fuzz_%
	@mkdir -p build/fuzz/corpus/$* tests/fuzz/corpus/$*
	$< -merge=1 tests/fuzz/corpus/$* build/fuzz/corpus/$*

fuzz: $(patsubst build/fuzz/fuzz_%,fuzz-run-%,$(FUZZ))
fuzz-corpus: $(patsubst build/fuzz/fuzz_%,fuzz-keep-%,$(FUZZ))

# --- form ------------------------------------------------------------------------------------
format:
	$(CLANG_FORMAT) -i $(SOURCES)

format-check:
	$(CLANG_FORMAT) --dry-run --Werror $(SOURCES)

# A file is looked at again when it, a header or the rules have changed. Each gets a run of its
# own: one process for many files carries the analyzer's state from one to the next.
build/lint/%.tidy: %.c .clang-tidy $(HEADERS)
	@mkdir -p $(@D)
	@echo "$(CLANG_TIDY) $<"
	@$(CLANG_TIDY) --quiet $< -- $(CSTD) -D_GNU_SOURCE -I. 2>$@.log || { \
	  grep -v 'warnings* generated' $@.log >&2; exit 1; }
	@touch $@

lint: $(C_FILES:%.c=build/lint/%.tidy)
	$(if $(SHELL_SCRIPTS),$(SHELLCHECK) $(SHELL_SCRIPTS))
	$(MANDOC) -T lint -W warning docs/man/*.8
	scripts/check-layers

# --- install ---------------------------------------------------------------------------------
install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BIN)/mkv $(BIN)/volumed $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 docs/man/mkv.8 docs/man/volumed.8 $(DESTDIR)$(PREFIX)/share/man/man8

-include $(shell find build -name '*.d' 2>/dev/null)

clean:
	rm -rf build bin
