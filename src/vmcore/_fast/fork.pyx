"""Tasks begin, copy themselves, become another program, and end: spawn, fork, exec, exit.

Source: kernel/fork.c (copy_process, dup_mmap), fs/exec.c (exec_mmap, setup_arg_pages), mm/mmap.c (exit_mmap) of 2.6.5;
fact sheet linux-2004 sections 6.11, 5.5. The ptes of a child are copied by copy_range.

A task takes a task_struct, an order-1 stack, a lump for files, fs and signals, an mm_struct and a pgd. The slab number
of all of them is the index of its mm, so exec, which changes the mm, renumbers them.
"""
from libc.errno cimport E2BIG, EAGAIN, ENOMEM
from libc.stdint cimport uint32_t, uint64_t, int64_t
from libc.string cimport memset

from vmcore._fast.records cimport (
    machine_t, mm_t, task_t, vma_t, CACHE_FS, CACHE_MM, CACHE_TASK, KILLED_FAULT, NR_RLIM, PAGE_MASK_LOW, PAGE_SHIFT,
    POOL_MM, POOL_TASK, PTE_A, PTE_ANON, PTE_D, PTE_EXCLUSIVE, PTE_P, PTE_RW, PTE_SHIFT, PTE_USER, RLIM_MEMLOCK,
    RLIM_STACK, TASK_ALIVE, TASK_DEAD, TASK_DYING, VM_ACCOUNT, VM_DONTCOPY, VM_EXEC, VM_LOCKED, VM_LOCKONFAULT,
    VM_STACK_FLAGS, VM_WIPEONFORK)
from vmcore._fast.pool cimport pool_alloc, pool_free, pool_reserve, safe_point
from vmcore._fast.locks cimport (
    down_i_shared, down_mmap_sem, spin_lock_ptl, spin_unlock_ptl, up_i_shared, up_mmap_sem)
from vmcore._fast.bugs cimport bug, BUG_EXIT_MMAP_COUNT
from vmcore._fast.counters cimport count, ALLOC_REFUSALS, EXECS, EXITS, FORKS, FORK_VMAS
from vmcore._fast.frame cimport alloc_pages, free_pages_ok, GFP_HIGHUSER, GFP_KERNEL
from vmcore._fast.slab cimport cache_alloc, cache_free, ledger_note, ledger_refusal, LEDGER_STACK
from vmcore._fast.pagetable cimport free_pgtables, pgd_alloc, pgd_free, pte_alloc
from vmcore._fast.lru cimport lru_add_drain, lru_cache_add_active, put_page
from vmcore._fast.vma cimport index_insert_fork, vm_stat_account, vma_alloc, vma_destroy, vma_free, vma_link
from vmcore._fast.zap cimport zap_page_range
from vmcore._fast.copy_range cimport copy_page_range
from vmcore._fast.mmap cimport vm_enough_memory, vm_unacct_memory

cdef enum:
    STACK_ORDER = 1
    MAX_ARG_PAGES = 32
    VMAS_SAFE = 1024        # vmas copied between safe points

cdef uint64_t INFINITY = ~<uint64_t>0
cdef uint64_t STACK_LIMIT = 8 << 20
cdef uint64_t STACK_GAP_MIN = 128 << 20


# ---------------------------------------------------------------- the parts of a task

cdef void stack_free(machine_t *m, uint32_t pfn) noexcept nogil:
    ledger_note(m, LEDGER_STACK, pfn, -(1 << STACK_ORDER))
    m.frames[pfn].refs = 0
    free_pages_ok(m, pfn, STACK_ORDER)


cdef int slabs_alloc(machine_t *m, uint32_t mm) noexcept nogil:
    """Slab objects of a task with this mm number."""
    if cache_alloc(m, CACHE_TASK, mm, GFP_KERNEL) < 0:
        return -ENOMEM
    if cache_alloc(m, CACHE_FS, mm, GFP_KERNEL) < 0:
        cache_free(m, CACHE_TASK, mm)
        return -ENOMEM
    if cache_alloc(m, CACHE_MM, mm, GFP_KERNEL) < 0:
        cache_free(m, CACHE_FS, mm)
        cache_free(m, CACHE_TASK, mm)
        return -ENOMEM
    return 0


cdef void slabs_free(machine_t *m, uint32_t mm) noexcept nogil:
    cache_free(m, CACHE_MM, mm)
    cache_free(m, CACHE_FS, mm)
    cache_free(m, CACHE_TASK, mm)


cdef void ring_insert(machine_t *m, uint32_t mm, uint32_t after) noexcept nogil:
    """On the ring of mms: right after `after` (fork), or first (a new program: after init_mm in the kernel)."""
    cdef mm_t *p = &m.mms[mm]
    cdef uint32_t prev = after
    m.mmlist_nr += 1
    if m.mmlist == 0:
        p.mmlist_next = mm
        p.mmlist_prev = mm
        m.mmlist = mm
        return
    if after == 0:
        prev = m.mms[m.mmlist].mmlist_prev
        m.mmlist = mm
    p.mmlist_prev = prev
    p.mmlist_next = m.mms[prev].mmlist_next
    m.mms[p.mmlist_next].mmlist_prev = mm
    m.mms[prev].mmlist_next = mm


cdef void ring_remove(machine_t *m, uint32_t mm) noexcept nogil:
    cdef mm_t *p = &m.mms[mm]
    if p.mmlist_next == 0:
        return              # never got on it
    m.mmlist_nr -= 1
    if m.swap_mm == mm:     # swap_out goes on from the one before; init_mm is before the first
        m.swap_mm = p.mmlist_prev if m.mmlist != mm else 0
    if p.mmlist_next == mm:
        m.mmlist = 0
    else:
        m.mms[p.mmlist_prev].mmlist_next = p.mmlist_next
        m.mms[p.mmlist_next].mmlist_prev = p.mmlist_prev
        if m.mmlist == mm:
            m.mmlist = p.mmlist_next
    p.mmlist_next = 0
    p.mmlist_prev = 0


cdef uint64_t pick_mmap_base(machine_t *m, uint32_t pid) noexcept nogil:
    """Where the search for a gap begins. Downwards that is below the room that the stack may take: its limit and the
    guard gap, but at least 128 MiB and at most 5/6 of the address space. Addresses are not randomized. pid 0: a new
    task."""
    cdef uint64_t gap = m.tasks[pid].rlim[<int>RLIM_STACK] if pid != 0 else STACK_LIMIT
    cdef uint64_t guard = <uint64_t>m.stack_guard_gap << PAGE_SHIFT
    cdef uint64_t most = m.rules.task_size // 6 * 5
    if not m.rules.topdown:
        return m.rules.unmapped_base
    if gap + guard > gap:
        gap += guard
    if gap < STACK_GAP_MIN:
        gap = STACK_GAP_MIN
    elif gap > most:
        gap = most
    return (m.rules.task_size - gap + PAGE_MASK_LOW) & ~<uint64_t>PAGE_MASK_LOW


cdef uint32_t mm_alloc(machine_t *m, uint32_t owner, uint32_t like) noexcept nogil:
    """An mm with an empty address space and a pgd, and the slab objects of its task; 0 = no memory. `like` (fork): its
    addresses and limits are copied, and it comes next to it on the ring; 0: a new program."""
    cdef uint32_t mm = pool_alloc(m, POOL_MM)
    cdef mm_t *p = &m.mms[mm]
    cdef mm_t *q
    if mm == 0:
        return 0
    memset(p, 0, sizeof(mm_t))
    if slabs_alloc(m, mm) < 0:
        pool_free(m, POOL_MM, mm)
        return 0
    if like != 0:
        q = &m.mms[like]
        p[0] = q[0]
        p.pgd = p.mmap = p.rb_root = p.mmap_cache = p.map_count = p.nr_ptes = p.nr_upper = p.leaf = 0
        p.mmlist_next = p.mmlist_prev = 0
        if not m.rules.fork_def_flags:
            p.def_flags = 0
        p.locked_vm = p.locked_lost = p.rss = p.anon_rss = p.swapents = p.anon_written = 0
    else:
        p.mmap_base = pick_mmap_base(m, owner)
        p.start_brk = <uint64_t>0x08048000 if m.rules.word_size == 4 else <uint64_t>0x400000
        p.start_stack = m.rules.stack_top
    p.task = owner
    p.free_area_cache = p.mmap_base
    p.gap_top = 0
    p.anonmm = 0
    p.swap_address = 0
    if m.rmap.mm_init(m, mm, like) < 0:
        slabs_free(m, mm)
        memset(p, 0, sizeof(mm_t))
        pool_free(m, POOL_MM, mm)
        return 0
    if pgd_alloc(m, mm) < 0:
        m.rmap.mm_exit(m, mm)
        slabs_free(m, mm)
        memset(p, 0, sizeof(mm_t))
        pool_free(m, POOL_MM, mm)
        return 0
    return mm


cdef void set_brk(mm_t *p, uint64_t start_brk) noexcept nogil:
    """A program without text and data: everything starts where the heap does."""
    p.start_brk = p.brk = start_brk
    p.start_code = p.end_code = p.start_data = p.end_data = start_brk


cdef void exit_mmap(machine_t *m, uint32_t mm) noexcept nogil:
    """Everything out of the address space; it need not be complete (a fork that failed)."""
    cdef mm_t *p = &m.mms[mm]
    cdef uint32_t vma, next
    cdef uint64_t accounted = 0
    cdef vma_t *v
    lru_add_drain(m)
    spin_lock_ptl(m, mm)
    vma = p.mmap
    while vma != 0:
        v = &m.vmas[vma]
        if v.flags & <uint32_t>VM_ACCOUNT:
            accounted += (v.end - v.start) >> PAGE_SHIFT
        zap_page_range(m, vma, v.start, v.end)
        vma = v.next
    vm_unacct_memory(m, accounted)
    free_pgtables(m, mm, 0, m.rules.task_size)
    # nobody looks for these vmas by address any more: list and tree go as a whole
    vma = p.mmap
    p.mmap = 0
    p.mmap_cache = 0
    p.rb_root = 0
    p.total_vm = 0
    p.locked_vm = p.locked_lost = p.data_vm = 0
    spin_unlock_ptl(m, mm)
    while vma != 0:
        next = m.vmas[vma].next
        vma_destroy(m, vma)
        p.map_count -= 1
        vma = next
    if p.map_count != 0:
        bug(m, BUG_EXIT_MMAP_COUNT, mm, p.map_count, 0)


cdef void mm_destroy(machine_t *m, uint32_t mm) noexcept nogil:
    """mmput: the last user is gone, and with it the task's slab objects of this number."""
    ring_remove(m, mm)
    exit_mmap(m, mm)
    m.rmap.mm_exit(m, mm)
    pgd_free(m, mm)
    slabs_free(m, mm)
    memset(&m.mms[mm], 0, sizeof(mm_t))     # pgd 0 says that the record is free; its first word becomes the pool's link
    pool_free(m, POOL_MM, mm)


cdef void set_comm(task_t *t, const char *comm) noexcept nogil:
    cdef size_t i = 0
    if comm == NULL:
        return
    while i < sizeof(t.comm) - 1 and comm[i] != 0:
        t.comm[i] = comm[i]
        i += 1
    memset(&t.comm[i], 0, sizeof(t.comm) - i)


cdef int64_t task_start(machine_t *m, uint32_t mm, uint32_t stack, uint32_t parent, const char *comm) noexcept nogil:
    """The pid of a task whose parts are all there. Nothing fails after the pid is taken, since pids never come back."""
    cdef uint32_t pid = pool_alloc(m, POOL_TASK)
    cdef task_t *t = &m.tasks[pid]
    cdef task_t *p = &m.tasks[parent]
    cdef int i
    if pid == 0:
        return -EAGAIN
    memset(t, 0, sizeof(task_t))
    for i in range(NR_RLIM):
        t.rlim[i] = p.rlim[i] if parent != 0 else INFINITY
        t.rlim_max[i] = p.rlim_max[i] if parent != 0 else INFINITY
    if parent != 0:
        t.caps = p.caps
        t.nice = p.nice
        t.mmap_base = p.mmap_base
        t.start_brk = p.start_brk
    else:
        t.caps = ~<uint32_t>0
        t.rlim[<int>RLIM_STACK] = STACK_LIMIT
        if m.rules.memlock_pages != 0:
            t.rlim[<int>RLIM_MEMLOCK] = t.rlim_max[<int>RLIM_MEMLOCK] = <uint64_t>m.rules.memlock_pages << PAGE_SHIFT
    set_comm(t, comm if comm != NULL else p.comm)
    t.mm = mm
    t.stack = stack
    t.parent = parent
    t.start_ns = m.now
    t.state = TASK_ALIVE
    m.mms[mm].task = pid
    m.nr_tasks += 1
    return pid


cdef uint32_t stack_alloc(machine_t *m) noexcept nogil:
    cdef uint32_t pfn
    cdef uint64_t refusals = m.counters[ALLOC_REFUSALS]
    if pool_reserve(m, POOL_TASK, 1) < 0 or pool_reserve(m, POOL_MM, 1) < 0:
        return 0
    pfn = alloc_pages(m, GFP_KERNEL, STACK_ORDER)
    if pfn != 0:
        ledger_note(m, LEDGER_STACK, pfn, 1 << STACK_ORDER)
    ledger_refusal(m, LEDGER_STACK, refusals)
    return pfn


cdef int64_t do_spawn(machine_t *m, const char *comm, uint64_t mmap_base, uint64_t start_brk) noexcept nogil:
    cdef uint32_t mm, stack
    cdef int64_t pid
    stack = stack_alloc(m)
    if stack == 0:
        return -ENOMEM
    mm = mm_alloc(m, 0, 0)
    if mm == 0:
        stack_free(m, stack)
        return -ENOMEM
    ring_insert(m, mm, 0)
    if mmap_base != 0:
        m.mms[mm].mmap_base = m.mms[mm].free_area_cache = mmap_base
    set_brk(&m.mms[mm], start_brk if start_brk != 0 else m.mms[mm].start_brk)
    pid = task_start(m, mm, stack, 0, comm)
    if pid < 0:
        mm_destroy(m, mm)
        stack_free(m, stack)
        return pid
    m.tasks[pid].mmap_base = mmap_base
    m.tasks[pid].start_brk = start_brk
    return pid


# ---------------------------------------------------------------- fork

cdef uint32_t vma_copy(machine_t *m, uint32_t cmm, uint32_t parent) noexcept nogil:
    """The child's vma, on its lists before any pte is copied, so that reclaim and swapoff find it; 0 = no memory."""
    cdef uint32_t child = vma_alloc(m)
    cdef vma_t *c = &m.vmas[child]
    cdef vma_t *p = &m.vmas[parent]
    if child == 0:
        return 0
    c.start = p.start
    c.end = p.end
    c.pgoff = p.pgoff
    c.private_data = p.private_data
    c.flags = p.flags & ~<uint32_t>(VM_LOCKED | VM_LOCKONFAULT)
    c.mm = cmm
    # a vma that is wiped starts without pages
    if p.flags & <uint32_t>VM_WIPEONFORK == 0 and m.rmap.vma_fork(m, child, parent) < 0:
        vma_free(m, child)
        return 0
    # vma_link would put the file's vma at the tail of its index; fork's place is next to the parent
    vma_link(m, cmm, child)
    if p.file != 0:
        c.file = p.file
        m.files[p.file].refs += 1
        down_i_shared(m, p.file)
        index_insert_fork(m, child, parent)
        up_i_shared(m, p.file)
    count(m, FORK_VMAS)
    return child


cdef int dup_mmap(machine_t *m, uint32_t pid, uint32_t cmm, uint32_t pmm) noexcept nogil:
    cdef uint32_t vma = m.mms[pmm].mmap
    cdef uint32_t child
    cdef uint64_t pages
    cdef uint32_t nr = 0
    cdef int err
    cdef vma_t *v
    # before the first swap pte is copied: swapoff must meet the parent before the child
    ring_insert(m, cmm, pmm)
    while vma != 0:
        v = &m.vmas[vma]
        pages = (v.end - v.start) >> PAGE_SHIFT
        if v.flags & <uint32_t>VM_DONTCOPY:
            vm_stat_account(m, cmm, v.flags, -pages)
            vma = v.next
            continue
        nr += 1
        if nr % <uint32_t>VMAS_SAFE == 0 and safe_point(m) < 0:
            return -ENOMEM
        if v.flags & <uint32_t>VM_ACCOUNT:
            if m.rules.overcommit_old:
                m.committed += pages        # 2.4 does not ask
            elif vm_enough_memory(m, pid, pages) < 0:
                return -ENOMEM
        child = vma_copy(m, cmm, vma)
        if child == 0:
            if v.flags & <uint32_t>VM_ACCOUNT:
                vm_unacct_memory(m, pages)      # charged, but no vma of the child stands for it
            return -ENOMEM
        err = copy_page_range(m, cmm, pmm, child, vma)
        if err < 0:
            return err
        vma = v.next
    return 0


cdef int64_t do_fork(machine_t *m, uint32_t pid, const char *comm) noexcept nogil:
    cdef uint32_t pmm = m.tasks[pid].mm
    cdef uint32_t stack, cmm
    cdef int64_t child = -ENOMEM
    stack = stack_alloc(m)
    if stack == 0:
        return -ENOMEM
    # until it has a pid of its own, the child's mm is charged to the parent
    cmm = mm_alloc(m, pid, pmm)
    if cmm == 0:
        stack_free(m, stack)
        return -ENOMEM
    down_mmap_sem(m, pmm)
    if dup_mmap(m, pid, cmm, pmm) == 0:
        child = task_start(m, cmm, stack, pid, comm)
    up_mmap_sem(m, pmm)
    if child < 0:
        mm_destroy(m, cmm)
        stack_free(m, stack)
        return child
    count(m, FORKS)
    return child


# ---------------------------------------------------------------- exec

cdef int install_arg_page(machine_t *m, uint32_t mm, uint32_t vma, uint64_t addr) noexcept nogil:
    cdef uint32_t pfn = alloc_pages(m, GFP_HIGHUSER, 0)
    cdef uint32_t pte
    cdef mm_t *p = &m.mms[mm]
    if pfn == 0:
        return -ENOMEM
    if m.rmap.anon_prepare(m, vma) < 0 or m.rmap.reserve(m) < 0:
        put_page(m, pfn)
        return -ENOMEM
    pte = pte_alloc(m, mm, addr)
    if pte == 0:
        put_page(m, pfn)
        return -ENOMEM
    if m.tokens_on:
        m.page_token[pfn] = 0
    lru_cache_add_active(m, pfn)
    m.ptes[pte] = (<uint64_t>pfn << PTE_SHIFT) | <uint64_t>(PTE_P | PTE_RW | PTE_USER | PTE_A | PTE_D | PTE_ANON)
    if m.rules.anon_exclusive:
        m.ptes[pte] |= PTE_EXCLUSIVE
    p.rss += 1
    p.anon_rss += 1
    p.anon_written += 1
    m.rmap.page_add(m, pfn, vma, addr, pte, 1)
    m.frames[pfn].refs -= 1         # the mapping holds it now
    return 0


cdef int setup_stack(machine_t *m, uint32_t mm, uint32_t argpages) noexcept nogil:
    """The stack's vma with its argument pages, at the top of the address space; not charged yet."""
    cdef mm_t *p = &m.mms[mm]
    cdef uint64_t top = m.rules.stack_top
    cdef uint64_t addr = top - (<uint64_t>argpages << PAGE_SHIFT)
    cdef uint64_t pages = argpages
    cdef uint64_t most = m.tasks[p.task].rlim[<int>RLIM_STACK] >> PAGE_SHIFT
    cdef uint32_t vma = vma_alloc(m)
    cdef vma_t *v = &m.vmas[vma]
    if vma == 0:
        return -ENOMEM
    # with room for the first growth, as far as the limit allows
    if m.rules.stack_room != 0:
        pages += m.rules.stack_room
        if pages > most:
            pages = most if most > argpages else argpages
    v.start = top - (pages << PAGE_SHIFT)
    v.end = top
    v.flags = (<uint32_t>VM_STACK_FLAGS | p.def_flags) & ~<uint32_t>VM_ACCOUNT
    if not m.rules.data_exec:
        v.flags &= ~<uint32_t>VM_EXEC
    v.mm = mm
    if m.rules.anon_pgoff:
        v.pgoff = v.start >> PAGE_SHIFT
    vma_link(m, mm, vma)
    vm_stat_account(m, mm, v.flags, pages)
    p.start_stack = p.arg_start = addr
    p.arg_end = p.env_start = p.env_end = top
    while addr < top:
        if install_arg_page(m, mm, vma, addr) < 0:
            return -ENOMEM
        addr += <uint64_t>1 << PAGE_SHIFT
    return 0


cdef int do_exec(machine_t *m, uint32_t pid, const char *comm, uint32_t argpages) noexcept nogil:
    cdef task_t *t = &m.tasks[pid]
    cdef uint32_t old = t.mm
    cdef uint32_t mm, vma
    if argpages > <uint32_t>MAX_ARG_PAGES:
        return -E2BIG
    if argpages == 0:
        argpages = 1            # the name of the program is there always
    if pool_reserve(m, POOL_MM, 1) < 0:
        return -ENOMEM
    mm = mm_alloc(m, pid, 0)
    if mm == 0:
        return -ENOMEM
    ring_insert(m, mm, 0)
    if t.mmap_base != 0:
        m.mms[mm].mmap_base = m.mms[mm].free_area_cache = t.mmap_base
    set_brk(&m.mms[mm], t.start_brk if t.start_brk != 0 else m.mms[mm].start_brk)
    if setup_stack(m, mm, argpages) < 0:
        mm_destroy(m, mm)
        return -ENOMEM
    # the point of no return: what the old program was charged for is free when the new stack is charged
    t.mm = mm
    mm_destroy(m, old)
    set_comm(t, comm)
    count(m, EXECS)
    vma = m.mms[mm].mmap
    if vm_enough_memory(m, pid, (m.vmas[vma].end - m.vmas[vma].start) >> PAGE_SHIFT) < 0:
        do_exit(m, pid, KILLED_FAULT)
        return -ENOMEM
    m.vmas[vma].flags |= <uint32_t>VM_ACCOUNT
    return 0


# ---------------------------------------------------------------- exit

cdef void do_exit(machine_t *m, uint32_t pid, uint32_t killed_by) noexcept nogil:
    cdef task_t *t = &m.tasks[pid]
    cdef uint32_t mm = t.mm
    if t.state != TASK_ALIVE and t.state != TASK_DYING:
        return
    t.mm = 0
    if mm != 0:
        mm_destroy(m, mm)
    if t.stack != 0:
        stack_free(m, t.stack)
        t.stack = 0
    t.memdie = 0
    if killed_by != 0:
        t.killed_by = killed_by     # else what the killer noted, if there was one
    t.state = TASK_DEAD
    m.nr_tasks -= 1
    count(m, EXITS)
