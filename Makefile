# mkv: see README.md. `make` builds bin/mkv and bin/volumed; other targets are listed by `make help`.

VARIANT ?= release
PREFIX  ?= /usr/local
DESTDIR ?=

ifeq ($(origin CC),default)
  CC     := gcc
endif
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
else
  $(error VARIANT is release, asan or tsan)
endif

OBJ     := build/$(VARIANT)
CFLAGS  ?=
override CFLAGS += $(CSTD) $(WARN) $(OPT) $(DEPS) -D_GNU_SOURCE -I.
override LDFLAGS += $(OPT)

COMMON_O  := $(patsubst %.c,$(OBJ)/%.o,$(wildcard common/*.c))
MASTER_O  := $(patsubst %.c,$(OBJ)/%.o,$(filter-out master/main.c,$(wildcard master/*.c)))
VOLUMED_O := $(patsubst %.c,$(OBJ)/%.o,$(filter-out volumed/main.c,$(wildcard volumed/*.c)))
UNIT      := $(patsubst tests/unit/%.c,$(OBJ)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ      := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
SOURCES   := $(wildcard common/*.[ch] master/*.[ch] volumed/*.[ch] tests/unit/*.[ch] tests/fuzz/*.[ch] tests/bench/*.[ch])

.PHONY: all help unit test asan tsan fuzz bench format format-check lint install clean
all: $(BIN)/mkv $(BIN)/volumed

help:
	@echo "make [all]     bin/mkv and bin/volumed (VARIANT=asan|tsan: below build/)"
	@echo "make unit      unit tests"
	@echo "make test      unit and integration tests"
	@echo "make asan      the same under ASan and UBSan;  make tsan: under TSan"
	@echo "make fuzz      each fuzzer for FUZZ_SECONDS (default 60)"
	@echo "make bench     benchmarks, as ratios"
	@echo "make format    clang-format in place;  make format-check;  make lint: clang-tidy, shellcheck"
	@echo "make install   to DESTDIR and PREFIX"

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(BIN)/mkv: $(OBJ)/master/main.o $(MASTER_O) $(COMMON_O)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_MASTER)

$(BIN)/volumed: $(OBJ)/volumed/main.o $(VOLUMED_O) $(COMMON_O)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_COMMON)

# A unit test is one program, tests/unit/test_X.c, linked with everything but the mains.
$(OBJ)/unit/%: $(OBJ)/tests/unit/%.o $(MASTER_O) $(VOLUMED_O) $(COMMON_O)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_MASTER)

-include $(shell find build -name '*.d' 2>/dev/null)

clean:
	rm -rf build bin
