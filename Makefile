# Godwit. GNU make, one file, not recursive; CONTRIBUTING.md lists the commands.
#   VARIANT  release (default) debug asan tsan cover fuzz   V=1  show commands   BUILD  build folder
VARIANT ?= release
BUILD   ?= build
B       := $(BUILD)/$(VARIANT)
Q       := $(if $(V),,@)
SHELL   := /bin/bash
MAKEFLAGS += --no-builtin-rules

# The architecture as data: each folder may include itself and what is listed here, nothing else.
FOLDERS          := base proto edge replication node router queue stream cli
USES_base        :=
USES_proto       := base
USES_edge        := base proto
USES_replication := base proto edge
USES_node        := base proto edge replication
USES_router      := base proto edge replication
USES_queue       := base proto edge replication node
USES_stream      := base proto edge replication node
USES_cli         := base proto edge replication node router queue stream

CC       := $(if $(filter tsan fuzz,$(VARIANT)),clang,gcc)
# No -Wpedantic: gcc counts %m among its sins, and there is no finer switch.
WARN     := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wno-missing-field-initializers \
            -Wpointer-arith -Wwrite-strings -Wswitch-enum -Wundef -Werror
COMMON   := -std=gnu11 -D_GNU_SOURCE -g -fno-strict-aliasing -fstack-protector-strong -pthread -mcx16 -msse4.2
OPT_release := -O2 -flto=2 -DGODWIT_RELEASE=1
OPT_debug   := -O1
OPT_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -fsanitize=thread -fno-omit-frame-pointer
OPT_cover   := -O0 --coverage
OPT_fuzz    := -O1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS   := $(COMMON) $(WARN) $(OPT_$(VARIANT)) $(EXTRA_CFLAGS)
LDFLAGS  := -pthread $(filter -fsanitize% --coverage -flto% -O2,$(OPT_$(VARIANT)))
# The sanitizers bring an allocator of their own; two in one process hide each other's errors.
LDLIBS   := $(if $(filter asan tsan fuzz,$(VARIANT)),,-ljemalloc) -lurcu-qsbr -lprotobuf-c -lsodium -lxxhash \
            -llua5.1 -l:liblua5.1-bitop.so.0 -lm

SRC      := $(foreach d,$(FOLDERS),$(wildcard $(d)/*.c $(d)/*/*.c))
GEN_C    := $(patsubst %.proto,$(B)/gen/%.pb-c.c,$(wildcard proto/*.proto))
LLHTTP   := $(patsubst %,$(B)/llhttp/%.o,api http llhttp)
OBJ      := $(SRC:%.c=$(B)/%.o)
LIB_OBJ  := $(filter-out $(B)/cli/main.o,$(OBJ)) $(GEN_C:.c=.o) $(LLHTTP)

# bin/godwit is the release, whatever else is built beside it.
all: $(if $(filter release,$(VARIANT)),bin/godwit,$(B)/godwit)

bin/godwit: $(BUILD)/release/godwit
	$(Q)mkdir -p bin && cp -f $< $@.new && mv -f $@.new $@

$(B)/libgodwit.a: $(LIB_OBJ)
	$(Q)rm -f $@ && gcc-ar rcs $@ $^

$(B)/godwit: $(B)/cli/main.o $(B)/libgodwit.a
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(B)/libgodwit.a $(LDLIBS)

# Each folder compiles against links to its neighbours only, so an include not listed above fails.
# The links are relative: the tree may be moved, and its path may hold spaces.
$(B)/inc/%/.ok: Makefile
	$(Q)mkdir -p $(@D)
	$(Q)for d in $* $(USES_$*); do ln -sfn ../../../../$$d $(@D)/$$d; done; touch $@

define folder_rules
$(B)/$(1)/%.o: $(1)/%.c $(B)/inc/$(1)/.ok | $(GEN_C)
	@$$(if $(V),,echo "  CC $$<")
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) -I$(B)/inc/$(1) -isystem $(B)/gen -isystem /usr/share/include/llhttp -isystem /usr/include/lua5.1 -MMD -MP -c -o $$@ $$<
endef
$(foreach d,$(FOLDERS),$(eval $(call folder_rules,$(d))))

$(B)/gen/%.pb-c.c: %.proto
	$(Q)mkdir -p $(@D)
	$(Q)protoc-c --proto_path=. --c_out=$(B)/gen $<
$(B)/gen/%.o: $(B)/gen/%.c
	$(Q)$(CC) $(COMMON) $(OPT_$(VARIANT)) -I$(B)/gen -c -o $@ $<
$(B)/llhttp/%.o: /usr/share/llhttp/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(COMMON) $(OPT_$(VARIANT)) -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -c -o $@ $<

# Unit tests: one binary a folder; a suite's symbol is its file's name (tests/lib/unit.h).
UNIT_DIRS := $(sort $(patsubst tests/unit/%/,%,$(dir $(wildcard tests/unit/*/test_*.c))))
TESTLIB   := $(patsubst %.c,$(B)/%.o,$(wildcard tests/lib/*.c))
$(B)/tests/%.o: tests/%.c Makefile | $(GEN_C)
	@$(if $(V),,echo "  CC $<")
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -I. -isystem $(B)/gen -isystem /usr/share/include/llhttp -isystem /usr/include/lua5.1 -MMD -MP -c -o $@ $<
# The list of suites is written again only when it differs, so that a new file is enough.
define unit_rules
$(B)/gen/unit_$(1).c: FORCE
	@mkdir -p $$(@D)
	@{ echo '#include "tests/lib/unit.h"'; \
	   for s in $(patsubst tests/unit/$(1)/test_%.c,%,$(sort $(wildcard tests/unit/$(1)/test_*.c))); do \
	       echo "extern const struct unit_test test_$$$$s[];"; list="$$$$list {\"$$$$s\", test_$$$$s},"; done; \
	   echo "const struct unit_suite unit_suites[] = {$$$$list {NULL, NULL}};"; } > $$@.new
	@cmp -s $$@.new $$@ && rm $$@.new || mv $$@.new $$@
$(B)/gen/unit_$(1).o: $(B)/gen/unit_$(1).c tests/lib/unit.h
	$$(Q)$$(CC) $$(CFLAGS) -I. -c -o $$@ $$<
$(B)/unit_$(1): $(patsubst %.c,$(B)/%.o,$(wildcard tests/unit/$(1)/*.c)) $(B)/gen/unit_$(1).o $(TESTLIB) $(B)/libgodwit.a
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $(B)/libgodwit.a $$(LDLIBS) -lcunit -ljansson
endef
$(foreach d,$(UNIT_DIRS),$(eval $(call unit_rules,$(d))))
UNIT_BINS := $(UNIT_DIRS:%=$(B)/unit_%)
unit-bins: $(UNIT_BINS)
FORCE:

# make unit                  every suite        make unit T=proto/resp_req    one suite of one folder
# In the debug variant, since release has no fault points.
ifeq ($(origin VARIANT),file)
unit:
	$(Q)$(MAKE) --no-print-directory VARIANT=debug unit
else
unit: $(if $(T),$(B)/unit_$(firstword $(subst /, ,$(T))),$(UNIT_BINS))
	$(Q)for b in $^; do echo "$$b"; "$$b" $(if $(T),$(word 2,$(subst /, ,$(T)))) || exit 1; done
endif

# Property tests: what concurrent clients may see. make prop [SECONDS=60] [PART=many]
# make prop-broken: one guard left out at a time (BROKEN() in the source); the part beside it must fail.
PROP_BINS := $(B)/prop_isolation
PROP_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard tests/prop/*.c))
$(B)/prop_isolation: $(PROP_OBJ) $(B)/libgodwit.a
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
prop-bins: $(PROP_BINS)
ifeq ($(origin VARIANT),file)
prop prop-broken:
	$(Q)$(MAKE) --no-print-directory VARIANT=debug $@
else
prop: $(B)/prop_isolation
	$(Q)$< $(or $(SECONDS),4) $(PART)
BREAKS      := 1-many 2-many 3-order 2-pair 4-twice 5-relies 6-present 7-gone 8-gone 2-multi 9-watch 2-script 10-script 11-turns 12-pops 14-limit 13-grow
BREAK_SRC    = $(shell grep -lw BROKEN $(SRC))
$(B)/broken_%: $(PROP_OBJ) $(B)/libgodwit.a FORCE
	$(Q)for f in $(BREAK_SRC); do mkdir -p "$@.d/$$(dirname $$f)" && $(CC) $(CFLAGS) -DGODWIT_BREAK=$(firstword $(subst -, ,$*)) \
	    -I. -isystem $(B)/gen -isystem /usr/include/lua5.1 -c -o "$@.d/$$f.o" $$f || exit 1; done
	$(Q)$(CC) $(LDFLAGS) -o $@ $(PROP_OBJ) $(BREAK_SRC:%=$@.d/%.o) $(B)/libgodwit.a $(LDLIBS)
prop-broken: $(BREAKS:%=$(B)/broken_%)
	$(Q)for b in $(BREAKS); do if BREACH_ENDS=1 $(B)/broken_$$b $(or $(SECONDS),20) $${b#*-} > $(B)/broken_$$b.log; \
	    then echo "$$b: NOT caught"; exit 1; else echo "$$b: $$(grep -m 1 ': ' $(B)/broken_$$b.log)"; fi; done
endif

# Fuzz targets: tests/fuzz/fuzz_<codec>.c and its corpus in tests/fuzz/corpus/<codec>/.
# make fuzz F=resp_req TIME=60    libFuzzer; new inputs stay in the build folder, copy what is worth it
# Any variant can replay a corpus: tests/fuzz/replay.c stands in for libFuzzer.
FUZZ_NAMES  := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAY_BINS := $(FUZZ_NAMES:%=$(B)/replay_%)
$(B)/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(B)/libgodwit.a
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(B)/libgodwit.a $(LDLIBS)
$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/libgodwit.a
	$(Q)$(CC) $(filter-out -fsanitize%,$(LDFLAGS)) -fsanitize=address,undefined,fuzzer -o $@ $(filter %.o,$^) $(B)/libgodwit.a $(LDLIBS)
replay-bins: $(REPLAY_BINS)
TIME ?= 60
fuzz:
	$(Q)[ -n "$(F)" ] || { echo "make fuzz F=<one of: $(FUZZ_NAMES)> [TIME=60]"; exit 2; }
	$(Q)$(MAKE) --no-print-directory VARIANT=fuzz $(BUILD)/fuzz/fuzz_$(F)
	$(Q)mkdir -p $(BUILD)/fuzz/new_$(F) tests/fuzz/corpus/$(F)
	$(Q)cd $(BUILD)/fuzz && ./fuzz_$(F) -max_total_time=$(TIME) -timeout=10 -rss_limit_mb=2048 \
	    new_$(F) "$(CURDIR)/tests/fuzz/corpus/$(F)"

# What a newcomer types. Each checks that its packages are there, and says what it installs.
run:
	$(Q)deploy/setup.sh run build
	$(Q)$(MAKE) -s -j"$$(nproc)" bin/godwit
	$(Q)deploy/run.sh bin/godwit serve $(ARGS)
test:
	$(Q)deploy/setup.sh run build test
	$(Q)tests/run.sh all
test-asan test-tsan:
	$(Q)deploy/setup.sh run build test
	$(Q)tests/run.sh $(@:test-%=%)
# make e2e T=clients         one file of tests/e2e        make e2e T=spec     the transcripts
e2e:
	$(Q)deploy/setup.sh run build test
	$(Q)tests/run.sh e2e $(T)

# What is generated and committed; `make lint` fails when it differs.
docs: $(B)/godwit
	$(Q)$(B)/godwit dev config-doc > deploy/CONFIG.md
	$(Q)$(B)/godwit dev metrics-doc > deploy/METRICS.md
	$(Q)if $(B)/godwit dev --help | grep -q commands-doc; then $(B)/godwit dev commands-doc > proto/COMMANDS.md; fi

C_FILES := $(foreach d,$(FOLDERS) tests bench,$(wildcard $(d)/*.[ch] $(d)/*/*.[ch] $(d)/*/*/*.[ch]))
fmt:
	$(Q)clang-format -i $(C_FILES)
lint:
	$(Q)deploy/setup.sh build test
	$(Q)$(MAKE) --no-print-directory VARIANT=debug lint-inputs
# make itself brings a LINT ("lint"), which is nobody's choice of parts.
	$(Q)tests/lint/lint.sh $(BUILD)/debug $(if $(filter default,$(origin LINT)),,$(LINT))
lint-inputs: $(B)/godwit $(FOLDERS:%=$(B)/inc/%/.ok) $(GEN_C)

# make bench                 every scenario     make bench S=get      one, compared with the last result
# The load program stands alone: it shares no code with the server that it measures.
$(B)/load: bench/load.c bench/load_wire.c bench/load_cmd.c bench/load.h bench/hist.h Makefile
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(COMMON) $(WARN) -O2 -I. -o $@ $(filter %.c,$^) -lm
$(B)/bench_floor: bench/floor.c Makefile
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(COMMON) $(WARN) -O2 -o $@ $<
$(B)/bench_table: $(B)/bench/table.o $(B)/libgodwit.a
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/bench/%.o: bench/%.c bench/hist.h Makefile | $(GEN_C)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -I. -isystem $(B)/gen -MMD -MP -c -o $@ $<
bench: bin/godwit $(B)/load $(B)/bench_floor $(if $(wildcard node/table.c),$(B)/bench_table)
	$(Q)LOAD="$(B)/load" BENCH_TABLE="$(B)/bench_table" BENCH_FLOOR="$(B)/bench_floor" \
	    node bench/run.js $(S) $(BENCH_ARGS)

clean:
	$(Q)rm -rf $(BUILD) bin
.PHONY: all bench clean docs e2e fmt fuzz lint lint-inputs prop prop-bins prop-broken replay-bins run test test-asan test-tsan \
        unit unit-bins FORCE
.SECONDARY:
-include $(OBJ:.o=.d) $(wildcard $(B)/bench/*.d $(B)/tests/*/*.d $(B)/tests/*/*/*.d)
