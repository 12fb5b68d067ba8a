# Godwit. GNU make, one file, not recursive; CONTRIBUTING.md lists the commands.
#   VARIANT  release (default) debug asan tsan cover     V=1  show commands     BUILD  build folder
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

CC       := $(if $(filter tsan,$(VARIANT)),clang,gcc)
# No -Wpedantic: gcc counts %m among its sins, and there is no finer switch.
WARN     := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wwrite-strings -Wswitch-enum -Wundef -Werror
COMMON   := -std=gnu11 -D_GNU_SOURCE -g -fno-strict-aliasing -fstack-protector-strong -pthread -mcx16 -msse4.2
OPT_release := -O2 -DGODWIT_RELEASE=1
OPT_debug   := -O1
OPT_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -fsanitize=thread -fno-omit-frame-pointer
OPT_cover   := -O0 --coverage
CFLAGS   := $(COMMON) $(WARN) $(OPT_$(VARIANT)) $(EXTRA_CFLAGS)
LDFLAGS  := -pthread $(filter -fsanitize% --coverage,$(OPT_$(VARIANT)))
# The sanitizers bring an allocator of their own; two in one process hide each other's errors.
LDLIBS   := $(if $(filter asan tsan,$(VARIANT)),,-ljemalloc) -lurcu-qsbr -lprotobuf-c -lsodium -lxxhash -lm

SRC      := $(foreach d,$(FOLDERS),$(wildcard $(d)/*.c $(d)/*/*.c))
GEN_C    := $(patsubst %.proto,$(B)/gen/%.pb-c.c,$(wildcard proto/*.proto))
LLHTTP   := $(patsubst %,$(B)/llhttp/%.o,api http llhttp)
OBJ      := $(SRC:%.c=$(B)/%.o)
LIB_OBJ  := $(filter-out $(B)/cli/main.o,$(OBJ)) $(GEN_C:.c=.o) $(LLHTTP)

all: bin/godwit

bin/godwit: $(B)/godwit
	$(Q)mkdir -p bin && cp -f $< $@.new && mv -f $@.new $@

$(B)/libgodwit.a: $(LIB_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

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
	$$(Q)$$(CC) $$(CFLAGS) -I$(B)/inc/$(1) -isystem $(B)/gen -isystem /usr/share/include/llhttp -MMD -MP -c -o $$@ $$<
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
UNIT_DIRS := $(notdir $(wildcard tests/unit/*))
TESTLIB   := $(patsubst %.c,$(B)/%.o,$(wildcard tests/lib/*.c))
$(B)/tests/%.o: tests/%.c Makefile | $(GEN_C)
	@$(if $(V),,echo "  CC $<")
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -I. -isystem $(B)/gen -isystem /usr/share/include/llhttp -MMD -MP -c -o $@ $<
define unit_rules
$(B)/unit_$(1): $(patsubst %.c,$(B)/%.o,$(wildcard tests/unit/$(1)/*.c)) $(TESTLIB) $(B)/libgodwit.a
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $(B)/libgodwit.a $$(LDLIBS) -lcunit
endef
$(foreach d,$(UNIT_DIRS),$(eval $(call unit_rules,$(d))))
UNIT_BINS := $(UNIT_DIRS:%=$(B)/unit_%)

# make unit                  every suite        make unit T=proto/resp_req    one suite of one folder
unit: $(if $(T),$(B)/unit_$(firstword $(subst /, ,$(T))),$(UNIT_BINS))
	$(Q)for b in $^; do "$$b" $(if $(T),$(word 2,$(subst /, ,$(T)))) || exit 1; done

# make bench                 every scenario     make bench S=get      one, compared with the last result
# The load program stands alone: it shares no code with the server that it measures.
$(B)/load: bench/load.c bench/load_wire.c bench/load.h bench/hist.h Makefile
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
.PHONY: all bench unit clean
.SECONDARY:
-include $(OBJ:.o=.d) $(wildcard $(B)/bench/*.d $(B)/tests/*/*.d $(B)/tests/*/*/*.d)
