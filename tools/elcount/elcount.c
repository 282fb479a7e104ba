/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * elcount: QEMU TCG plugin that counts executed instructions per exception
 * level, and the entries into EL2, for each benchguest phase.
 *
 * Independent of icount: it counts instructions, the guest's clock is not used.
 *
 * The exception level is read from PSTATE when a block is translated. QEMU keeps
 * separate translations per exception level, so that level holds for every
 * execution of the block. Entries into EL2 are executions of a block that starts
 * at VBAR_EL2 + 0x400 (synchronous), + 0x480 (IRQ), + 0x500/0x580 (the rest).
 *
 * benchguest brackets its phases with hint #100+n and hint #127 (NOPs on
 * hardware); the plugin reports the difference for every phase.
 *
 * Only plain callbacks are used, no inline operations: with more than one vCPU on
 * one TCG thread (which is what icount means) QEMU 10.0.2 crashes in inline
 * operations and can name the wrong vCPU in callbacks. Sums over all vCPUs are
 * right, so sums are all that is reported.
 *
 * No QEMU header is needed: the few functions used are declared here. Written
 * for plugin API 3 and 4 (seen working with QEMU 10.0.2).
 *
 *   -plugin path/elcount.so[,out=FILE][,stretches=on][,cores=on][,disk_wait=MICROSECONDS]
 *
 * stretches=on reports something else instead: the *stretches* of EL2 on each core
 * that runs a guest, from an entry out of the guest to the return to it. Which core
 * executes is read from TPIDR_EL2 at the start of every block of EL2 (a register
 * read always means the vCPU that executes, whatever the callback is told), and
 * which guest was left from VTTBR_EL2 and VMPIDR_EL2 at the entry:
 *
 *   STRETCH total vmid 1 vcpu 0 irq 5000 min 41 max 41 sum 205000 sync 83 min ...
 *
 * With hints 100+n, a line each with `phase n` for what the phase changed. Not
 * counted, since no guest waits for EL2 there: a stretch in which the core sleeps
 * at EL2 (WFI or WFE), and one that starts a vCPU (it writes CNTVOFF_EL2), and so
 * everything before a core's first guest. With -icount a core that waits for a lock
 * is counted to the end of its slice, since its holder cannot run meanwhile: take
 * the longest stretch of cores that share locks without -icount, where this works
 * too (a thread for each vCPU).
 *
 * What a core executes while it waits for a lock is not counted but told: `waited`. It is known by an ISB (Rust's
 * spin_loop) that comes again within a few instructions. For the longest stretch of each vCPU there is a line with
 * what it was entered for and where it executed how much, block by block:
 *
 *   LONGEST vmid 1 vcpu 0 sync 1234 waited 0 esr 0x93800007 at 0x4000001400=12 0x4000001430=9 ...
 *
 * And whenever a core starts a vCPU that ran before, a line tells what the core executed at EL2 since it last left
 * the guest: from a life's end on that core to the first instruction of the next one.
 *
 *   START vmid 1 vcpu 0 el2 410000
 *
 * When it starts one for the first time, a line tells what the core executed at EL2 since it set TPIDR_EL2, and what the
 * others have by then, in the order in which they set theirs. The first has all that came before in its number too.
 *
 *   FIRST vmid 2 el2 200000 others 910000 40000 40000
 *
 * cores=on reports, for each phase, what each core that has a guest executed: below EL2 and at EL2, the entries into EL2
 * (synchronous, IRQ, other), and `idle`: the instructions below EL2 of turns in which the service partition's loop found
 * nothing to do. It ends a turn with work by hint #98 and one without by hint #99. Cores are told apart as above.
 *
 *   CORE phase 2 vmid 1 vcpu 0 guest 40000 idle 0 el2 9000 sync 60 irq 30 other 0
 *
 * disk_wait lets the host's other threads run for so long whenever a guest has stored to QueueNotify of one of the board's
 * virtio-mmio transports. Then a request completes before the next instruction, however busy the host is, and counts
 * repeat: how often somebody looks in vain does not depend on the host.
 */
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct insn;
struct tb;
struct regh;
struct reg_desc { struct regh *handle; const char *name; const char *feature; };
struct garray { char *data; unsigned len; };
struct gbytes { uint8_t *data; unsigned len; };
typedef void (*vcpu_cb)(plugin_id, unsigned);
typedef void (*vcpu_udata_cb)(unsigned, void *);
typedef void (*tb_trans_cb)(plugin_id, struct tb *);
typedef void (*exit_cb)(plugin_id, void *);
typedef void (*mem_cb)(unsigned, uint32_t, uint64_t, void *);
enum { CB_NO_REGS = 0, CB_R_REGS = 1 };
enum { MEM_W = 2 };

void qemu_plugin_register_vcpu_init_cb(plugin_id, vcpu_cb);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, tb_trans_cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct tb *, vcpu_udata_cb, int flags, void *udata);
void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *, vcpu_udata_cb, int flags, void *udata);
void qemu_plugin_register_vcpu_mem_cb(struct insn *, mem_cb, int flags, int rw, void *udata);
size_t qemu_plugin_tb_n_insns(const struct tb *);
uint64_t qemu_plugin_tb_vaddr(const struct tb *);
struct insn *qemu_plugin_tb_get_insn(const struct tb *, size_t);
size_t qemu_plugin_insn_data(const struct insn *, void *, size_t);
void qemu_plugin_register_atexit_cb(plugin_id, exit_cb, void *);
struct garray *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(struct regh *, struct gbytes *);
struct gbytes *g_byte_array_new(void);
struct gbytes *g_byte_array_set_size(struct gbytes *, unsigned);

EXPORT int qemu_plugin_version = 4;

enum { SYNC, IRQ, OTHER, NKIND };
#define MAXCPU 64
struct counts {
	uint64_t insn[4];      /* per exception level */
	uint64_t enter[NKIND]; /* entries into EL2 from below */
};
static struct counts live[MAXCPU];
static struct counts start;
static struct regh *pstate_reg, *vbar_reg, *tpidr_reg, *vttbr_reg, *vmpidr_reg, *esr_reg;
static __thread struct gbytes *scratch;
static FILE *out;
static int phase = -1, booted;

static struct counts total(void)
{
	struct counts t;
	memset(&t, 0, sizeof(t));
	for (int i = 0; i < MAXCPU; i++) {
		for (int e = 0; e < 4; e++)
			t.insn[e] += live[i].insn[e];
		for (int k = 0; k < NKIND; k++)
			t.enter[k] += live[i].enter[k];
	}
	return t;
}

static void report(const char *what, int n)
{
	struct counts t = total();
	for (int e = 0; e < 4; e++)
		t.insn[e] -= start.insn[e];
	for (int k = 0; k < NKIND; k++)
		t.enter[k] -= start.enter[k];
	uint64_t entries = t.enter[SYNC] + t.enter[IRQ] + t.enter[OTHER];
	fprintf(out, "ELCOUNT %s", what);
	if (n >= 0)
		fprintf(out, " %d", n);
	fprintf(out, " el0 %lu el1 %lu el2 %lu el2_sync %lu el2_irq %lu el2_other %lu el2_insn_per_entry %.1f\n",
		t.insn[0], t.insn[1], t.insn[2], t.enter[SYNC], t.enter[IRQ], t.enter[OTHER],
		entries ? (double)t.insn[2] / (double)entries : 0.0);
	fflush(out);
}

static void on_insn(unsigned vcpu, void *udata)
{
	live[vcpu % MAXCPU].insn[(uintptr_t)udata]++;
}

static void on_first_low(unsigned vcpu, void *udata)
{
	(void)vcpu;
	(void)udata;
	if (!booted) {
		booted = 1;
		report("until_first_el1_instruction", -1);
	}
}

static void on_enter(unsigned vcpu, void *udata)
{
	live[vcpu % MAXCPU].enter[(uintptr_t)udata]++;
}

static uint64_t reg(struct regh *r);

/* Stretches. */

struct extent { uint64_t n, min, max, sum; };
/* A translated block of EL2. */
struct block {
	uint64_t address;
	unsigned insn;
	int kind, waits;
};
/* Blocks of a stretch that are remembered; a longer one loses its end. */
#define MAXTRACE 16384
struct core {
	uint64_t tpidr;
	/* The open stretch: instructions so far, the kind of its entry, whose vCPU was left. */
	uint64_t insn;
	int open, kind;
	unsigned guest;
	/* Not counted: waiting for locks. The last block that waits, and when it came. */
	uint64_t waited, wait_insn;
	const struct block *wait;
	/* Why it was entered, and where it was. */
	uint64_t esr;
	const struct block *trace[MAXTRACE];
	unsigned ntrace;
	/* Since the guest was last left, whatever came between. */
	uint64_t since;
	int left, starts;
	/* For cores=on: all so far, and what it was when the phase began; below EL2 in this turn of the service's loop. */
	struct work { uint64_t guest, idle, el2, enter[NKIND]; } all, before;
	uint64_t turn;
	unsigned vmid, vcpu;
};
struct place { uint64_t address, insn; };
#define MAXPLACE 1024
struct guest {
	uint64_t vttbr, vmpidr;
	struct extent total[NKIND], phase[NKIND];
	/* The longest stretch. */
	uint64_t insn, waited, esr;
	int kind;
	struct place places[MAXPLACE];
	unsigned nplaces;
};
static struct core cores[MAXCPU];
static struct guest guests[MAXCPU];
static unsigned ncores, nguests;
static pthread_mutex_t tables = PTHREAD_MUTEX_INITIALIZER;
/* Of this thread: with -icount one runs all vCPUs, otherwise each has its own. */
static __thread struct core *here = cores;
static int wants_stretches, wants_cores;
static useconds_t disk_wait;

static unsigned guest_left(void)
{
	uint64_t vttbr = reg(vttbr_reg), vmpidr = reg(vmpidr_reg);
	unsigned i = 0;
	pthread_mutex_lock(&tables);
	while (i < nguests && (guests[i].vttbr != vttbr || guests[i].vmpidr != vmpidr))
		i++;
	if (i == nguests && nguests < MAXCPU) {
		guests[nguests].vttbr = vttbr;
		guests[nguests++].vmpidr = vmpidr;
	}
	pthread_mutex_unlock(&tables);
	return i % MAXCPU;
}

/* The core that executes. */
static void find_core(void)
{
	uint64_t tpidr = reg(tpidr_reg);
	if (here->tpidr != tpidr) {
		unsigned i = 0;
		pthread_mutex_lock(&tables);
		while (i < ncores && cores[i].tpidr != tpidr)
			i++;
		if (i == ncores && ncores < MAXCPU)
			cores[ncores++].tpidr = tpidr;
		here = &cores[i % MAXCPU];
		pthread_mutex_unlock(&tables);
	}
}

/* A block of EL2 begins: from here to its end this core executes. */
static void on_el2_block(unsigned vcpu, void *udata)
{
	const struct block *block = udata;
	(void)vcpu;
	find_core();
	if (block->kind >= 0) {
		here->open = here->left = 1;
		here->kind = block->kind;
		here->insn = here->since = here->waited = 0;
		here->starts = 0;
		here->wait = NULL;
		here->ntrace = 0;
		here->esr = reg(esr_reg);
		here->guest = guest_left();
	}
	if (block->waits) {
		if (here->wait == block && here->insn - here->wait_insn <= 16) {
			here->waited += here->insn - here->wait_insn;
			here->insn = here->wait_insn;
		}
		here->wait = block;
		here->wait_insn = here->insn;
	}
	if (here->open && here->ntrace < MAXTRACE)
		here->trace[here->ntrace++] = block;
}

static void on_el2_insn(unsigned vcpu, void *udata)
{
	(void)vcpu;
	(void)udata;
	here->insn++;
	here->since++;
	here->all.el2++;
}

/* VTTBR_EL2 is the vCPU's already. */
static void on_el2_start(unsigned vcpu, void *udata)
{
	(void)vcpu;
	(void)udata;
	here->open = 0;
	here->starts = 1;
	here->vmid = (unsigned)(reg(vttbr_reg) >> 48);
}

static void on_el2_idle(unsigned vcpu, void *udata)
{
	(void)vcpu;
	(void)udata;
	here->open = 0;
}

static void extend(struct extent *e, uint64_t insn)
{
	if (!e->n || insn < e->min)
		e->min = insn;
	if (insn > e->max)
		e->max = insn;
	e->n++;
	e->sum += insn;
}

/* The longest stretch of this vCPU so far: where was it? */
static void remember(struct guest *g)
{
	g->insn = here->insn;
	g->waited = here->waited;
	g->esr = here->esr;
	g->kind = here->kind;
	g->nplaces = 0;
	for (unsigned i = 0; i < here->ntrace; i++) {
		unsigned p = 0;
		while (p < g->nplaces && g->places[p].address != here->trace[i]->address)
			p++;
		if (p == MAXPLACE)
			continue;
		if (p == g->nplaces) {
			g->places[p].address = here->trace[i]->address;
			g->places[p].insn = 0;
			g->nplaces++;
		}
		g->places[p].insn += here->trace[i]->insn;
	}
}

/* Called for ERET after it was counted. */
static void on_el2_eret(unsigned vcpu, void *udata)
{
	(void)vcpu;
	(void)udata;
	if (here->open) {
		extend(&guests[here->guest].total[here->kind], here->insn);
		extend(&guests[here->guest].phase[here->kind], here->insn);
		if (here->insn > guests[here->guest].insn)
			remember(&guests[here->guest]);
	}
	if (here->starts && here->left) {
		const struct guest *g = &guests[here->guest];
		pthread_mutex_lock(&tables);
		fprintf(out, "START vmid %u vcpu %u el2 %lu\n", (unsigned)(g->vttbr >> 48), (unsigned)(g->vmpidr & 0xff),
			here->since);
		fflush(out);
		pthread_mutex_unlock(&tables);
	}
	if (here->starts && !here->left) {
		pthread_mutex_lock(&tables);
		fprintf(out, "FIRST vmid %u el2 %lu others", here->vmid, here->all.el2);
		for (unsigned i = 0; i < ncores; i++)
			if (&cores[i] != here)
				fprintf(out, " %lu", cores[i].all.el2);
		fprintf(out, "\n");
		fflush(out);
		pthread_mutex_unlock(&tables);
	}
	here->open = here->starts = here->left = 0;
}

static void report_stretches(const char *what, int n)
{
	static const char *const names[NKIND] = { "sync", "irq", "other" };
	for (unsigned i = 0; i < nguests; i++) {
		struct extent *e = n < 0 ? guests[i].total : guests[i].phase;
		fprintf(out, "STRETCH %s", what);
		if (n >= 0)
			fprintf(out, " %d", n);
		fprintf(out, " vmid %u vcpu %u", (unsigned)(guests[i].vttbr >> 48), (unsigned)(guests[i].vmpidr & 0xff));
		for (int k = 0; k < NKIND; k++)
			fprintf(out, " %s %lu min %lu max %lu sum %lu", names[k], e[k].n, e[k].min, e[k].max, e[k].sum);
		fprintf(out, "\n");
		if (n >= 0 || !guests[i].insn)
			continue;
		fprintf(out, "LONGEST vmid %u vcpu %u %s %lu waited %lu esr 0x%lx at", (unsigned)(guests[i].vttbr >> 48),
			(unsigned)(guests[i].vmpidr & 0xff), names[guests[i].kind], guests[i].insn, guests[i].waited, guests[i].esr);
		for (unsigned p = 0; p < guests[i].nplaces; p++)
			fprintf(out, " 0x%lx=%lu", guests[i].places[p].address, guests[i].places[p].insn);
		fprintf(out, "\n");
	}
	fflush(out);
}

/* Lives as long as the block may be executed, which nobody tells: never freed. */
static struct block *block_of(struct tb *tb, unsigned el)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	uint64_t off = el == 2 ? qemu_plugin_tb_vaddr(tb) - reg(vbar_reg) : 0;
	struct block *block = malloc(sizeof(*block));
	uint32_t last = 0;
	if (!block)
		abort();
	qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, n - 1), &last, 4);
	block->address = qemu_plugin_tb_vaddr(tb);
	block->insn = (unsigned)n;
	block->kind = off < 0x400 || off >= 0x600 || (off & 0x7f) ? -1 : off == 0x400 ? SYNC : off == 0x480 ? IRQ : OTHER;
	block->waits = el == 2 && last == 0xd5033fdf;              /* isb */
	return block;
}

static void translate_stretches(struct tb *tb, unsigned el)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	if (el == 2) {
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_el2_block, CB_R_REGS, block_of(tb, el));
	}
	for (size_t i = 0; el == 2 && i < n; i++) {
		struct insn *in = qemu_plugin_tb_get_insn(tb, i);
		uint32_t op = 0;
		qemu_plugin_insn_data(in, &op, 4);
		qemu_plugin_register_vcpu_insn_exec_cb(in, on_el2_insn, CB_NO_REGS, NULL);
		if (op == 0xd69f03e0)                              /* eret */
			qemu_plugin_register_vcpu_insn_exec_cb(in, on_el2_eret, CB_NO_REGS, NULL);
		else if (op == 0xd503207f || op == 0xd503205f)     /* wfi, wfe */
			qemu_plugin_register_vcpu_insn_exec_cb(in, on_el2_idle, CB_NO_REGS, NULL);
		else if ((op & 0xffffffe0) == 0xd51ce060)          /* msr cntvoff_el2 */
			qemu_plugin_register_vcpu_insn_exec_cb(in, on_el2_start, CB_R_REGS, NULL);
	}
}

/* Work of each core. */

enum { TURN_WORKED = 98, TURN_IDLE };
/* QEMU's virt: its virtio-mmio transports, and QueueNotify in each. */
enum { TRANSPORTS = 0x0a000000, TRANSPORTS_SIZE = 0x4000, TRANSPORT = 0x200, QUEUE_NOTIFY = 0x50 };

static void on_block(unsigned vcpu, void *udata)
{
	const struct block *block = udata;
	(void)vcpu;
	find_core();
	if (block->waits) {
		/* As for stretches: what it executes while it waits for a lock is not counted. */
		if (here->wait == block && here->all.el2 - here->wait_insn <= 16)
			here->all.el2 = here->wait_insn;
		here->wait = block;
		here->wait_insn = here->all.el2;
	}
	if (block->kind >= 0) {
		here->all.enter[block->kind]++;
		here->vmid = (unsigned)(reg(vttbr_reg) >> 48);
		here->vcpu = (unsigned)(reg(vmpidr_reg) & 0xff);
	}
}

static void on_guest_insn(unsigned vcpu, void *udata)
{
	(void)vcpu;
	(void)udata;
	here->all.guest++;
	here->turn++;
}

static void on_core_el2_insn(unsigned vcpu, void *udata)
{
	(void)vcpu;
	(void)udata;
	here->all.el2++;
}

static void on_turn(unsigned vcpu, void *udata)
{
	(void)vcpu;
	if ((intptr_t)udata == TURN_IDLE)
		here->all.idle += here->turn;
	here->turn = 0;
}

static void on_store(unsigned vcpu, uint32_t what, uint64_t address, void *udata)
{
	uint64_t offset = address - TRANSPORTS;
	(void)vcpu;
	(void)what;
	(void)udata;
	if (offset < TRANSPORTS_SIZE && offset % TRANSPORT == QUEUE_NOTIFY)
		usleep(disk_wait);
}

static void report_cores(const char *what, int n)
{
	for (unsigned i = 0; i < ncores; i++) {
		struct work w = cores[i].all, b = cores[i].before;
		if (!cores[i].vmid)
			continue;
		fprintf(out, "CORE %s", what);
		if (n >= 0)
			fprintf(out, " %d", n);
		else
			memset(&b, 0, sizeof(b));
		fprintf(out, " vmid %u vcpu %u guest %lu idle %lu el2 %lu sync %lu irq %lu other %lu\n", cores[i].vmid,
			cores[i].vcpu, w.guest - b.guest, w.idle - b.idle, w.el2 - b.el2, w.enter[SYNC] - b.enter[SYNC],
			w.enter[IRQ] - b.enter[IRQ], w.enter[OTHER] - b.enter[OTHER]);
	}
	fflush(out);
}

static void translate_cores(struct tb *tb, unsigned el)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	if (el > 2)
		return;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_R_REGS, block_of(tb, el));
	for (size_t i = 0; i < n; i++) {
		struct insn *in = qemu_plugin_tb_get_insn(tb, i);
		uint32_t op = 0;
		qemu_plugin_register_vcpu_insn_exec_cb(in, el == 2 ? on_core_el2_insn : on_guest_insn, CB_NO_REGS, NULL);
		qemu_plugin_insn_data(in, &op, 4);
		if (el == 1 && disk_wait)
			qemu_plugin_register_vcpu_mem_cb(in, on_store, CB_NO_REGS, MEM_W, NULL);
		for (intptr_t turn = TURN_WORKED; el == 1 && turn <= TURN_IDLE; turn++)
			if (op == (0xd503201f | turn << 5))
				qemu_plugin_register_vcpu_insn_exec_cb(in, on_turn, CB_NO_REGS, (void *)turn);
	}
}

static void on_mark(unsigned vcpu, void *udata)
{
	int n = (int)(intptr_t)udata;
	(void)vcpu;
	if (n == 27) {
		if (phase >= 0)
			(wants_cores ? report_cores : wants_stretches ? report_stretches : report)("phase", phase);
		phase = -1;
	} else {
		phase = n;
		start = total();
		for (unsigned i = 0; i < nguests; i++)
			memset(guests[i].phase, 0, sizeof(guests[i].phase));
		for (unsigned i = 0; i < ncores; i++)
			cores[i].before = cores[i].all;
	}
}

static uint64_t reg(struct regh *r)
{
	uint64_t v = 0;
	int n;
	if (!r)
		return 0;
	if (!scratch)
		scratch = g_byte_array_new();
	g_byte_array_set_size(scratch, 0);
	n = qemu_plugin_read_register(r, scratch);
	if (n > 0)
		memcpy(&v, scratch->data, n < 8 ? (size_t)n : 8);
	return v;
}

static void on_translate(plugin_id id, struct tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	unsigned el = (unsigned)(reg(pstate_reg) >> 2) & 3;
	(void)id;

	if (wants_cores) {
		translate_cores(tb, el);
	} else if (wants_stretches) {
		translate_stretches(tb, el);
	} else if (el == 2) {
		uint64_t off = qemu_plugin_tb_vaddr(tb) - reg(vbar_reg);
		if (off >= 0x400 && off < 0x600 && !(off & 0x7f))
			qemu_plugin_register_vcpu_tb_exec_cb(tb, on_enter, CB_NO_REGS,
				(void *)(uintptr_t)(off == 0x400 ? SYNC : off == 0x480 ? IRQ : OTHER));
	} else if (el == 1 && !booted) {
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_first_low, CB_NO_REGS, NULL);
	}
	for (size_t i = 0; i < n; i++) {
		struct insn *in = qemu_plugin_tb_get_insn(tb, i);
		uint32_t op = 0;
		if (!wants_stretches && !wants_cores)
			qemu_plugin_register_vcpu_insn_exec_cb(in, on_insn, CB_NO_REGS, (void *)(uintptr_t)el);
		qemu_plugin_insn_data(in, &op, 4);
		if (el == 1 && (op & 0xfffff01f) == 0xd503201f && ((op >> 5) & 0x7f) >= 100)
			qemu_plugin_register_vcpu_insn_exec_cb(in, on_mark, CB_NO_REGS,
				(void *)(uintptr_t)(((op >> 5) & 0x7f) - 100));
	}
}

static void on_vcpu(plugin_id id, unsigned vcpu)
{
	(void)id;
	(void)vcpu;
	if (pstate_reg)
		return;
	struct garray *a = qemu_plugin_get_registers();
	struct reg_desc *d = (struct reg_desc *)a->data;
	for (unsigned i = 0; i < a->len; i++) {
		if (!strcmp(d[i].name, "cpsr"))
			pstate_reg = d[i].handle;
		if (!strcmp(d[i].name, "VBAR_EL2"))
			vbar_reg = d[i].handle;
		if (!strcmp(d[i].name, "TPIDR_EL2"))
			tpidr_reg = d[i].handle;
		if (!strcmp(d[i].name, "VTTBR_EL2"))
			vttbr_reg = d[i].handle;
		if (!strcmp(d[i].name, "VMPIDR_EL2"))
			vmpidr_reg = d[i].handle;
		if (!strcmp(d[i].name, "ESR_EL2"))
			esr_reg = d[i].handle;
	}
	if ((wants_stretches || wants_cores) && !(tpidr_reg && vttbr_reg && vmpidr_reg))
		fprintf(out, "STRETCH note: no TPIDR_EL2, VTTBR_EL2 or VMPIDR_EL2 register\n");
	if (!pstate_reg || !vbar_reg)
		fprintf(out, "ELCOUNT note:%s%s\n", pstate_reg ? "" : " no cpsr register",
			vbar_reg ? "" : " no VBAR_EL2 register (virtualization off?)");
}

static void on_exit_(plugin_id id, void *u)
{
	(void)id;
	(void)u;
	memset(&start, 0, sizeof(start));
	(wants_cores ? report_cores : wants_stretches ? report_stretches : report)("total", -1);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	(void)info;
	out = stderr;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4)) {
			out = fopen(argv[i] + 4, "w");
			if (!out)
				return -1;
		}
		if (!strcmp(argv[i], "stretches=on"))
			wants_stretches = 1;
		if (!strcmp(argv[i], "cores=on"))
			wants_cores = 1;
		if (!strncmp(argv[i], "disk_wait=", 10))
			disk_wait = (useconds_t)strtoul(argv[i] + 10, NULL, 10);
	}
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
	return 0;
}
