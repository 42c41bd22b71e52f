/* runner: a process that does to its address space what it is told, and nothing else.
 *
 * It has no C library, no heap and no stack but an array of its own, so that its image is ONE mapping at a fixed
 * address (runner.ld) and everything else that /proc/PID/maps shows was asked for. All of the image is written before
 * the first order and after each fork (settle), so that no fault of the runner's own falls into a measured order.
 *
 * Orders are messages of one line on file descriptor ORDERS + slot, numbers in hex; each is answered by one line:
 *
 *   s NR A0 .. A5            system call                      r RESULT MIN_FLT MAJ_FLT
 *   n COUNT STEP FLIP NR A0 .. A5   the same COUNT times, A0 += STEP, A2 ^= FLIP; until one fails
 *                                                             n TIMES RESULT MIN_FLT MAJ_FLT
 *   t ADDR   T ADDR          read a byte; write one without changing it      v 0 MIN_FLT MAJ_FLT
 *   l ADDR   S ADDR VALUE    load or store eight bytes        v VALUE MIN_FLT MAJ_FLT
 *                            ... where the access is bad      g SIGNAL CODE ADDR MIN_FLT MAJ_FLT
 *   m ADDR LENGTH            mincore                          b BYTES RESULT MIN_FLT MAJ_FLT
 *   i FD OFFSET   o FD OFFSET VALUE      pread, pwrite of eight bytes        r RESULT MIN_FLT MAJ_FLT, then VALUE
 *   p FD FLAGS PATH          open as FD                       r RESULT 0 0
 *   M FD NAME                memfd_create as FD               r RESULT 0 0
 *   L RESOURCE LIMIT         setrlimit, the hard limit stays  r RESULT 0 0
 *   c CAPABILITY ON          drop or raise an effective capability           r RESULT 0 0
 *   f SLOT                   fork; the child takes orders on SLOT            r PID 0 0
 *   e                        exec of the runner itself; it answers again when it is there
 *   x                        exit
 */

typedef unsigned long u64;
typedef unsigned int u32;

enum {
	ORDERS = 100,
	SLOTS = 8,
	ADDR_NO_RANDOMIZE = 0x0040000,
	SIGBUS = 7, SIGSEGV = 11, SIGCHLD = 17,
	SA_SIGINFO = 4, SA_NODEFER = 0x40000000, SA_RESTORER = 0x04000000,
	RIP = 16,			/* in gregs of a ucontext */
};

enum {
	nr_read = 0, nr_write = 1, nr_open = 2, nr_close = 3, nr_rt_sigaction = 13, nr_pread64 = 17, nr_pwrite64 = 18,
	nr_mincore = 27, nr_dup2 = 33, nr_fork = 57, nr_execve = 59, nr_exit = 60, nr_getrusage = 98, nr_capget = 125,
	nr_capset = 126, nr_personality = 135, nr_setrlimit = 160, nr_sched_setaffinity = 203, nr_getrlimit = 97,
	nr_memfd_create = 319,
};

#define PAGE 4096UL

static long call6(long nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	long r;
	register u64 r10 __asm__("r10") = d;
	register u64 r8 __asm__("r8") = e;
	register u64 r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

#define call(nr, a, b, c) call6(nr, (u64)(a), (u64)(b), (u64)(c), 0, 0, 0)

/* ---- accesses that may fail: a signal between probe_start and probe_end goes on at probe_bad */

__asm__(".text\n"
	".globl probe_start, probe_end, probe_bad, probe_read, probe_write, probe_load, probe_store\n"
	"probe_start:\n"
	"probe_read:  movb (%rdi), %al; xorl %eax, %eax; ret\n"
	"probe_write: lock orb $0, (%rdi); xorl %eax, %eax; ret\n"
	"probe_load:  movq (%rdi), %rax; movq %rax, (%rsi); xorl %eax, %eax; ret\n"
	"probe_store: movq (%rsi), %rax; movq %rax, (%rdi); xorl %eax, %eax; ret\n"
	"probe_end:\n"
	"probe_bad:   movl $1, %eax; ret\n"
	".globl restorer\n"
	"restorer: movl $15, %eax; syscall\n"
	/* the kernel enters here; leave its stack for ours */
	".globl _start\n"
	"_start: movq %rsp, %rdi; leaq stack_top(%rip), %rsp; xorl %ebp, %ebp; call begin\n");

extern char probe_start[], probe_end[], probe_bad[], image_start[], image_end[];
extern int probe_read(u64, u64 *), probe_write(u64, u64 *), probe_load(u64, u64 *), probe_store(u64, u64 *);
extern void restorer(void);

/* In .data, not .bss: a .bss would be a mapping of its own. */
#define OWN __attribute__((section(".data")))

OWN char stack[24576] = {1};
__asm__(".globl stack_top\n.set stack_top, stack + 24576 - 64\n");

OWN static char order[4096] = {1};
OWN static char answer[16384] = {1};
OWN static unsigned char residency[8192] = {1};
OWN static char *at = answer, *to = answer;
OWN static int slot = 0;
OWN static long usage[32] = {1};		/* struct rusage: [8] ru_minflt, [9] ru_majflt */
OWN static u64 value = 1;
OWN static struct { u64 number, code, addr; } bad = {1, 1, 1};

void *memset(void *p, int c, u64 n)
{
	char *q = p;

	while (n--)
		*q++ = (char)c;
	return p;
}

static void caught(int number, int *info, void *context)
{
	u64 *rip = &((u64 *)((char *)context + 40))[RIP];

	if (*rip < (u64)probe_start || *rip >= (u64)probe_end)
		call(nr_exit, 90 + number, 0, 0);
	bad.number = (u64)number;
	bad.code = (u64)info[2];
	bad.addr = *(u64 *)(info + 4);
	*rip = (u64)probe_bad;
}

static void catch(int number, void *handler)
{
	struct { void *handler; u64 flags; void *restorer; u64 mask; } action =
		{ handler, SA_SIGINFO | SA_NODEFER | SA_RESTORER, (void *)restorer, 0 };

	call6(nr_rt_sigaction, (u64)number, (u64)&action, 0, 8, 0, 0);
}

/* Every page of the image is this process's own, present and writable. */
static void settle(void)
{
	for (char *p = image_start; p < image_end; p += PAGE)
		probe_write((u64)p, 0);
}

/* ---- words of a line */

static u64 number(void)
{
	u64 n = 0;

	while (*at == ' ')
		at++;
	for (;; at++) {
		if (*at >= '0' && *at <= '9')
			n = n << 4 | (u64)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			n = n << 4 | (u64)(*at - 'a' + 10);
		else
			return n;
	}
}

static char *rest(void)
{
	while (*at == ' ')
		at++;
	return at;
}

static void say(char c)
{
	*to++ = c;
}

static void hex(u64 n)
{
	int shift = 60;

	say(' ');
	while (shift && !(n >> shift & 15))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		say("0123456789abcdef"[n >> shift & 15]);
}

/* ---- fault counts */

OWN static long min_flt = 1, maj_flt = 1;

static void count(void)
{
	call(nr_getrusage, 0, usage, 0);
	min_flt = usage[8];
	maj_flt = usage[9];
}

static void counted(void)
{
	long min = min_flt, maj = maj_flt;

	count();
	hex((u64)(min_flt - min));
	hex((u64)(maj_flt - maj));
}

static void result(long r)
{
	say('r');
	hex((u64)r);
	counted();
}

static void probe(int (*how)(u64, u64 *), u64 addr)
{
	count();
	if (how(addr, &value)) {
		say('g');
		hex(bad.number);
		hex(bad.code);
		hex(bad.addr);
	} else {
		say('v');
		hex(value);
	}
	counted();
}

/* ---- orders with more than a call in them */

static void repeated(void)
{
	u64 times = number(), step = number(), flip = number(), nr = number(), a[6], done;
	long r = 0;

	for (int i = 0; i < 6; i++)
		a[i] = number();
	count();
	for (done = 0; done < times; done++) {
		r = call6((long)nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		if (r < 0 && r > -4096)
			break;
		a[0] += step;
		a[2] ^= flip;
	}
	say('n');
	hex(done);
	hex((u64)r);
	counted();
}

static void mincore(void)
{
	u64 addr = number(), length = number(), pages = (length + PAGE - 1) / PAGE;
	long r;

	count();
	r = call(nr_mincore, addr, length, residency);
	say('b');
	say(' ');
	for (u64 i = 0; r == 0 && i < pages && i < sizeof residency / 2; i++)
		say(residency[i] & 1 ? '1' : '0');
	say('.');
	hex((u64)r);
	counted();
}

static long as(long fd, u64 wanted)
{
	if (fd >= 0 && (u64)fd != wanted) {
		call(nr_dup2, fd, wanted, 0);
		call(nr_close, fd, 0, 0);
	}
	return fd;
}

static long capability(u64 bit, u64 on)
{
	struct { u32 version; int pid; } header = { 0x20080522, 0 };
	struct { u32 effective, permitted, inheritable; } sets[2];
	long r = call(nr_capget, &header, sets, 0);

	if (r)
		return r;
	if (on)
		sets[bit / 32].effective |= 1U << (bit % 32);
	else
		sets[bit / 32].effective &= ~(1U << (bit % 32));
	return call(nr_capset, &header, sets, 0);
}

static long limit(u64 resource, u64 soft)
{
	u64 pair[2];
	long r = call(nr_getrlimit, resource, pair, 0);

	pair[0] = soft;
	return r ? r : call(nr_setrlimit, resource, pair, 0);
}

static void forked(u64 child)
{
	long pid = call(nr_fork, 0, 0, 0);

	settle();
	if (pid == 0) {
		call(nr_close, ORDERS + slot, 0, 0);
		slot = (int)child;
		say('h');		/* the child says hello on its own slot */
		hex(0);
		return;
	}
	if (pid > 0)
		call(nr_close, ORDERS + child, 0, 0);
	count();
	result(pid);
}

static void obey(void)
{
	u64 a[6], nr, addr;
	char what = *at++;

	switch (what) {
	case 's':
		nr = number();
		for (int i = 0; i < 6; i++)
			a[i] = number();
		count();
		result(call6((long)nr, a[0], a[1], a[2], a[3], a[4], a[5]));
		break;
	case 'n':
		repeated();
		break;
	case 't':
		value = 0;
		probe(probe_read, number());
		break;
	case 'T':
		value = 0;
		probe(probe_write, number());
		break;
	case 'l':
		probe(probe_load, number());
		break;
	case 'S':
		addr = number();
		value = number();
		probe(probe_store, addr);
		break;
	case 'm':
		mincore();
		break;
	case 'i':
		value = 0;
		a[0] = number();
		a[1] = number();
		count();
		result(call6(nr_pread64, a[0], (u64)&value, 8, a[1], 0, 0));
		hex(value);
		break;
	case 'o':
		a[0] = number();
		a[1] = number();
		value = number();
		count();
		result(call6(nr_pwrite64, a[0], (u64)&value, 8, a[1], 0, 0));
		hex(value);
		break;
	case 'p':
		a[0] = number();
		a[1] = number();
		count();
		result(as(call(nr_open, rest(), a[1], 0600), a[0]));
		break;
	case 'M':
		a[0] = number();
		count();
		result(as(call(nr_memfd_create, rest(), 0, 0), a[0]));
		break;
	case 'L':
		a[0] = number();
		a[1] = number();
		count();
		result(limit(a[0], a[1]));
		break;
	case 'c':
		a[0] = number();
		a[1] = number();
		count();
		result(capability(a[0], a[1]));
		break;
	case 'f':
		forked(number());
		break;
	case 'e': {
		char me[] = "/proc/self/exe", digit[2] = { (char)('0' + slot), 0 };
		char *argv[] = { "runner", digit, 0 }, *envp[] = { 0 };

		count();
		result(call(nr_execve, me, argv, envp));
		break;
	}
	case 'x':
		call(nr_exit, 0, 0, 0);
		break;
	default:
		call(nr_exit, 80, 0, 0);
	}
}

/* argv: the slot; at the first start also the CPU that everything runs on (pages wait in lists of their CPU). */
__attribute__((used)) void begin(u64 *sp)
{
	char **argv = (char **)(sp + 1);
	u64 argc = sp[0], cpus[16] = {0};
	long n;

	slot = argv[1][0] - '0';
	if (argc > 2) {
		at = argv[2];
		n = (long)number();
		cpus[n / 64] = 1UL << (n % 64);
		call(nr_sched_setaffinity, 0, sizeof cpus, cpus);
		n = call(nr_personality, 0xffffffff, 0, 0);
		if (n >= 0 && !(n & ADDR_NO_RANDOMIZE)) {
			char *again[] = { "runner", argv[1], 0 }, *envp[] = { 0 };

			call(nr_personality, n | ADDR_NO_RANDOMIZE, 0, 0);
			n = call(nr_execve, "/proc/self/exe", again, envp);
			call(nr_exit, 81, 0, 0);
		}
	}
	catch(SIGSEGV, (void *)caught);
	catch(SIGBUS, (void *)caught);
	catch(SIGCHLD, (void *)1);		/* SIG_IGN: children are reaped by themselves */
	settle();
	at = to = answer;
	say('h');
	hex((u64)image_start);
	hex((u64)image_end);
	for (;;) {
		say('\n');
		if (call(nr_write, ORDERS + slot, answer, to - answer) < 0)
			call(nr_exit, 82, 0, 0);
		n = call(nr_read, ORDERS + slot, order, sizeof order - 1);
		if (n <= 0)
			call(nr_exit, 83, 0, 0);
		order[n] = 0;
		if (order[n - 1] == '\n')
			order[n - 1] = 0;
		at = order;
		to = answer;
		obey();
	}
}
